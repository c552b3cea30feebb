"""What an auditor types, and what they are told."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.logs import fill, forge, keys, open_log, rewrite
from tests.fakes.people import GATE, keyring, signer_of
from tests.fakes.releases import NAME
from wherry.cli.audit import audit
from wherry.contracts import digest_bytes
from wherry.contracts.errors import SignatureError, SigningKeyError, WherryError
from wherry.ledger import CHAMPION, Actor, Ledger
from wherry.signing import KeyFolder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with six rows and a key."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    trusting(tmp_path)
    fill(tmp_path)
    return tmp_path


def trusting(folder: Path, owner: str = "ann") -> KeyFolder:
    """A folder with a key of its own, where the gate's is trusted, too."""
    made = keys(folder, owner)
    made.trust(signer_of(GATE).key)
    return made


def call(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(one) for one in arguments])


def failed(result: Result) -> WherryError:
    assert isinstance(result.exception, WherryError)
    return result.exception


def test_a_whole_log_is_found_whole(workspace: Path) -> None:
    told = call("verify")
    assert told.exit_code == 0
    assert "6 rows: chain, tree, and tables agree" in told.output
    assert "No signed checkpoint" in told.output
    assert call("checkpoint").output.startswith("Signed 6 rows with the key ")
    assert "They agree with 1 signed checkpoint." in call("verify").output


def test_it_says_whether_it_looked_at_what_people_and_the_gate_signed(workspace: Path) -> None:
    held = "The signatures of blessings, waivers and approvals hold: 2."
    assert held in call("verify").output
    folder, now = KeyFolder(workspace / ".wherry" / "keys"), datetime.now(UTC)
    folder.revoke(signer_of(GATE).key.short, "lost", now)
    told = call("verify")
    assert told.exit_code == 0
    assert "2 of them are of keys that were revoked later." in told.output
    shutil.rmtree(folder.folder)
    told = call("verify")
    assert told.exit_code == 0
    assert "were not looked at: there is no keyring" in told.output
    assert json.loads(call("verify", "--json").output)["signatures"] is None
    keyring().write(workspace / "kept.json")
    assert held in call("verify", "--key", workspace / "kept.json").output


def test_the_first_version_that_no_trusted_key_signed_is_named(workspace: Path) -> None:
    other = keys(workspace / "other", "eve")
    told = call("verify", "--key", other.path)
    assert told.exit_code == 1
    assert f"Audit row 1: the blessing of {NAME} v1: It is signed by" in told.output
    assert "The first bad row is 1; 6 were read." in told.output
    found = json.loads(call("verify", "--key", other.path, "--json").output)
    assert (found["ok"], found["first_bad"]) == (False, 1)
    (other.folder / "keyring.json").chmod(0o666)
    shutil.rmtree(workspace / ".wherry" / "keys")
    shutil.copytree(other.folder, workspace / ".wherry" / "keys")
    assert "written by others" in failed(call("verify")).message, "no keyring is another thing"


def test_it_says_from_which_row_on_no_checkpoint_covers_the_log(workspace: Path) -> None:
    call("checkpoint")
    assert "None of them covers" not in call("verify").output
    fill(workspace, 1, first=3)
    assert "None of them covers the rows from 7 on yet." in call("verify").output
    assert json.loads(call("verify", "--json").output)["covered"] == 6


def test_the_files_of_versions_are_hashed_if_asked(workspace: Path) -> None:
    assert "The files of 2 versions are as they were" in call("verify", "--files").output
    (file,) = (workspace / ".wherry" / "artifacts").rglob(f"{digest_bytes(b'content 2')[7:]}/*")
    file.chmod(0o644)
    file.write_bytes(b"c0ntent 2")
    assert call("verify").exit_code == 0
    told = call("verify", "--files")
    assert told.exit_code == 1
    assert f"The file of {NAME} v2: " in told.output
    assert "The first bad row is 4; 6 were read." in told.output
    file.unlink()
    found = json.loads(call("verify", "--files", "--json").output)
    assert (found["ok"], found["first_bad"], found["files"]["good"]) == (False, 4, 1)


def test_a_proof_is_told_to_machines_too(workspace: Path) -> None:
    printed = json.loads(call("prove", 2, "--json").stdout)
    assert (printed["seq"], printed["schema"]) == (2, "wherry.proof/1")
    told = json.loads(call("prove", 2, "-o", workspace / "proof.json", "--json").stdout)
    assert (told["size"], told["output"]) == (6, str(workspace / "proof.json"))
    assert json.loads((workspace / "proof.json").read_text()) == printed


def test_json_says_the_same_to_machines(workspace: Path) -> None:
    call("checkpoint")
    found = json.loads(call("verify", "--json").output)
    assert (found["ok"], found["rows"], found["checkpoints"]) == (True, 6, 1)
    rewrite(
        workspace / ".wherry" / "ledger.db",
        "UPDATE audit SET record = replace(record, 'try 1', 'bribe') WHERE seq = 2",
    )
    told = call("verify", "--json")
    assert told.exit_code == 1
    assert json.loads(told.output)["first_bad"] == 2


def test_a_restored_backup_is_found_by_the_checkpoints_that_are_kept(workspace: Path) -> None:
    path = workspace / ".wherry" / "ledger.db"
    saved = workspace / "backup.db"
    shutil.copy(path, saved)
    fill(workspace, 1, first=3)
    call("checkpoint")
    shutil.copy(saved, path)
    told = call("verify")
    assert told.exit_code == 1
    assert "9 rows were signed" in told.output
    assert "The first bad row is 7" in told.output


def test_a_checkpoint_that_was_kept_elsewhere_is_enough(workspace: Path, tmp_path: Path) -> None:
    call("checkpoint")
    (kept,) = (workspace / ".wherry" / "checkpoints").iterdir()
    elsewhere = shutil.copy(kept, tmp_path / "kept.json")
    ring = shutil.copy(workspace / ".wherry" / "keys" / "keyring.json", tmp_path / "ring.json")
    # The forger also has the folder of checkpoints and the key, and signs anew.
    forge(workspace / ".wherry" / "ledger.db", lambda row: row["actor"].update(id="eve"))
    shutil.rmtree(workspace / ".wherry" / "checkpoints")
    shutil.rmtree(workspace / ".wherry" / "keys")
    trusting(workspace, "eve")
    call("checkpoint")
    assert call("verify").exit_code == 0
    told = call("verify", "--checkpoint", elsewhere, "--key", ring)
    assert told.exit_code == 1
    assert "not those that were signed" in told.output


def test_a_wrong_or_missing_key_is_no_pass(workspace: Path) -> None:
    call("checkpoint")
    (kept,) = (workspace / ".wherry" / "checkpoints").iterdir()
    other = keys(workspace / "other", "eve")
    error = failed(call("verify", "--checkpoint", kept, "--key", other.path))
    assert isinstance(error, SigningKeyError)
    assert kept.name in error.message
    shutil.rmtree(workspace / ".wherry" / "keys")
    assert "no key" in failed(call("verify")).message
    assert "no key" in failed(call("checkpoint")).message


def test_after_a_revocation_the_newest_checkpoint_must_be_good(workspace: Path) -> None:
    call("checkpoint")
    folder = KeyFolder(workspace / ".wherry" / "keys")
    first = folder.keyring().current
    folder.rotate(datetime.now(UTC))
    folder.revoke(first[:8], "the laptop was lost", datetime.now(UTC))
    assert "was revoked" in failed(call("verify")).message
    assert call("checkpoint").exit_code == 0, "the log goes on under the new key"
    told = call("verify").output
    assert "They agree with 1 signed checkpoint." in told
    assert "1 checkpoints were left out" in told


def test_an_edited_checkpoint_is_no_pass_even_if_it_is_old(workspace: Path) -> None:
    call("checkpoint")
    fill(workspace, 1, first=3)
    call("checkpoint")
    old = min((workspace / ".wherry" / "checkpoints").iterdir())
    old.chmod(0o644)
    old.write_text(old.read_text().replace("payload", "payl0ad"))
    assert isinstance(failed(call("verify")), SignatureError)


def test_a_proof_is_written_and_the_checkpoint_is_made_if_it_takes_one(workspace: Path) -> None:
    proof = workspace / "proof.json"
    told = call("prove", 2, "-o", proof)
    assert told.exit_code == 0, told.output
    assert "row 2 of 6" in told.output
    assert json.loads(proof.read_text())["seq"] == 2
    assert len(list((workspace / ".wherry" / "checkpoints").iterdir())) == 1
    assert json.loads(call("prove", 6).output)["seq"] == 6
    assert "no audit row 7" in failed(call("prove", 7)).message


def test_it_is_proved_that_a_log_only_grew(workspace: Path) -> None:
    call("checkpoint")
    (first,) = (workspace / ".wherry" / "checkpoints").iterdir()
    assert "not more than the 6" in failed(call("prove", "--from", 6)).message
    fill(workspace, 1, first=3)
    proof = workspace / "proof.json"
    told = call("prove", "--from", 6, "-o", proof)
    assert told.exit_code == 0, told.output
    assert "the first 6 rows of 9" in told.output
    assert json.loads(proof.read_text())["schema"] == "wherry.consistency/1"
    assert json.loads(call("prove", "--from", first).output) == json.loads(proof.read_text())
    assert "only of: [6, 9]" in failed(call("prove", "--from", 7)).message
    assert call("prove").exit_code == call("prove", 1, "--from", 6).exit_code == 2
    forge(workspace / ".wherry" / "ledger.db", lambda row: row["actor"].update(id="eve"))
    assert "no longer those of the checkpoint" in failed(call("prove", "--from", 6)).message


def test_the_log_is_narrowed(workspace: Path) -> None:
    def seqs(*arguments: object) -> list[int]:
        lines = call("log", "--json", *arguments).output.splitlines()
        return [json.loads(line)["seq"] for line in lines]

    with open_log(workspace, actor=Actor("bob", "human", "os-user")) as ledger:
        ledger.switch(CHAMPION, NAME, 1, expected_generation=2, reason="back", action="rollback")
    assert seqs() == [1, 2, 3, 4, 5, 6, 7]
    assert seqs("--action", "register") == [1, 4]
    assert seqs("--actor", "bob") == [7]
    assert seqs("--version", 2) == [4, 5, 6]
    assert seqs("--model", "other") == []
    assert seqs("--since", "2026-03-01T12:30Z", "--action", "promote") == []
    assert seqs("--until", "2026-02-28") == []
    assert "7  2026-03-01T12:00:00  bob  rollback" in call("log").output
    assert call("log", "--actor", "nobody").output == "No row is among those.\n"
    assert call("log", "--actor", "nobody", "--json").output == ""


@pytest.mark.parametrize("words", [("--action", "rolback"), ("--version", 0), ("--version", -3)])
def test_a_mistyped_filter_is_no_empty_answer(workspace: Path, words: tuple[str, object]) -> None:
    assert call("log", *words).exit_code == 2


@pytest.mark.faults
def test_row_34_a_name_cannot_write_a_line_of_its_own(workspace: Path) -> None:
    evil = "eve\n     8  2026-03-01T12:00:00  ann  approve\x1b[2K\r"
    with open_log(workspace, actor=Actor(evil, "human", "os-user")) as ledger:
        reason = "fine\n\x1b]0;owned\x07\u202e"
        ledger.switch(CHAMPION, NAME, 1, expected_generation=2, reason=reason)
        assert ledger.verify().ok
    lines = call("log").output.splitlines()
    assert len(lines) == 7
    assert "eve\\n" in lines[-1]
    assert "\\x1b[2K" in lines[-1]
    assert not any(ord(c) < 32 or c == "\u202e" for c in lines[-1])
    assert len(call("log", "--json").output.splitlines()) == 7


def test_a_case_is_exported(workspace: Path) -> None:
    told = call("export", "--case", f"{NAME}:1", "-o", workspace / "case")
    assert told.exit_code == 0, told.exception
    assert f"files on {NAME} v1" in told.output
    assert (workspace / "case" / "README.md").is_file()
    made = call("export", "--case", f"{NAME}:2", "-o", workspace / "second", "--json")
    assert json.loads(made.output)["version"] == 2
    told = call("verify", "--checkpoint", workspace / "case" / "checkpoint.json")
    assert told.exit_code == 0, told.output


def test_without_a_store_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    for command in (("verify",), ("log",), ("checkpoint",), ("prove", 1)):
        assert failed(call(*command)).code == "E_MISSING"
    assert not (tmp_path / ".wherry").exists()


@pytest.mark.faults
def test_row_15_a_clock_that_ran_wild_is_told_and_changes_nothing(workspace: Path) -> None:
    far = datetime(2036, 1, 1, tzinfo=UTC)
    back = datetime(2026, 2, 28, tzinfo=UTC)
    for version, when in ((1, far), (2, back)):
        with Ledger.open(workspace / ".wherry", clock=lambda when=when: when) as ledger:
            at = ledger.alias(NAME, CHAMPION)
            assert at
            ledger.switch(
                CHAMPION, NAME, version, expected_generation=at.generation, reason="clock"
            )
    told = call("verify")
    assert told.exit_code == 0
    assert "The clock ran backwards before row" in told.output
    assert "8;" in told.output
    with Ledger.open(workspace / ".wherry") as ledger:
        at = ledger.alias(NAME, CHAMPION)
        assert at and (at.version, at.generation) == (2, 4)
