"""Ingest from a plain folder below the workspace."""

import os
from pathlib import Path

import pytest

from tests.ingest.repositories import contents, resolve, take
from wherry.contracts.errors import ConflictError, DigestError, FormatError, MissingError, UriError
from wherry.ingest.adapters.open import open_store
from wherry.ingest.step import materialise
from wherry.progress import Silent

ROWS = {"train.jsonl": b"a\n" * 9, "more/test.jsonl": b"b\n", "empty.jsonl": b""}


@pytest.fixture
def rows(workspace: Path) -> Path:
    """A folder of three files."""
    for name, data in ROWS.items():
        (workspace / "rows" / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / "rows" / name).write_bytes(data)
    return workspace / "rows"


def test_a_folder_is_taken_whole(rows: Path, tmp_path: Path) -> None:
    source, _ = take(tmp_path / "out", "file:rows", path="")
    assert contents(tmp_path / "out") == ROWS
    assert (source.uri, source.revision) == ("file:rows", "")
    assert source.checksum == resolve("file:rows", path="").checksum


@pytest.mark.parametrize(
    ("address", "path"), [("file:rows/train.jsonl", ""), ("file:rows", "train.jsonl")]
)
def test_one_file_is_taken(rows: Path, tmp_path: Path, address: str, path: str) -> None:
    take(tmp_path / "out", address, path=path)
    assert contents(tmp_path / "out") == {"train.jsonl": ROWS["train.jsonl"]}


def test_the_checksum_follows_the_bytes_and_not_the_times(rows: Path, tmp_path: Path) -> None:
    before = resolve("file:rows", path="").checksum
    os.utime(rows / "train.jsonl", (1, 1))
    assert resolve("file:rows", path="").checksum == before
    (rows / "train.jsonl").write_bytes(b"c\n" * 9)
    assert resolve("file:rows", path="").checksum != before
    with pytest.raises(ConflictError):
        take(tmp_path / "out", "file:rows", path="", checksum=before)


def test_a_file_that_changes_meanwhile_is_refused(rows: Path, tmp_path: Path) -> None:
    with open_store("file:rows") as store:
        store.files()
        (rows / "train.jsonl").write_bytes(b"c\n" * 9)
        with pytest.raises(DigestError, match=r"train\.jsonl"):
            materialise(store, tmp_path / "out", "", "", Silent())


def test_a_file_that_vanishes_meanwhile_is_named(rows: Path, tmp_path: Path) -> None:
    with open_store("file:rows") as store:
        store.files()
        (rows / "train.jsonl").unlink()
        with pytest.raises((MissingError, FormatError), match=r"train\.jsonl"):
            materialise(store, tmp_path / "out", "", "", Silent())


@pytest.mark.parametrize("address", ["file:../outside", "file:rows/../../outside", "file:/etc"])
def test_an_address_that_leaves_the_workspace_is_refused(rows: Path, address: str) -> None:
    (rows.parent.parent / "outside").mkdir()
    with pytest.raises(UriError):
        resolve(address, path="")


def test_a_path_that_leaves_the_folder_is_refused(rows: Path) -> None:
    with pytest.raises(UriError):
        resolve("file:rows", path="../other")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "nowhere"])
def test_a_link_that_leaves_the_folder_is_refused(rows: Path, tmp_path: Path, target: str) -> None:
    (rows.parent.parent / "secret").write_text("x")
    (rows / "link.jsonl").symlink_to(target)
    with pytest.raises(FormatError, match=r"link\.jsonl"):
        take(tmp_path / "out", "file:rows", path="")
    assert not (tmp_path / "out").exists()


def test_a_link_to_a_folder_outside_is_refused(rows: Path, tmp_path: Path) -> None:
    (rows / "link").symlink_to("/etc")
    with pytest.raises(FormatError, match="link"):
        take(tmp_path / "out", "file:rows", path="")


def test_a_link_inside_the_folder_is_the_file_that_it_names(rows: Path, tmp_path: Path) -> None:
    (rows / "same.jsonl").symlink_to("train.jsonl")
    take(tmp_path / "out", "file:rows", path="")
    assert contents(tmp_path / "out")["same.jsonl"] == ROWS["train.jsonl"]
    assert not (tmp_path / "out" / "same.jsonl").is_symlink()


def test_a_pipe_is_no_file(rows: Path, tmp_path: Path) -> None:
    os.mkfifo(rows / "pipe.jsonl")
    with pytest.raises(FormatError, match=r"pipe\.jsonl"):
        take(tmp_path / "out", "file:rows", path="")


@pytest.mark.parametrize("name", ["a\nb.jsonl", "\x1b[31m.jsonl", "a\\b.jsonl"])
def test_an_odd_name_is_refused_in_one_line(rows: Path, tmp_path: Path, name: str) -> None:
    (rows / name).write_bytes(b"x")
    with pytest.raises(FormatError) as caught:
        take(tmp_path / "out", "file:rows", path="")
    assert str(caught.value).isprintable()


def test_a_folder_has_no_revisions(rows: Path) -> None:
    with pytest.raises(UriError, match="no revisions"):
        resolve("file:rows", "main", path="")


def test_nothing_there_is_named(workspace: Path) -> None:
    with pytest.raises(MissingError, match="gone"):
        resolve("file:gone", path="")


def test_an_empty_folder_is_no_data(workspace: Path, tmp_path: Path) -> None:
    (workspace / "rows").mkdir()
    with pytest.raises(MissingError):
        take(tmp_path / "out", "file:rows", path="")
