"""What is found in a bucket: the objects below a path, or the one that it names."""

from collections.abc import Iterator

import pytest

from wherry.contracts import Source
from wherry.contracts.errors import UriError
from wherry.ingest.buckets import asked, listed

NAMES = ["a", "data/", "data/eval.jsonl", "data/train.jsonl", "data-old/x", "one.jsonl"]


def found(path: str) -> tuple[str, list[str]]:
    def beginning(prefix: str) -> Iterator[str]:
        return (name for name in sorted(NAMES) if name.startswith(prefix))

    return listed(path, str, beginning)


def test_objects_below_a_path_are_found_and_no_neighbours() -> None:
    assert found("data") == ("data/", ["data/eval.jsonl", "data/train.jsonl"])


def test_all_of_a_bucket_is_found_but_folders_of_a_console() -> None:
    assert found("") == ("", [name for name in sorted(NAMES) if name != "data/"])


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("one.jsonl", ""), ("data/train.jsonl", "data/"), ("data-old/x", "data-old/")],
)
def test_a_path_may_be_one_objects_whole_name(path: str, prefix: str) -> None:
    assert found(path) == (prefix, [path])


@pytest.mark.parametrize("path", ["dat", "one", "data/train", "none"])
def test_the_beginning_of_a_name_is_not_its_name(path: str) -> None:
    assert found(path)[1] == []


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_what_is_asked_for_is_the_bucket_and_the_path_in_it(scheme: str) -> None:
    source = asked(f"{scheme}://bucket/prefix/", "", "/data/")
    assert source == Source(f"{scheme}://bucket", "", "prefix/data", "")


def test_no_letter_of_a_prefix_is_lost() -> None:
    source = asked("s3://bucket/run #5?/100%", "", "a&b")
    assert source == Source("s3://bucket", "", "run #5?/100%/a&b", "")


@pytest.mark.parametrize(("revision", "path"), [("v1", ""), ("", "../other")])
def test_a_revision_or_a_way_out_is_refused(revision: str, path: str) -> None:
    with pytest.raises(UriError):
        asked("s3://bucket/prefix", revision, path)
