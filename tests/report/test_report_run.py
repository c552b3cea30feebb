import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.records import digest, evidence, refused, write_run
from wherry.contracts.errors import DigestError, FormatError, SettingsError
from wherry.entry import main
from wherry.report.run import run


def test_a_released_run_becomes_one_page(tmp_path: Path) -> None:
    html = tmp_path / "out" / "report.html"
    run(html, **write_run(tmp_path, evidence()))
    text = html.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "icd10-triage" in text
    assert [path.name for path in html.parent.iterdir()] == ["report.html"]


def test_a_refused_run_becomes_a_page_under_the_given_name(tmp_path: Path) -> None:
    run(tmp_path / "r.html", **write_run(tmp_path, refused()), name="triage")
    text = (tmp_path / "r.html").read_text()
    assert "<title>triage, not released: Refused: nothing was released</title>" in text


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = write_run(tmp_path, evidence())
    for name in ("one", "two"):
        run(tmp_path / name, **paths)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_call_quotes_a_held_out_row_unless_told_not_to(tmp_path: Path) -> None:
    paths = write_run(tmp_path, evidence())
    run(tmp_path / "open.html", **paths)
    run(tmp_path / "closed.html", **paths, settings='{"quote_row": false}')
    assert "rectal bleeding&#34;" in (tmp_path / "open.html").read_text()
    assert "rectal bleeding&#34;" not in (tmp_path / "closed.html").read_text()


def test_an_empty_test_split_leaves_the_question_open(tmp_path: Path) -> None:
    paths = write_run(tmp_path, evidence())
    (paths["dataset"] / "test.jsonl").write_bytes(b"")
    run(tmp_path / "r.html", **paths)
    assert "Your question" in (tmp_path / "r.html").read_text()


def test_records_of_two_runs_leave_no_page(tmp_path: Path) -> None:
    paths = write_run(tmp_path, evidence())
    replace(evidence().parity, model_digest=digest("other")).write(paths["parity"])
    with pytest.raises(DigestError):
        run(tmp_path / "r.html", **paths)
    assert not (tmp_path / "r.html").exists()


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    paths = write_run(tmp_path, evidence())
    paths["curve"].write_text("{}")
    with pytest.raises(FormatError, match=r"curve\.json is no valid LossCurve"):
        run(tmp_path / "r.html", **paths)


@pytest.mark.parametrize(
    "settings", ['{"quarantine_lines": -1}', '{"curve_points": 5}', '{"colour": "red"}']
)
def test_a_wrong_setting_is_refused(settings: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        run(tmp_path / "r.html", **write_run(tmp_path, evidence()), settings=settings)


def test_it_is_a_command_too(tmp_path: Path) -> None:
    paths = write_run(tmp_path, refused())
    options = [
        text for name, path in paths.items() for text in (f"--{name.replace('_', '-')}", str(path))
    ]
    main(run, ["--html", str(tmp_path / "r.html"), *options])
    assert (tmp_path / "r.html").is_file()


def test_its_verdict_reaches_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_EVENTS", str(tmp_path / "events"))
    run(tmp_path / "r.html", **write_run(tmp_path, evidence()))
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [event["kind"] for event in events] == ["started", "done"]
    assert events[-1]["verdict"].startswith("one page, 1")
