"""The gate from files to a file: it reads the champion from the ledger and says what it decided."""

import json
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, RunFiles, candidate, run_files
from wherry.contracts import Blessing, Scores
from wherry.contracts.errors import FormatError, GateRefusedError, SettingsError, StoreError
from wherry.entry import main
from wherry.gate import __main__ as gate_main
from wherry.gate.run import refuse, run
from wherry.ledger import CHAMPION, Ledger

POLICY = json.dumps({"floors": {"accuracy": 0.6}, "champion": {"accuracy": 0.02}})
STRICT = json.dumps({"floors": {"accuracy": 0.9}})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFiles:
    """The files of a run, in a workspace of their own."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    made = run_files(tmp_path / "run")
    made.blessing.unlink()
    return made


def judge(files: RunFiles, settings: str = POLICY) -> bool:
    """Runs the gate on the files."""
    return run(
        files.scores_tuned, files.scores_quantized, files.parity, files.blessing, NAME, settings
    )


def test_a_blessing_is_written_and_nothing_else(files: RunFiles, tmp_path: Path) -> None:
    assert judge(files)
    verdict = Blessing.read(files.blessing)
    assert verdict.passed
    assert verdict.model_digest == Scores.read(files.scores_quantized).model_digest
    assert not (tmp_path / ".wherry").exists()
    refuse(files.blessing)  # nothing to refuse


def test_a_refusal_is_written_too_and_refuse_ends_the_run(files: RunFiles) -> None:
    assert judge(files, STRICT) is False
    assert not Blessing.read(files.blessing).passed
    with pytest.raises(GateRefusedError, match=r"is 70\.00%, at least 90\.00%") as caught:
        refuse(files.blessing)
    assert (caught.value.code, caught.value.exit_code) == ("E_GATE", 3)


def test_the_champions_scores_come_from_the_ledger(files: RunFiles, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / ".wherry") as ledger:
        live = ledger.register_and_switch(
            candidate(ledger, tmp_path, b"live"), CHAMPION, expected_generation=0, reason="first"
        )
    assert judge(files) is False  # it was scored on other data
    verdict = Blessing.read(files.blessing)
    assert verdict.champion_digest == live.digest
    assert "champion was scored on other data" in verdict.reasons[0]
    skip = json.dumps({**json.loads(POLICY), "champion_on_other_data": "skip"})
    assert judge(files, skip)
    other = run(
        *(files.scores_tuned, files.scores_quantized, files.parity, files.blessing),
        name="another-model",
        settings=POLICY,
    )
    assert other
    assert Blessing.read(files.blessing).champion_digest is None


@pytest.mark.parametrize("settings", ["", "{}", '{"floors": {}}', '{"floors": {"accuracy": 2}}'])
def test_a_bad_policy_writes_no_blessing(files: RunFiles, settings: str) -> None:
    with pytest.raises(SettingsError):
        judge(files, settings)
    assert not files.blessing.exists()


def test_broken_scores_write_no_blessing(files: RunFiles) -> None:
    files.scores_quantized.write_text('{"accuracy": 1}')
    with pytest.raises(FormatError):
        judge(files)
    assert not files.blessing.exists()


def test_a_store_that_cannot_be_asked_fails_closed(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_STORE", "unset:")
    with pytest.raises(StoreError):
        judge(files)
    assert not files.blessing.exists()


def test_the_runner_is_told_the_verdict_and_the_cause(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_EVENTS", str(tmp_path / "events"))
    judge(files)
    judge(files, STRICT)
    with pytest.raises(GateRefusedError):
        refuse(files.blessing)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    verdicts = [event["verdict"] for event in events if event["kind"] == "done"]
    assert verdicts[0].startswith("blessed, ")
    assert verdicts[1].startswith("refused: accuracy is 70.00%")
    (failed,) = (event for event in events if event["kind"] == "failed")
    assert (failed["stage"], failed["code"], failed["exit_code"]) == ("refuse", "E_GATE", 3)


@pytest.mark.parametrize(("settings", "code"), [(POLICY, None), (STRICT, 3), ("{}", 2)])
def test_as_a_plain_container_it_exits_with_the_verdict(
    files: RunFiles, settings: str, code: int | None
) -> None:
    arguments = [
        *("--scores-tuned", str(files.scores_tuned), "--parity", str(files.parity)),
        *("--scores-quantized", str(files.scores_quantized), "--blessing", str(files.blessing)),
        *("--name", NAME, "--settings", settings),
    ]
    if code is None:
        main(gate_main._run_or_refuse, arguments)
        assert Blessing.read(files.blessing).passed
        return
    with pytest.raises(SystemExit) as caught:
        main(gate_main._run_or_refuse, arguments)
    assert caught.value.code == code
