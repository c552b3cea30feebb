"""Ingest from buckets: a real S3 server and an emulator of Cloud Storage, each behind a proxy."""

import base64
import hashlib
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.repositories import contents, resolve, take
from tests.ingest.servers import Proxy
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FileAccessError,
    FormatError,
    MissingError,
    UriError,
)
from wherry.ingest.adapters.open import open_store

pytestmark = pytest.mark.local

ROWS = {f"{name}.jsonl": f'{{"id": "{name}"}}\n'.encode() * 3000 for name in ("train", "eval")}


class S3Bucket:
    """A fresh bucket of the S3 server."""

    scheme = "s3"

    def __init__(self, proxy: Proxy, *, versioned: bool = False) -> None:
        import boto3

        self.proxy = proxy
        self.client: Any = boto3.client("s3", endpoint_url=proxy.upstream)
        self.name = f"b-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=self.name)
        if versioned:
            status = {"Status": "Enabled"}
            self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration=status)

    def put(self, key: str, data: bytes, **options: Any) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data, **options)


class GsBucket:
    """A fresh bucket of the emulator."""

    scheme = "gs"

    def __init__(self, proxy: Proxy) -> None:
        from google.cloud.storage import Client

        self.proxy = proxy
        self.name = f"b-{uuid.uuid4().hex[:12]}"
        self.client = Client(project="none")
        self.client.create_bucket(self.name)

    def put(self, key: str, data: bytes) -> None:
        self.client.bucket(self.name).blob(key).upload_from_string(data)


Bucket = S3Bucket | GsBucket


@pytest.fixture
def s3(s3_proxy: Proxy) -> S3Bucket:
    return S3Bucket(s3_proxy)


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A bucket of either with two files of rows below ``sets/v1``."""
    made: Bucket
    if request.param == "s3":
        made = S3Bucket(request.getfixturevalue("s3_proxy"))
    else:
        made = GsBucket(request.getfixturevalue("gcs_proxy"))
    for name, data in ROWS.items():
        made.put(f"sets/v1/{name}", data)
    made.put("sets/v10/other.jsonl", b"not taken")
    return made


def address(bucket: Bucket, path: str = "sets/v1") -> str:
    return f"{bucket.scheme}://{bucket.name}/{path}"


def test_a_prefix_is_taken_whole(bucket: Bucket, tmp_path: Path) -> None:
    source, fetched = take(tmp_path / "out", address(bucket), path="")
    assert contents(tmp_path / "out") == ROWS
    assert source.uri == f"{bucket.scheme}://{bucket.name}"
    assert source.path == "sets/v1"
    assert {file.path: file.sha256 for file in fetched} == {
        name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in ROWS.items()
    }


def test_one_object_can_be_taken(bucket: Bucket, tmp_path: Path) -> None:
    take(tmp_path / "out", address(bucket), path="train.jsonl")
    assert set(contents(tmp_path / "out")) == {"train.jsonl"}


def test_a_whole_bucket_can_be_taken(bucket: Bucket, tmp_path: Path) -> None:
    take(tmp_path / "out", address(bucket, ""), path="")
    assert "sets/v10/other.jsonl" in contents(tmp_path / "out")


def test_a_folder_that_a_console_made_is_no_file(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("sets/v1/", b"")
    take(tmp_path / "out", address(bucket), path="")
    assert contents(tmp_path / "out") == ROWS


def test_the_checksum_follows_the_data_alone(bucket: Bucket) -> None:
    first = resolve(address(bucket), path="")
    assert resolve(address(bucket), path="") == first
    assert first.checksum.startswith("sha256:")
    bucket.put("sets/v1/eval.jsonl", b"changed\n")
    assert resolve(address(bucket), path="").checksum != first.checksum


def test_a_change_after_resolving_is_a_conflict(bucket: Bucket, tmp_path: Path) -> None:
    agreed = resolve(address(bucket), path="").checksum
    bucket.put("sets/v1/eval.jsonl", b"changed\n")
    with pytest.raises(ConflictError, match=agreed):
        take(tmp_path / "out", address(bucket), path="", checksum=agreed)


def test_a_byte_that_flips_on_the_way_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.proxy.faults = [
        ("train.jsonl?alt=media" if bucket.scheme == "gs" else "/train.jsonl", "corrupt")
    ]
    with pytest.raises(DigestError, match=r"train\.jsonl"):
        take(tmp_path / "out", address(bucket), path="")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["503", "429", "drop", "reset"])
def test_a_fault_that_passes_is_waited_for(bucket: Bucket, tmp_path: Path, fault: Any) -> None:
    bucket.proxy.faults = [("train.jsonl", fault)] * 2
    take(tmp_path / "out", address(bucket), path="")
    assert contents(tmp_path / "out") == ROWS
    assert bucket.proxy.faults == []


def test_a_listing_that_breaks_off_is_asked_for_again(bucket: Bucket) -> None:
    whole = resolve(address(bucket), path="")
    bucket.proxy.faults = [("prefix=sets", "503"), ("prefix=sets", "drop")]
    assert resolve(address(bucket), path="") == whole
    assert bucket.proxy.faults == []


def test_a_server_that_stays_away_is_named(bucket: Bucket) -> None:
    bucket.proxy.faults = [("", "503")] * 50
    with pytest.raises(MissingError, match=bucket.name):
        resolve(address(bucket), path="")


@pytest.mark.parametrize("path", ["sets/v2", "sets/v", "sets/v1/train"])
def test_nothing_there_is_named(bucket: Bucket, path: str) -> None:
    with pytest.raises(MissingError, match="no object"):
        resolve(address(bucket, path), path="")


def test_a_bucket_that_does_not_exist_is_named(bucket: Bucket) -> None:
    with pytest.raises(MissingError, match="no-such-bucket"):
        resolve(f"{bucket.scheme}://no-such-bucket-here/x", path="")


def test_a_revision_of_a_bucket_is_refused(bucket: Bucket) -> None:
    with pytest.raises(UriError, match="no revisions"):
        resolve(address(bucket), "main", path="")


@pytest.mark.parametrize("key", ["sets/v1//evil", "sets/v1/a\nb", "sets/v1/a\\b"])
def test_a_key_that_escapes_is_refused(bucket: Bucket, tmp_path: Path, key: str) -> None:
    if bucket.scheme == "s3" and "\n" in key:
        pytest.skip("moto takes no such key")
    bucket.put(key, b"x")
    with pytest.raises(FormatError):
        take(tmp_path / "out", address(bucket), path="")
    assert list(tmp_path.iterdir()) == []


def test_credentials_stand_in_no_message(
    s3: S3Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3.proxy.faults = [("", "503")] * 50
    with pytest.raises(MissingError) as caught:
        resolve(f"s3://{s3.name}/x", path="")
    assert "hush" not in str(caught.value)


def test_a_run_without_credentials_is_told_which(
    s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(FileAccessError, match=s3.name) as caught:
        resolve(f"s3://{s3.name}/x", path="")
    assert "AWS_ACCESS_KEY_ID" in caught.value.remedy


def test_a_run_without_google_credentials_is_told_which(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(FileAccessError) as caught:
        resolve("gs://some-bucket/x", path="")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.remedy


@pytest.mark.parametrize("versioned", [True, False])
def test_an_object_that_changes_between_listing_and_reading(
    s3_proxy: Proxy, tmp_path: Path, versioned: bool
) -> None:
    """With versions the listed one is read; without them the server refuses the read."""
    bucket = S3Bucket(s3_proxy, versioned=versioned)
    bucket.put("a.jsonl", b"before")
    with open_store(f"s3://{bucket.name}", "", "") as store:
        (file,) = store.files()
        bucket.put("a.jsonl", b"after!")
        if versioned:
            with store.open(file) as stream:
                assert stream.read() == b"before"
        else:
            with pytest.raises(Exception) as caught:
                store.open(file)
            assert isinstance(store.explain(caught.value, file), ConflictError)


def test_a_generation_that_was_replaced_is_never_taken_for_the_listed_one(
    gcs_proxy: Proxy, tmp_path: Path
) -> None:
    bucket = GsBucket(gcs_proxy)
    bucket.put("a.jsonl", b"before")
    from wherry.ingest.step import materialise
    from wherry.progress import Silent

    with open_store(f"gs://{bucket.name}", "", "") as store:
        store.files()
        bucket.put("a.jsonl", b"after!")
        # Cloud Storage itself gives 404 for a generation that is gone; the emulator the new bytes.
        with pytest.raises((DigestError, MissingError)):
            materialise(store, tmp_path, "", "", Silent())
    assert any("generation=" in line for line in gcs_proxy.seen)


def test_an_upload_in_parts_is_hashed_as_s3_did(s3: S3Bucket, tmp_path: Path) -> None:
    import io

    from boto3.s3.transfer import TransferConfig

    data = b"0123456789abcdef" * 800_000
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.client.upload_fileobj(io.BytesIO(data), s3.name, "big.jsonl", Config=config)
    with open_store(f"s3://{s3.name}", "", "") as store:
        (file,) = store.files()
        assert store.expected(file).startswith("parts:5242880:")
    take(tmp_path / "out", f"s3://{s3.name}", path="")
    assert contents(tmp_path / "out") == {"big.jsonl": data}
    s3.proxy.faults = [("big.jsonl", "corrupt")]
    with pytest.raises(DigestError):
        take(tmp_path / "bad", f"s3://{s3.name}", path="")


def test_a_checksum_that_the_uploader_gave_is_the_one_compared(s3: S3Bucket) -> None:
    s3.put("a", b"rows", ChecksumAlgorithm="SHA256")
    with open_store(f"s3://{s3.name}", "", "") as store:
        (file,) = store.files()
        assert store.expected(file) == f"sha256:{hashlib.sha256(b'rows').hexdigest()}"


def test_an_etag_under_a_key_of_kms_is_not_taken_for_an_md5(s3: S3Bucket, tmp_path: Path) -> None:
    from wherry.ingest.adapters.s3 import _from_checksum, _from_etag
    from wherry.ingest.step import TrackedFile

    # moto keeps the MD5 as the ETag even so; S3 does not.
    head = {"ETag": '"' + "0" * 32 + '"', "ServerSideEncryption": "aws:kms"}
    assert _from_etag(TrackedFile("a", "etag:0", 4), head, int) == ""
    crc = base64.b64encode(bytes.fromhex("cbf43926")).decode()
    assert _from_checksum(head | {"ChecksumCRC32": crc}, {"ChecksumCRC32": "crc32"}) == (
        "crc32:cbf43926"
    )
    composite = head | {"ChecksumCRC32": crc, "ChecksumType": "COMPOSITE"}
    assert _from_checksum(composite, {"ChecksumCRC32": "crc32"}) == ""


def test_a_reader_who_may_not_list_versions_lists_objects(s3: S3Bucket, tmp_path: Path) -> None:
    import botocore.exceptions

    s3.put("a.jsonl", b"x")
    with open_store(f"s3://{s3.name}", "", "") as store:
        client = store._client  # type: ignore[attr-defined]
        real = client.get_paginator

        def denied(call: str) -> Any:
            if call == "list_object_versions":
                answer = {
                    "Error": {"Code": "AccessDenied"},
                    "ResponseMetadata": {"HTTPStatusCode": 403},
                }
                raise botocore.exceptions.ClientError(answer, call)
            return real(call)

        client.get_paginator = denied
        assert [file.path for file in store.files()] == ["a.jsonl"]
