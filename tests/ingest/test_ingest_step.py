"""Ingest's step on a store in memory."""

import hashlib
import threading
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.fakes.rows import lines, rows
from tests.fakes.store import MemoryStore
from wherry.contracts import FileEntry, Manifest, Source, digest_bytes, digest_file
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FormatError,
    MissingError,
    NoSpaceError,
    as_wherry_error,
)
from wherry.ingest.patience import Patience
from wherry.ingest.step import (
    Fetched,
    TrackedFile,
    listing_checksum,
    listing_digest,
    materialise,
)
from wherry.progress import Silent

CONTENTS = {
    "icd10/train.jsonl": lines(rows(6)),
    "icd10/eval.jsonl": lines(rows(3, "eval")),
    "icd10/test.jsonl": lines(rows(3, "test")),
    "icd10/labels.json": b'["eye", "heart", "skin"]\n',
    "other/notes.txt": b"not taken",
}
AT_ONCE = Patience(first=0.0)


def take(
    into: Path, store: MemoryStore, inside: str = "icd10", checksum: str = ""
) -> tuple[Fetched, ...]:
    return materialise(store, into, inside, checksum, Silent(), AT_ONCE)[1]


def test_each_file_arrives_whole_with_its_digest(tmp_path: Path) -> None:
    fetched = take(tmp_path, MemoryStore(CONTENTS))
    assert [file.path for file in fetched] == [
        "eval.jsonl",
        "labels.json",
        "test.jsonl",
        "train.jsonl",
    ]
    for file in fetched:
        assert (tmp_path / file.path).read_bytes() == CONTENTS[f"icd10/{file.path}"]
        assert file.sha256 == digest_file(tmp_path / file.path)
        assert file.size == (tmp_path / file.path).stat().st_size


def test_a_manifest_made_of_the_digests_is_the_one_made_of_the_files(tmp_path: Path) -> None:
    fetched = take(tmp_path, MemoryStore(CONTENTS))
    entries = tuple(FileEntry(file.path, file.size, file.sha256) for file in fetched)
    assert Manifest(entries) == Manifest.of_folder(tmp_path)


def test_the_source_is_the_one_that_was_resolved(tmp_path: Path) -> None:
    store = MemoryStore(CONTENTS)
    source, _ = materialise(store, tmp_path, "icd10", "", Silent())
    assert source == store.resolve()


def test_only_the_chosen_folder_is_taken(tmp_path: Path) -> None:
    take(tmp_path, MemoryStore(CONTENTS))
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"train.jsonl", "eval.jsonl", "test.jsonl", "labels.json"}


def test_a_folder_whose_name_begins_the_same_is_not_taken(tmp_path: Path) -> None:
    store = MemoryStore({**CONTENTS, "icd10-old/train.jsonl": b"old"})
    assert all("old" not in file.path for file in take(tmp_path, store))


def test_the_whole_version_and_one_file_can_be_taken(tmp_path: Path) -> None:
    assert len(take(tmp_path / "all", MemoryStore(CONTENTS), inside="")) == len(CONTENTS)
    one = take(tmp_path / "one", MemoryStore(CONTENTS), inside="icd10/test.jsonl")
    assert [file.path for file in one] == ["test.jsonl"]
    assert (tmp_path / "one" / "test.jsonl").read_bytes() == CONTENTS["icd10/test.jsonl"]


def test_a_corrupted_object_is_refused_by_name(tmp_path: Path) -> None:
    flipped = CONTENTS["icd10/test.jsonl"].replace(b"eye", b"ear")
    with pytest.raises(DigestError, match=r"icd10/test\.jsonl.*expected [0-9a-f]{32}"):
        take(tmp_path, MemoryStore(CONTENTS, served={"icd10/test.jsonl": flipped}))


def test_a_corrupted_object_is_fetched_once_more_and_not_oftener(tmp_path: Path) -> None:
    store = MemoryStore(CONTENTS, served={"icd10/test.jsonl": b"x"})
    with pytest.raises(DigestError):
        take(tmp_path, store)
    assert store.opened["icd10/test.jsonl"] == 2


def test_a_truncated_object_is_refused(tmp_path: Path) -> None:
    cut = CONTENTS["icd10/train.jsonl"][:-1]
    with pytest.raises(DigestError, match=r"icd10/train\.jsonl"):
        take(tmp_path, MemoryStore(CONTENTS, served={"icd10/train.jsonl": cut}))


def test_a_size_is_checked_where_there_is_no_hash(tmp_path: Path) -> None:
    class Opaque(MemoryStore):
        def expected(self, file: TrackedFile) -> str:
            return "etag:opaque"

    listed = [TrackedFile("a", f"md5:{hashlib.md5(b'four').hexdigest()}", size=5)]
    with pytest.raises(DigestError, match="4 bytes, expected 5"):
        take(tmp_path, Opaque({"a": b"four"}, listed=listed), inside="")


def test_a_kind_of_hash_that_nobody_knows_is_never_passed_over(tmp_path: Path) -> None:
    class Odd(MemoryStore):
        def expected(self, file: TrackedFile) -> str:
            return "blake9:00"

    with pytest.raises(DigestError, match="blake9"):
        take(tmp_path, Odd(CONTENTS))


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
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jsonl",
        "a/../../evil",
        "a\\..\\evil",
        "a//evil",
        "/evil",
        "./evil",
        "",
        "evil\n{}",
        "\x1b[2Jevil",
        "evil\x00",
        "evil\u2028",
        "evil\u202efdp",
        "\udcffevil",
        "e" * 256 + "vil",
    ],
)
def test_a_name_that_leaves_the_folder_or_fools_a_reader_is_refused(
    tmp_path: Path, name: str
) -> None:
    store = MemoryStore({**CONTENTS, f"icd10/{name}": b"x"})
    inside = tmp_path / "in"
    with pytest.raises(FormatError) as caught:
        take(inside, store)
    assert str(caught.value).isprintable()
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../evil"])
def test_a_name_from_outside_is_never_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError):
        take(tmp_path / "in", MemoryStore({name: b"x"}), inside="")
    assert list(tmp_path.rglob("*")) == []


def test_a_name_that_is_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="both a file and a folder 'a'"):
        take(tmp_path, MemoryStore({"a": b"1", "a/b": b"2"}), inside="")


def test_names_of_other_scripts_are_names(tmp_path: Path) -> None:
    store = MemoryStore({"données/été 1.jsonl": b"x", "データ.jsonl": b"y"})
    assert {file.path for file in take(tmp_path, store, inside="")} == set(store.contents)


@pytest.mark.parametrize("name", ["dataset.json", "manifest.json", "quarantine.jsonl"])
def test_data_cannot_pose_as_our_own_records(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=name):
        take(tmp_path, MemoryStore({**CONTENTS, f"icd10/{name}": b"{}"}))


def test_a_wrong_folder_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="'icd11', only: icd10, other"):
        take(tmp_path, MemoryStore(CONTENTS), inside="icd11")


def test_a_connection_that_breaks_in_the_middle_is_tried_again(tmp_path: Path) -> None:
    broken = [ConnectionResetError("reset"), TimeoutError("late")]
    store = MemoryStore(CONTENTS, faults={"icd10/train.jsonl": broken})
    take(tmp_path, store)
    assert (tmp_path / "train.jsonl").read_bytes() == CONTENTS["icd10/train.jsonl"]
    assert store.opened["icd10/train.jsonl"] == 3


def test_a_fault_that_does_not_pass_is_told_with_the_number_of_attempts(tmp_path: Path) -> None:
    store = MemoryStore(CONTENTS, faults={"icd10/train.jsonl": [ConnectionResetError("reset")] * 9})
    with pytest.raises(MissingError, match=r"train\.jsonl.*reset\. It was asked 5 times"):
        take(tmp_path, store)
    assert store.opened["icd10/train.jsonl"] == 5


def test_a_fault_that_lasts_is_not_tried_again(tmp_path: Path) -> None:
    store = MemoryStore(CONTENTS, faults={"icd10/train.jsonl": [FileNotFoundError("gone")] * 9})
    with pytest.raises(MissingError) as caught:
        take(tmp_path, store)
    assert "times" not in caught.value.message
    assert store.opened["icd10/train.jsonl"] == 1


def test_a_full_disk_is_not_the_stores_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def full(path: Path, mode: str = "r", *rest: object) -> object:
        return real(Path("/dev/full"), mode) if mode == "wb" else real(path, mode)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError) as caught:
        take(tmp_path, MemoryStore({"a": b"x" * 3_000_000}), inside="")
    assert isinstance(as_wherry_error(caught.value), NoSpaceError)


def test_one_bad_file_ends_the_others(tmp_path: Path) -> None:
    """Nobody waits for terabytes once the run has failed."""

    class Endless:
        def read(self, size: int = -1) -> bytes:
            time.sleep(0.001)
            return b"x"

        def __enter__(self) -> "Endless":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    class Slow(MemoryStore):
        def open(self, file: TrackedFile) -> BinaryIO:
            return super().open(file) if file.path == "bad" else Endless()  # type: ignore[return-value]

    store = Slow({"bad": b"x", "good": b"y"}, served={"bad": b"z"})
    with pytest.raises(DigestError, match="bad"):
        take(tmp_path, store, inside="")
    assert not [each for each in threading.enumerate() if each.name.startswith("fetch")]


def test_progress_is_told_in_bytes_and_ends_with_all_of_them(tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []

    class Telling(Silent):
        def progress(self, done: float, total: float, note: str = "") -> None:
            told.append((done, total))

    class Sized(MemoryStore):
        def files(self) -> list[TrackedFile]:
            return [
                TrackedFile(file.path, file.hash, len(self.contents[file.path]))
                for file in super().files()
            ]

    broken = {"icd10/train.jsonl": [ConnectionResetError()]}
    materialise(Sized(CONTENTS, faults=broken), tmp_path, "icd10", "", Telling(), AT_ONCE)
    whole = sum(len(data) for path, data in CONTENTS.items() if "icd10" in path)
    assert told[-1] == (whole, whole)
    assert max(done for done, _ in told) == whole


def test_many_small_files_take_seconds(tmp_path: Path) -> None:
    """Neither choosing, nor checking names, nor fetching looks at all files for each."""
    store = MemoryStore({f"a/{number % 100}/{number}.jsonl": b"{}\n" for number in range(4_000)})
    began = time.process_time()
    assert len(take(tmp_path, store, inside="a")) == 4_000
    assert time.process_time() - began < 6


def test_the_listing_checksum_is_dvcs_own() -> None:
    # From `dvc add` 3.67 on a folder with these two files.
    files = [
        TrackedFile("b/y.txt", "md5:415290769594460e2e485922904f345d"),
        TrackedFile("a.txt", "md5:9dd4e461268c8034f5c8564e155c67a6"),
    ]
    assert listing_checksum(files) == "md5:dba38c78a5d6336957004c8fc3c7b8b9.dir"


def test_the_digest_of_a_listing_is_that_of_its_json_and_follows_every_field() -> None:
    file = TrackedFile("a", "etag:1", 3, "v1")
    assert listing_digest([file]) == digest_bytes(b'[["a",3,"etag:1","v1"]]')
    others = [
        TrackedFile("b", "etag:1", 3, "v1"),
        TrackedFile("a", "etag:2", 3, "v1"),
        TrackedFile("a", "etag:1", 4, "v1"),
        TrackedFile("a", "etag:1", 3, "v2"),
    ]
    assert len({listing_digest([each]) for each in [file, *others]}) == 5
    assert listing_digest([file, others[0]]) == listing_digest([others[0], file])


def test_a_version_without_a_dvc_listing_is_checked_by_its_digest(tmp_path: Path) -> None:
    class Bucket(MemoryStore):
        def resolve(self) -> Source:
            return Source("s3://bucket", "", "", listing_digest(self.files()))

    assert len(take(tmp_path, Bucket(CONTENTS))) == 4
    with pytest.raises(DigestError, match="store s3://bucket") as caught:
        take(tmp_path / "bad", Bucket(CONTENTS, served={"icd10/eval.jsonl": b"x"}))
    assert "dvc" not in caught.value.remedy
