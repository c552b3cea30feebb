"""Rows 13, 15, 22, 28 and 33 of the fault matrix: files that are gone or odd, clocks, addresses,
secrets."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, candidate, run_files
from tests.faults.stores import Place, ref, told
from wherry.contracts import ArtifactRef, ModelRef, parse_uri
from wherry.contracts.errors import ManifestError, MissingError, UriError
from wherry.contracts.model import MODEL_NAME
from wherry.ledger import CHAMPION, Candidate, Ledger
from wherry.release.run import run as release

pytestmark = [pytest.mark.faults, pytest.mark.local]


def test_a_file_that_was_deleted_is_missing_before_it_is_used(place: Place) -> None:
    place.fill(2)
    with place.open() as ledger:
        ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason="first")
        gone = ledger.artifacts.verified(ref(ledger.find(NAME, 2)))
        gone.unlink()
        with pytest.raises(MissingError) as caught:
            ledger.switch(CHAMPION, NAME, 2, expected_generation=1, reason="better")
        assert caught.value.code == "E_MISSING"
        wanted = candidate(ledger, place.folder, b"three")
        ledger.artifacts.verified(ref_of(wanted)).unlink()
        with pytest.raises(MissingError, match="not in the artifact store"):
            ledger.register(wanted)
        assert told(ledger) == {1: 1}
        assert len(ledger.releases()) == 2


def test_an_output_that_a_cache_names_and_somebody_deleted_is_missing(place: Place) -> None:
    files = run_files(place.folder / "run")
    shutil.rmtree(files.gguf)
    done = place.ended(place.releaser(files, place.folder / "release.json"))
    assert done.returncode == 1
    assert f"E_MISSING: {files.gguf} is not there" in done.stderr
    with place.checked() as ledger:
        assert (ledger.releases(), list(ledger.artifacts.stored())) == ((), [])


def ref_of(wanted: Candidate) -> ArtifactRef:
    return ArtifactRef(wanted.uri, wanted.digest, wanted.size)


def test_a_clock_that_is_wrong_changes_no_order_and_is_flagged(place: Place) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    times = [noon, noon - timedelta(days=1), noon.replace(year=2036), noon + timedelta(minutes=1)]
    clock = iter([each for each in times for _ in range(2)])
    with Ledger.open(place.state, clock=lambda: next(clock, times[-1])) as ledger:
        for version, content in enumerate((b"one", b"two"), 1):
            ledger.register(candidate(ledger, place.folder, content))
            ledger.switch(CHAMPION, NAME, version, expected_generation=version - 1, reason="on")
        found = ledger.verify()
        assert found.ok
        assert [row.seq for row in ledger.audit()] == [1, 2, 3, 4]
        stamps = [row.ts for row in ledger.audit()]
        assert stamps != sorted(stamps), "the clock was wrong"
        assert found.skewed
        assert all(stamps[seq - 1] < max(stamps[: seq - 1]) for seq in found.skewed)
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live and live.version == 2


def extra(folder: Path) -> None:
    (folder / "extra.bin").write_bytes(b"not in the manifest")


def hidden(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"not in the manifest")


def renamed(folder: Path) -> None:
    (folder / "model.gguf").rename(folder / "other.gguf")


def linked(folder: Path) -> None:
    (folder / "model.gguf").rename(folder.parent / "model.gguf")
    (folder / "model.gguf").symlink_to(folder.parent / "model.gguf")


@pytest.mark.parametrize("change", [extra, hidden, renamed, linked])
def test_a_folder_that_is_not_its_manifest_is_not_released(
    place: Place, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(place.state))
    files = run_files(place.folder / "run")
    change(files.gguf)
    with pytest.raises(ManifestError) as caught:
        release(
            gguf=files.gguf,
            blessing=files.blessing,
            dataset=files.dataset,
            scores_quantized=files.scores_quantized,
            scores_tuned=files.scores_tuned,
            base=files.base,
            adapter=files.adapter,
            release=place.folder / "release.json",
            name=NAME,
        )
    assert caught.value.code == "E_MANIFEST"
    assert not (place.folder / "release.json").exists()
    with place.checked() as ledger:
        assert ledger.releases() == ()
        assert list(ledger.artifacts.stored()) == []


def test_a_secret_of_a_run_is_in_no_log_row_card_or_folder(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2" + "-correct-horse"
    monkeypatch.setenv("HF_TOKEN", secret)
    files = run_files(place.folder / "run")
    base = ModelRef.read(files.base / MODEL_NAME)
    replace(base, base_uri=f"https://ann:{secret}@host/base").write(files.base / MODEL_NAME)
    settings = json.dumps({"tune": json.dumps({"api_key": secret}), "note": f"token={secret}"})
    command = place.releaser(files, place.folder / "release.json")
    ended = [
        place.ended([*command, "--run-settings", settings]),
        place.wherry("promote", f"{NAME}:1", "--alias", "prod", "--reason", f"password: {secret}"),
        place.wherry("audit", "log"),
        place.wherry("models", "card", f"{NAME}:1"),
        place.wherry("audit", "export", "--case", f"{NAME}:1", "-o", "case"),
    ]
    assert [done.returncode for done in ended] == [0] * 5, ended
    with place.checked() as ledger:
        kept = [ledger.log.text(row.seq) for row in ledger.audit()]
        kept += [ledger.find(NAME, 1).to_json(), ledger.evidence(NAME, 1).to_json()]
        assert ledger.evidence(NAME, 1).redactions
    kept += [text for done in ended for text in (done.stdout, done.stderr)]
    shutil.rmtree(place.folder / "run")  # where it was handed over
    kept += [
        path.read_bytes().decode(errors="replace")
        for path in place.folder.rglob("*")
        if path.is_file()
    ]
    assert len(kept) > 20
    assert not [text for text in kept if secret in text]


ADDRESSES = [
    "file:../model.gguf",
    "file:.wherry/../../model.gguf",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "http://host/model.gguf",
    "https://host/model.gguf",
    "s3://other/model.gguf",
    "ftp://host/x",
    "data:text/plain,x",
    "/etc/passwd",
    "",
]


@pytest.mark.parametrize("uri", ADDRESSES)
def test_an_address_that_is_not_allowed_is_no_version(place: Place, uri: str) -> None:
    with place.open() as ledger:
        wanted = candidate(ledger, place.folder, b"one")
        with pytest.raises(UriError) as caught:
            ledger.register(replace(wanted, uri=uri))
        assert caught.value.code == "E_URI"
        assert caught.value.exit_code == 2
        assert (ledger.releases(), ledger.verify().rows) == ((), 0)


@pytest.mark.parametrize("uri", [uri for uri in ADDRESSES if not uri.startswith("s3:")])
def test_the_allow_list_itself_knows_no_other_address(tmp_path: Path, uri: str) -> None:
    with pytest.raises(UriError):
        parse_uri(uri, workspace=tmp_path)
