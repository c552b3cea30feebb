"""Ingest's step on a store in memory."""

import json
from pathlib import Path

import pytest

from tests.fakes.rows import lines, row, rows
from tests.fakes.store import MemoryStore
from wherry.contracts import Dataset, Manifest, digest_file
from wherry.contracts.errors import (
    ConflictError,
    DataError,
    DigestError,
    FormatError,
    MissingError,
    SettingsError,
    UriError,
)
from wherry.contracts.settings import read_settings
from wherry.ingest.settings import IngestSettings
from wherry.ingest.step import (
    TrackedFile,
    ingest,
    listing_checksum,
    redacted,
    repository,
)
from wherry.progress import Silent

CONTENTS = {
    "icd10/train.jsonl": lines(rows(6)),
    "icd10/eval.jsonl": lines(rows(3, "eval")),
    "icd10/test.jsonl": lines(rows(3, "test")),
    "icd10/labels.json": b'["eye", "heart", "skin"]\n',
    "other/notes.txt": b"not taken",
}


def take(into: Path, store: MemoryStore, checksum: str = "", **settings: object) -> Dataset:
    chosen = read_settings(IngestSettings, {"folder": "icd10"} | settings)
    return ingest(store, into, chosen, checksum, Silent())


def test_the_data_set_is_described_as_it_is(tmp_path: Path) -> None:
    dataset = take(tmp_path, MemoryStore(CONTENTS), licence="CC0-1.0")
    assert [(s.name, s.rows) for s in dataset.splits] == [("train", 6), ("eval", 3), ("test", 3)]
    assert dataset.split("test").digest == digest_file(tmp_path / "test.jsonl")
    assert dataset.labels == ("eye", "heart", "skin")
    assert dataset.digest == Manifest.of_folder(tmp_path).digest
    assert dataset.source.revision == "c0ffee"
    assert dataset.licence == "CC0-1.0"


def test_only_the_chosen_folder_is_taken(tmp_path: Path) -> None:
    take(tmp_path, MemoryStore(CONTENTS))
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"train.jsonl", "eval.jsonl", "test.jsonl", "labels.json"}


def test_labels_are_those_of_the_train_split_alone(tmp_path: Path) -> None:
    odd = lines([row(0, "test", label="ear")])
    dataset = take(tmp_path, MemoryStore(CONTENTS | {"icd10/test.jsonl": odd}))
    assert "ear" not in dataset.labels


def test_a_corrupted_object_is_refused_by_name(tmp_path: Path) -> None:
    flipped = CONTENTS["icd10/test.jsonl"].replace(b"eye", b"ear")
    with pytest.raises(DigestError, match=r"icd10/test\.jsonl.*expected [0-9a-f]{32}"):
        take(tmp_path, MemoryStore(CONTENTS, served={"icd10/test.jsonl": flipped}))


def test_a_truncated_object_is_refused(tmp_path: Path) -> None:
    cut = CONTENTS["icd10/train.jsonl"][:-1]
    with pytest.raises(DigestError, match=r"icd10/train\.jsonl"):
        take(tmp_path, MemoryStore(CONTENTS, served={"icd10/train.jsonl": cut}))


def test_a_listing_that_was_changed_with_its_files_is_refused(tmp_path: Path) -> None:
    other = {**CONTENTS, "icd10/train.jsonl": lines(rows(5))}
    swapped = MemoryStore(CONTENTS, served=other, listed=MemoryStore(other).files())
    with pytest.raises(DigestError, match="listing of data"):
        take(tmp_path, swapped)


def test_another_checksum_than_the_agreed_one_is_a_conflict(tmp_path: Path) -> None:
    store = MemoryStore(CONTENTS)
    take(tmp_path / "a", store, checksum=store.resolve().checksum)
    with pytest.raises(ConflictError, match=r"expected md5:0\.dir") as caught:
        take(tmp_path / "b", store, checksum="md5:0.dir")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["../evil.jsonl", "/etc/passwd", "a/../../b", "a\\..\\b"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    store = MemoryStore({**CONTENTS, f"icd10/{name}": b"x"} if name[0] != "/" else {name: b"x"})
    inside = tmp_path / "in"
    with pytest.raises((FormatError, MissingError)):
        take(inside, store)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("name", ["dataset.json", "manifest.json"])
def test_data_cannot_pose_as_our_own_records(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=name):
        take(tmp_path, MemoryStore({**CONTENTS, f"icd10/{name}": b"{}"}))


def test_a_broken_row_names_file_and_line(tmp_path: Path) -> None:
    broken = CONTENTS["icd10/eval.jsonl"] + b'{"id": 5}\n'
    with pytest.raises(DataError, match=r"eval\.jsonl, line 4"):
        take(tmp_path, MemoryStore({**CONTENTS, "icd10/eval.jsonl": broken}))


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    without = {path: data for path, data in CONTENTS.items() if "test" not in path}
    with pytest.raises(MissingError, match=r"test\.jsonl"):
        take(tmp_path / "a", MemoryStore(without))
    two = take(tmp_path / "b", MemoryStore(without), splits=["train", "eval"])
    assert [split.name for split in two.splits] == ["train", "eval"]


def test_a_wrong_folder_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="'icd11', only: icd10, other"):
        take(tmp_path, MemoryStore(CONTENTS), folder="icd11")


def test_the_listing_checksum_is_dvcs_own() -> None:
    # From `dvc add` 3.67 on a folder with these two files.
    files = [
        TrackedFile("b/y.txt", "415290769594460e2e485922904f345d"),
        TrackedFile("a.txt", "9dd4e461268c8034f5c8564e155c67a6"),
    ]
    assert listing_checksum(files) == "md5:dba38c78a5d6336957004c8fc3c7b8b9.dir"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"path": "../x"}', "path must stay inside"),
        ('{"folder": "/etc"}', "folder must stay inside"),
        ('{"path": ""}', "path must name"),
        ('{"splits": ["test"]}', "splits must include train"),
        ('{"kind": "preference"}', "kind"),
        ('{"foldr": "icd10"}', "unknown field 'foldr'"),
    ],
)
def test_a_wrong_setting_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_settings(IngestSettings, text)


def test_repositories_are_folders_or_encrypted_addresses(tmp_path: Path) -> None:
    for good in (str(tmp_path), "https://h/x.git", "ssh://git@h/x", "git@github.com:org/x.git"):
        assert repository(good) == good
    for bad in ("http://h/x", "git://h/x", "file:///x", "ext::sh -c id", "ftp://h/x"):
        with pytest.raises(UriError):
            repository(bad)
    with pytest.raises(MissingError, match="no folder"):
        repository(str(tmp_path / "gone"))


def test_a_token_in_an_address_is_never_shown() -> None:
    assert redacted("https://me:secret@host/x.git") == "https://host/x.git"
    assert redacted("git@host:x.git") == "git@host:x.git"
    with pytest.raises(UriError) as caught:
        repository("http://me:secret@host/x.git")
    assert "secret" not in str(caught.value)


def test_settings_survive_json() -> None:
    text = json.dumps({"folder": "icd10", "splits": ["train", "test"]})
    assert read_settings(IngestSettings, text).splits == ("train", "test")
