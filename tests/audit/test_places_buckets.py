"""Checkpoints in a bucket: the first of a name stays; a bucket that gives nothing is named."""

from collections.abc import Iterator

import pytest

from tests.ingest.servers import s3
from wherry.contracts.errors import FileAccessError
from wherry.ledger.places import Bucket

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
    with pytest.raises(FileAccessError, match="no-such-bucket"):
        Bucket("s3://no-such-bucket/x").put(NAME, b"")
