"""Garbage collection takes what nobody needs, and never what a version has."""

import json
import os
import sqlite3
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fakes.people import LONG_AGO
from tests.fakes.releases import NAME, candidate, judged
from wherry.cli import cli
from wherry.contracts import ArtifactRef, digest_file, digest_record
from wherry.contracts.errors import MissingError, SettingsError, StoreError
from wherry.ledger import CHAMPION, Ledger, Stored, predictions_name
from wherry.ledger.places import places
from wherry.signing import KeyFolder

DAY = timedelta(days=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A store with two versions, the second one live, and a published file that is no version."""
    ledger = Ledger.open(tmp_path / ".wherry")
    for version, content in enumerate((b"one", b"two"), 1):
        ledger.register(candidate(ledger, tmp_path, content))
        ledger.switch(CHAMPION, NAME, version, expected_generation=version - 1, reason="better")
    candidate(ledger, tmp_path, b"never registered")
    return ledger


def age(folder: Path, days: float) -> None:
    """Makes all files of the artifact store as old as that."""
    then = time.time() - days * 86400
    for path in (folder / ".wherry" / "artifacts").rglob("*"):
        os.utime(path, (then, then))


def files(folder: Path) -> list[str]:
    return sorted(
        path.parent.name[:6]
        for path in (folder / ".wherry" / "artifacts" / "sha256").rglob("*")
        if path.is_file()
    )


def test_only_what_no_version_has_is_collected(ledger: Ledger, tmp_path: Path) -> None:
    age(tmp_path, 8)
    before = files(tmp_path)
    (found,) = ledger.collect(older_than=7 * DAY)
    assert files(tmp_path) == before, "a dry run"
    assert ledger.collect(older_than=7 * DAY, remove=True) == (found,)
    assert len(files(tmp_path)) == len(before) - 1
    assert not (tmp_path / ".wherry" / "artifacts" / found.key).parent.exists()
    for version in (1, 2):
        ledger.artifacts.check_there(_ref(ledger, version))
    ledger.switch(CHAMPION, NAME, 1, expected_generation=2, reason="back", action="rollback")
    assert ledger.collect(older_than=7 * DAY, remove=True) == ()


def _ref(ledger: Ledger, version: int) -> ArtifactRef:
    release = ledger.find(NAME, version)
    return ArtifactRef(release.uri, release.digest, release.size)


@pytest.mark.parametrize("action", ["retire", "revoke"])
def test_a_version_keeps_its_file_in_any_state(ledger: Ledger, tmp_path: Path, action: str) -> None:
    third = ledger.register(candidate(ledger, tmp_path, b"three"))
    ledger.withdraw(NAME, third.version, action, reason="bad")
    age(tmp_path, 8)
    ledger.collect(older_than=DAY, remove=True)
    ledger.artifacts.check_there(_ref(ledger, third.version))


def test_a_young_file_is_left_to_its_run(ledger: Ledger, tmp_path: Path) -> None:
    age(tmp_path, 6)
    assert ledger.collect(older_than=7 * DAY, remove=True) == ()
    with pytest.raises(SettingsError, match="expected 1:00:00 at least"):
        ledger.collect(older_than=timedelta(minutes=1))


def test_a_file_that_is_wanted_again_is_young_again(ledger: Ledger, tmp_path: Path) -> None:
    age(tmp_path, 8)
    candidate(ledger, tmp_path, b"never registered")
    assert ledger.collect(older_than=7 * DAY, remove=True) == ()


def test_what_a_kill_left_half_written_is_collected(ledger: Ledger, tmp_path: Path) -> None:
    age(tmp_path, 8)
    ledger.collect(older_than=7 * DAY, remove=True)
    folder = tmp_path / ".wherry" / _ref(ledger, 1).uri.removeprefix("file:.wherry/")
    half = folder.parent / ".icd10-triage.gguf.x7k2"
    half.write_bytes(b"hal")
    assert ledger.collect(older_than=7 * DAY) == ()
    age(tmp_path, 8)
    (found,) = ledger.collect(older_than=7 * DAY, remove=True)
    assert found.key.endswith(half.name)
    assert not half.exists()
    ledger.artifacts.check_there(_ref(ledger, 1))


def test_a_file_that_is_registered_meanwhile_stays(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(tmp_path, 8)
    wanted = candidate(ledger, tmp_path, b"never registered")
    age(tmp_path, 8)
    listed = ledger.artifacts.stored

    def stored() -> list[Stored]:
        found = list(listed())
        with Ledger.open(tmp_path / ".wherry") as other:
            other.register(wanted)
        return found

    monkeypatch.setattr(ledger.artifacts, "stored", stored)
    assert ledger.collect(older_than=7 * DAY, remove=True) == ()
    assert ledger.find(NAME, 3).digest == wanted.digest
    ledger.artifacts.verified(_ref(ledger, 3))


def test_answers_that_are_registered_meanwhile_stay(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = tmp_path / "predictions.jsonl"
    answers.write_text('{"id": "1"}\n')
    kept = ledger.artifacts.publish(answers, digest_file(answers), predictions_name(NAME))
    wanted = candidate(ledger, tmp_path, b"three")
    tuned, shipped = wanted.scores
    shipped = replace(shipped, predictions_digest=kept.digest)
    wanted = judged(
        replace(
            wanted,
            scores=(tuned, shipped),
            lineage=replace(wanted.lineage, scores_digest=digest_record(shipped)),
        ),
        scores_digest=digest_record(shipped),
    )
    age(tmp_path, 8)
    listed = ledger.artifacts.stored

    def stored() -> list[Stored]:
        found = list(listed())
        with Ledger.open(tmp_path / ".wherry") as other:
            other.register(wanted)
        return found

    monkeypatch.setattr(ledger.artifacts, "stored", stored)
    ledger.collect(older_than=7 * DAY, remove=True)
    assert ledger.predictions_of(NAME, 3) is not None
    assert ledger.collect(older_than=7 * DAY) == ()


def test_a_file_that_was_collected_meanwhile_is_not_registered(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = candidate(ledger, tmp_path, b"never registered")
    verified = ledger.artifacts.verified

    def verify(ref: ArtifactRef) -> Path:
        path = verified(ref)
        age(tmp_path, 8)
        with Ledger.open(tmp_path / ".wherry") as other:
            assert len(other.collect(older_than=7 * DAY, remove=True)) == 1
        return path

    monkeypatch.setattr(ledger.artifacts, "verified", verify)
    with pytest.raises(MissingError, match="not in the artifact store"):
        ledger.register(wanted)
    assert len(ledger.releases()) == 2
    assert ledger.verify().ok


def test_strangers_files_stay(ledger: Ledger, tmp_path: Path) -> None:
    root = tmp_path / ".wherry" / "artifacts"
    for name in ("README", "sha256/notes.txt", "sha256/ab/other/file"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not ours")
    age(tmp_path, 8)
    assert len(ledger.collect(older_than=7 * DAY, remove=True)) == 1
    assert (root / "README").exists()
    assert (root / "sha256" / "ab" / "other" / "file").exists()


def test_a_place_that_two_stores_publish_to_is_left_alone(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_STORE", f"sqlite:///{tmp_path}/other.db")
    with Ledger.open(tmp_path / ".wherry") as other:
        age(tmp_path, 8)
        with pytest.raises(StoreError, match=r"1 other release store\(s\) publish"):
            other.collect(older_than=7 * DAY, remove=True)
        other.register(candidate(other, tmp_path, b"theirs"))
    with pytest.raises(StoreError, match="publish to the same place"):
        ledger.collect(older_than=7 * DAY)


def test_the_command_lists_by_default_and_removes_when_asked(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    age(tmp_path, 8)
    before = files(tmp_path)
    run = CliRunner().invoke
    listed = run(cli, ["models", "gc"])
    assert listed.exit_code == 0, listed.output
    assert "To remove them: wherry models gc --older-than 7d --remove" in listed.output
    assert files(tmp_path) == before
    assert "No file older than 4w" in run(cli, ["models", "gc", "--older-than", "4w"]).output
    removed = run(cli, ["models", "gc", "--remove", "--json"])
    assert len(json.loads(removed.output)["files"]) == 1
    assert len(files(tmp_path)) == 2
    with pytest.raises(SettingsError, match="'7 days' is no age"):
        run(cli, ["models", "gc", "--older-than", "7 days"], catch_exceptions=False)


def test_a_store_that_was_restored_from_an_older_copy_collects_nothing(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    keys = KeyFolder(tmp_path / ".wherry" / "keys")
    keys.init("ann", LONG_AGO)
    live, copy = (sqlite3.connect(tmp_path / name) for name in (".wherry/ledger.db", "older.db"))
    live.backup(copy)
    live.close()
    copy.close()
    third = ledger.register(candidate(ledger, tmp_path, b"three"))
    ledger.log.keep(places(tmp_path / ".wherry"), keys.signer(), keys.keyring())
    ledger.close()
    (tmp_path / "older.db").replace(tmp_path / ".wherry" / "ledger.db")
    age(tmp_path, 8)
    for told, more in (("has 4 rows, but 5 were signed", 0), ("no longer those of", 1)):
        with Ledger.open(tmp_path / ".wherry") as restored:
            for alias in range(more):
                restored.switch(f"a{alias}", NAME, 1, expected_generation=0, reason="goes on")
        for words in (("gc",), ("gc", "--remove")):
            done = CliRunner().invoke(cli, ["models", *words])
            assert isinstance(done.exception, StoreError)
            assert told in done.exception.message
    assert third.digest[7:13] in files(tmp_path)
