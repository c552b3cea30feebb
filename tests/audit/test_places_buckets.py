"""Checkpoints in a bucket: the first of a name stays; a bucket that gives nothing is named."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.ingest.servers import s3
from wherry.contracts.errors import FileAccessError
from wherry.ledger.places import _OPTIONS, Bucket

pytestmark = pytest.mark.local
NAME = "000000000006-0123456789abcdef-01234567.checkpoint.json"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of moto's S3 server."""
    with s3() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import fsspec

        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("audit-trail")
        fsspec.filesystem("s3").clear_instance_cache()
        yield Bucket("s3://audit-trail/icd10")


def test_a_checkpoint_in_s3_is_never_overwritten(bucket: Bucket) -> None:
    assert bucket.names() == []
    bucket.put(NAME, b"the first")
    bucket.put(NAME, b"the second")
    assert bucket.names() == [NAME]
    assert bucket.read(NAME) == b"the first"


def test_a_bucket_that_is_not_there_is_not_an_empty_one(bucket: Bucket) -> None:
    other = Bucket("s3://no-such-bucket/x")
    with pytest.raises(FileAccessError, match="no-such-bucket"):
        other.put(NAME, b"")
    with pytest.raises(FileAccessError, match="no-such-bucket"):
        other.names()


def test_what_another_process_adds_or_takes_away_is_seen_at_once(bucket: Bucket) -> None:
    assert bucket.names() == []
    other = Bucket(bucket.address)
    other.put(NAME, b"the first")
    assert bucket.names() == [NAME]
    other._files.rm_file(f"audit-trail/icd10/{NAME}")
    assert bucket.names() == []
    with pytest.raises(FileAccessError):
        bucket.read(NAME)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_bucket_that_never_answers_is_an_error_and_no_empty_one(
    bucket: Bucket, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent)
    assert _OPTIONS["s3"]["config_kwargs"]["read_timeout"] <= 30
    monkeypatch.setitem(_OPTIONS["s3"]["config_kwargs"], "read_timeout", 0.2)
    begin = time.monotonic()
    with pytest.raises(FileAccessError, match="cannot be read"):
        bucket.names()
    assert time.monotonic() - begin < 30
