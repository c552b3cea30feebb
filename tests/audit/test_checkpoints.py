"""A log that was signed once can neither be cut nor rewritten without being found out."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.fakes.logs import fill, forge, keys, lengthen, open_log, rewrite
from wherry.contracts.errors import (
    FileAccessError,
    MissingError,
    SettingsError,
    SignatureError,
    SigningKeyError,
    StoreError,
)
from wherry.ledger.checkpoints import Signed, opened, signed
from wherry.ledger.merkle import is_consistent
from wherry.ledger.places import Bucket, Folder, GitFolder, places
from wherry.ledger.tree import Tree


@pytest.fixture
def outside(tmp_path: Path) -> Folder:
    """A folder that the store's owner cannot reach."""
    return Folder(tmp_path / "outside")


def keep(folder: Path, *where: Folder | GitFolder | Bucket) -> Signed:
    """Signs the log of a folder as it stands."""
    key = keys(folder) if not (folder / ".wherry" / "keys").exists() else _keys(folder)
    with open_log(folder) as ledger:
        return ledger.log.keep(where, key.signer(), key.keyring())


def _keys(folder: Path):  # type: ignore[no-untyped-def] # a KeyFolder
    from wherry.signing import KeyFolder

    return KeyFolder(folder / ".wherry" / "keys")


def verified(folder: Path, *signed: Signed):  # type: ignore[no-untyped-def] # a Verification
    with open_log(folder) as ledger:
        return ledger.verify(signed)


def test_a_checkpoint_covers_the_log_and_later_rows_extend_it(
    tmp_path: Path, outside: Folder
) -> None:
    fill(tmp_path)
    first = keep(tmp_path, outside)
    fill(tmp_path, 1, first=3)
    second = keep(tmp_path, outside)
    assert (first.checkpoint.size, second.checkpoint.size) == (6, 9)
    assert outside.names() == [first.name, second.name]
    found = verified(tmp_path, first, second)
    assert (found.ok, found.checkpoints, found.root) == (True, 2, second.checkpoint.root)
    with open_log(tmp_path) as ledger:
        proof = Tree.of(ledger._tables).consistency(6, 9)
    roots = [bytes.fromhex(one.checkpoint.root[7:]) for one in (first, second)]
    assert is_consistent(6, 9, *roots, proof)


def test_the_same_state_is_kept_once(tmp_path: Path, outside: Folder) -> None:
    fill(tmp_path)
    first = keep(tmp_path, outside)
    kept = outside.read(first.name)
    keep(tmp_path, outside)
    assert outside.names() == [first.name]
    assert outside.read(first.name) == kept
    assert (outside.folder / first.name).stat().st_mode & 0o222 == 0


def test_a_cut_tail_is_found(tmp_path: Path, outside: Folder) -> None:
    path = fill(tmp_path, 1)
    saved = tmp_path / "backup.db"
    shutil.copy(path, saved)
    fill(tmp_path, 1, first=2)
    signed = keep(tmp_path, outside)
    shutil.copy(saved, path)
    assert verified(tmp_path).ok, "the older copy is whole in itself"
    found = verified(tmp_path, signed)
    assert (found.ok, found.first_bad) == (False, 4)
    assert "6 rows were signed" in found.reason


def test_a_log_rewritten_whole_is_found(tmp_path: Path, outside: Folder) -> None:
    path = fill(tmp_path)
    signed = keep(tmp_path, outside)
    forge(path, lambda row: row["actor"].update(id="bob"))
    assert verified(tmp_path).ok, "nothing in the store itself tells"
    found = verified(tmp_path, signed)
    assert (found.ok, found.first_bad) == (False, 1)
    assert "not those that were signed" in found.reason


def test_the_first_rows_that_no_older_checkpoint_covers_are_named(
    tmp_path: Path, outside: Folder
) -> None:
    path = fill(tmp_path, 1)
    first = keep(tmp_path, outside)
    fill(tmp_path, 1, first=2)
    second = keep(tmp_path, outside)
    forge(path, lambda row: row["actor"].update(id="bob"), since=5)
    found = verified(tmp_path, second, first)
    assert (found.ok, found.first_bad, found.checkpoints) == (False, 4, 1)


def test_a_changed_log_is_not_signed_again(tmp_path: Path, outside: Folder) -> None:
    path = fill(tmp_path)
    keep(tmp_path, outside)
    forge(path, lambda row: row["actor"].update(id="bob"))
    with pytest.raises(StoreError, match="no longer those of the checkpoint"):
        keep(tmp_path, outside)
    rewrite(path, "DELETE FROM audit WHERE seq > 4")
    with pytest.raises(StoreError, match="has 4 rows, but 6 were signed"):
        keep(tmp_path, outside)
    assert len(outside.names()) == 1


def test_a_place_that_holds_something_else_is_refused(tmp_path: Path, outside: Folder) -> None:
    fill(tmp_path)
    first = keep(tmp_path, outside)
    fill(tmp_path, 1, first=3)
    with open_log(tmp_path) as ledger:
        name = signed(ledger.log.checkpoint(), _keys(tmp_path).signer()).name
    outside.put(name, first.envelope)
    with pytest.raises(StoreError, match="checkpoint of another log"):
        keep(tmp_path, outside)


def test_a_place_that_cannot_be_listed_is_no_empty_one(tmp_path: Path) -> None:
    assert Folder(tmp_path / "not there yet").names() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        Folder(tmp_path / "file").names()


def test_an_empty_log_has_no_checkpoint(tmp_path: Path, outside: Folder) -> None:
    with open_log(tmp_path), pytest.raises(MissingError, match="no audit row to sign"):
        keep(tmp_path, outside)


def test_only_a_trusted_key_that_is_good_counts(tmp_path: Path, outside: Folder) -> None:
    fill(tmp_path)
    signed = keep(tmp_path, outside)
    ring, other = _keys(tmp_path).keyring(), keys(tmp_path / "other", "eve").keyring()
    assert opened(signed.envelope, ring).checkpoint == signed.checkpoint
    with pytest.raises(SigningKeyError, match="not trusted here"):
        opened(signed.envelope, other, where="kept.json")
    revoked = ring.revoked(ring.current[:8], "the laptop was lost", datetime.now(UTC))
    with pytest.raises(SigningKeyError, match="was revoked"):
        opened(signed.envelope, revoked)
    rotated = _keys(tmp_path)
    rotated.rotate(datetime.now(UTC))
    assert opened(signed.envelope, rotated.keyring()).checkpoint == signed.checkpoint


@pytest.mark.parametrize("change", ["payload", "signatures", "type"])
def test_a_changed_envelope_counts_for_nothing(
    tmp_path: Path, outside: Folder, change: str
) -> None:
    import base64

    fill(tmp_path)
    envelope = json.loads(keep(tmp_path, outside).envelope)
    if change == "payload":
        text = base64.b64decode(envelope["payload"]).replace(b'"size": 6', b'"size": 5')
        envelope["payload"] = base64.b64encode(text).decode()
    elif change == "signatures":
        envelope["signatures"] = []
    else:
        envelope["payloadType"] = "application/vnd.wherry.blessing+json"
    with pytest.raises(SignatureError, match="kept"):
        opened(json.dumps(envelope).encode(), _keys(tmp_path).keyring(), where="kept")


def test_a_tampered_hash_of_a_block_is_found(tmp_path: Path) -> None:
    path = lengthen(tmp_path, 258)  # one whole block
    with open_log(tmp_path) as ledger:
        root = Tree.of(ledger._tables).root()
        assert len(list(ledger._tables.blocks())) == 1
        assert ledger.verify().root == f"sha256:{root.hex()}"
    rewrite(path, f"UPDATE blocks SET hash = '{64 * 'a'}'")
    found = verified(tmp_path)
    assert (found.ok, found.first_bad) == (False, 1)
    assert "Audit rows 1 to 256" in found.reason


def test_no_row_is_read_while_other_writers_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.ledger.tree._BATCH", 1)
    lengthen(tmp_path, 2 * 256 + 3)
    with open_log(tmp_path) as ledger, open_log(tmp_path) as other:
        tables, read, kept = ledger._tables, ledger._tables.raw_rows, []

        def raw_rows(*bounds: int) -> Iterator[tuple[int, str, str]]:
            # Another process writes, and does not wait half a minute for its turn.
            with other._tables.writing():
                kept.append(len(list(other._tables.blocks())))
            return read(*bounds)

        monkeypatch.setattr(tables, "raw_rows", raw_rows)
        tree = Tree.of(tables)
        monkeypatch.undo()
        assert kept == [0, 1]
        assert len(list(tables.blocks())) == 2
        assert f"sha256:{tree.root().hex()}" == ledger.verify().root


def test_two_processes_keep_the_same_hashes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengthen(tmp_path, 2 * 256)
    with open_log(tmp_path) as ledger, open_log(tmp_path) as other:
        read = ledger._tables.raw_rows

        def raw_rows(*bounds: int) -> Iterator[tuple[int, str, str]]:
            Tree.of(other._tables)
            return read(*bounds)

        monkeypatch.setattr(ledger._tables, "raw_rows", raw_rows)
        assert Tree.of(ledger._tables).root() == Tree.of(other._tables).root()
        assert len(list(other._tables.blocks())) == 2


def test_every_proof_across_blocks_leads_to_the_signed_root(
    tmp_path: Path, outside: Folder
) -> None:
    from wherry.ledger.merkle import leaf_hash, root_by_inclusion

    lengthen(tmp_path, 270)
    signed = keep(tmp_path, outside)
    with open_log(tmp_path) as ledger:
        for seq in (1, 2, 255, 256, 257, 269, 270):
            proof = ledger.log.prove(seq, signed)
            path = [bytes.fromhex(step) for step in proof.path]
            leaf = leaf_hash(proof.record.encode())
            root = root_by_inclusion(seq - 1, 270, leaf, path)
            assert root and f"sha256:{root.hex()}" == signed.checkpoint.root


def test_a_row_beyond_the_checkpoint_is_not_proved_by_it(tmp_path: Path, outside: Folder) -> None:
    fill(tmp_path, 1)
    signed = keep(tmp_path, outside)
    fill(tmp_path, 1, first=2)
    with open_log(tmp_path) as ledger:
        with pytest.raises(MissingError, match="covers 3 rows, not row 4"):
            ledger.log.prove(4, signed)
        with pytest.raises(MissingError, match="no audit row 7"):
            ledger.log.prove(7, signed)


def test_a_git_folder_has_a_commit_a_checkpoint(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    (repository / "mine.txt").write_text("not to be committed along")
    subprocess.run(["git", "-C", str(repository), "add", "mine.txt"], check=True)
    place = GitFolder(repository)
    fill(tmp_path, 1)
    first = keep(tmp_path, place)
    keep(tmp_path, place)
    fill(tmp_path, 1, first=2)
    second = keep(tmp_path, place)
    log = subprocess.run(
        ["git", "-C", str(repository), "log", "--format=%s", "--name-only"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    assert [line for line in log if line] == [
        "Checkpoint of the audit log at 6 rows",
        second.name,
        "Checkpoint of the audit log at 3 rows",
        first.name,
    ]


def test_a_commit_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for a passphrase of somebody's own key, nor for a hook that never ends."""
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    for name, value in (("commit.gpgSign", "true"), ("gpg.program", "/bin/false")):
        subprocess.run(["git", "-C", str(repository), "config", name, value], check=True)
    fill(tmp_path, 1)
    keep(tmp_path, GitFolder(repository))
    hook = repository / ".git" / "hooks" / "post-commit"
    hook.write_text("#!/bin/sh\nsleep 60\n")
    hook.chmod(0o755)
    monkeypatch.setattr("wherry.ledger.places._GIT_TIMEOUT", 0.5)
    fill(tmp_path, 1, first=2)
    with pytest.raises(FileAccessError, match=r"did not end within 0\.5 s"):
        keep(tmp_path, GitFolder(repository))


def test_a_bucket_keeps_the_first_of_a_name(tmp_path: Path) -> None:
    place = Bucket(f"memory://audit-{tmp_path.name}/icd10")
    with pytest.raises(FileAccessError, match="cannot be read"):
        place.names()  # of a bucket that is not there
    MemoryFileSystem().mkdir(f"audit-{tmp_path.name}")
    assert place.names() == []
    fill(tmp_path)
    signed = keep(tmp_path, place)
    place.put(signed.name, b"another")
    assert place.read(signed.name) == signed.envelope
    assert place.names() == [signed.name]


def test_the_variable_names_several_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHERRY_CHECKPOINTS", f"{tmp_path}/a, git:{tmp_path}/b ,s3://worm/c")
    kinds = [type(place).__name__ for place in places(tmp_path)]
    assert kinds == ["Folder", "GitFolder", "Bucket"]
    monkeypatch.setenv("WHERRY_CHECKPOINTS", "http://example.org/x")
    with pytest.raises(Exception, match="expected a folder, s3://"):
        places(tmp_path)


@pytest.mark.parametrize("named", [",", " , ,"])
def test_a_variable_that_names_no_place_keeps_nothing_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.setenv("WHERRY_CHECKPOINTS", named)
    with pytest.raises(SettingsError, match="names no place"):
        places(tmp_path)
