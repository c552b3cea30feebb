"""Artifacts in buckets: whole or not at all, never one over another, verified when read."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import NAME, candidate
from tests.ingest.servers import gcs, proxy, s3
from wherry.contracts import digest_bytes, digest_file
from wherry.contracts.errors import (
    DigestError,
    ExtraMissingError,
    FileAccessError,
    MissingError,
    SettingsError,
    UriError,
)
from wherry.ledger import CHAMPION, Artifacts, Ledger
from wherry.ledger.shelves.bucket import BucketShelf

CONTENT = b"weights" * 1000
DIGEST = digest_bytes(CONTENT)
KEY = f"sha256/{DIGEST[7:9]}/{DIGEST[7:]}/demo.gguf"
bucket_test = pytest.mark.local


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """moto's S3 server."""
    with s3() as address:
        yield address


@pytest.fixture(scope="module")
def gcs_server() -> Iterator[str]:
    """An emulator of Cloud Storage; it takes no conditions."""
    with gcs() as address:
        yield address


@pytest.fixture(params=["s3", "gs"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bucket of each cloud, empty, named by ``WHERRY_ARTIFACTS``."""
    address = request.getfixturevalue("s3_server" if request.param == "s3" else "gcs_server")
    bucket = "wherry-" + digest_bytes(str(tmp_path).encode())[7:19]
    if request.param == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    else:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    import fsspec

    fsspec.filesystem(request.param, skip_instance_cache=True).mkdir(bucket)
    monkeypatch.setenv("WHERRY_ARTIFACTS", f"{request.param}://{bucket}/models")
    return f"{request.param}://{bucket}/models"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to publish."""
    path = tmp_path / "model.gguf"
    path.write_bytes(CONTENT)
    return path


def bucket_of(artifacts: Artifacts) -> tuple[Any, str]:
    """The bucket as somebody else reaches it: a client and the object's path."""
    shelf = artifacts._shelf
    assert isinstance(shelf, BucketShelf)
    return shelf._files, shelf._at(KEY)


@bucket_test
def test_what_one_machine_publishes_another_one_reads(
    root: str, source: Path, tmp_path: Path
) -> None:
    ref = Artifacts.open(tmp_path / "here").publish(source, DIGEST, "demo.gguf")
    assert ref.uri == f"{root}/{KEY}"
    assert ref.size == len(CONTENT)
    path = Artifacts.open(tmp_path / "there").verified(ref)
    assert path.is_relative_to(tmp_path / "there")
    assert path.read_bytes() == CONTENT


@bucket_test
def test_publishing_again_uploads_nothing(
    root: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Artifacts.open(tmp_path / "here").publish(source, DIGEST, "demo.gguf")
    again = Artifacts.open(tmp_path / "there")
    files, _ = bucket_of(again)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("uploaded twice")

    monkeypatch.setattr(files, "put_file", refuse)
    assert again.publish(source, DIGEST, "demo.gguf") == first


@bucket_test
def test_a_damaged_object_is_found_and_healed_by_publishing_again(
    root: str, source: Path, tmp_path: Path
) -> None:
    artifacts = Artifacts.open(tmp_path / "here")
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    files, at = bucket_of(artifacts)
    files.pipe_file(at, CONTENT.replace(b"w", b"W"))
    for folder in ("here", "there"):
        with pytest.raises(DigestError, match=DIGEST):
            Artifacts.open(tmp_path / folder).verified(ref)
    artifacts.publish(source, DIGEST, "demo.gguf")
    for folder in ("here", "there"):
        assert Artifacts.open(tmp_path / folder).verified(ref).read_bytes() == CONTENT


@bucket_test
def test_a_deleted_object_is_missing_even_with_a_copy_here(
    root: str, source: Path, tmp_path: Path
) -> None:
    artifacts = Artifacts.open(tmp_path / "here")
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    files, at = bucket_of(artifacts)
    files.rm_file(at)
    for ask in (artifacts.verified, artifacts.check_there):
        with pytest.raises(MissingError, match="not in the artifact store"):
            ask(ref)


@bucket_test
def test_a_damaged_copy_here_is_fetched_again(root: str, source: Path, tmp_path: Path) -> None:
    artifacts = Artifacts.open(tmp_path / "here")
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    copy = artifacts.verified(ref)
    copy.chmod(0o644)
    copy.write_bytes(b"cut")
    assert artifacts.verified(ref).read_bytes() == CONTENT


@bucket_test
def test_other_bytes_than_promised_leave_nothing(root: str, source: Path, tmp_path: Path) -> None:
    artifacts = Artifacts.open(tmp_path / "here")
    source.write_bytes(b"something else")
    with pytest.raises(DigestError, match=DIGEST):
        artifacts.publish(source, DIGEST, "demo.gguf")
    assert list(artifacts.stored()) == []


@bucket_test
@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_two_who_publish_at_once_do_not_replace_each_other(
    root: str, source: Path, tmp_path: Path
) -> None:
    machines = [Artifacts.open(tmp_path / str(number)) for number in range(4)]
    files, at = bucket_of(machines[0])
    files.pipe_file(at, CONTENT)
    before = files.info(at, refresh=True)["LastModified"]
    # Each finds nothing there when it looks: what keeps the object is the condition alone.
    looks: list[Callable[..., Any]] = [bucket_of(machine)[0].put_file for machine in machines]
    refused = []

    def put(put_file: Callable[..., Any]) -> None:
        try:
            put_file(str(source), at, mode="create")
        except OSError as error:
            refused.append(error)

    threads = [threading.Thread(target=put, args=(look,)) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == len(machines)
    assert files.info(at, refresh=True)["LastModified"] == before


@bucket_test
@pytest.mark.parametrize("size", [1_000, 6 << 20])
def test_an_upload_to_google_asks_for_no_object_there(
    gcs_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The emulator ignores the condition: that it is sent is all that can be shown here."""
    source = tmp_path / "model.gguf"
    source.write_bytes(bytes(size))
    with proxy(gcs_server) as watched:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", watched.address)
        monkeypatch.setenv("WHERRY_ARTIFACTS", f"gs://wherry-condition-{size}/models")
        import fsspec

        fsspec.filesystem("gs", skip_instance_cache=True).mkdir(f"wherry-condition-{size}")
        Artifacts.open(tmp_path / str(size)).publish(source, digest_file(source), "demo.gguf")
    begun = [asked for asked in watched.seen if asked.startswith("POST /upload/")]
    assert begun
    assert "ifGenerationMatch=0" in begun[0]


@bucket_test
@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_who_comes_second_keeps_what_the_first_one_put(
    root: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Artifacts.open(tmp_path / name) for name in ("first", "second"))
    shelf = second._shelf
    assert isinstance(shelf, BucketShelf)
    whole, asked = shelf._is_whole, []

    def look(key: str, digest: str) -> bool:
        asked.append(key)
        if len(asked) == 1:  # the first one is faster, just after this look
            first.publish(source, DIGEST, "demo.gguf")
            return False
        return whole(key, digest)

    monkeypatch.setattr(shelf, "_is_whole", look)
    ref = second.publish(source, DIGEST, "demo.gguf")
    assert len(asked) > 1
    assert second.verified(ref).read_bytes() == CONTENT


@bucket_test
@pytest.mark.slow
@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_a_model_of_many_parts_comes_back_whole(root: str, tmp_path: Path) -> None:
    big = tmp_path / "big.gguf"
    big.write_bytes(bytes(range(256)) * (110 << 12))  # 110 MB: above what goes in one piece
    digest = digest_bytes(big.read_bytes())
    ref = Artifacts.open(tmp_path / "here").publish(big, digest, "big.gguf")
    path = Artifacts.open(tmp_path / "there").verified(ref)
    assert path.stat().st_size == big.stat().st_size


@bucket_test
@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_a_bucket_that_is_away_holds_up_no_rollback(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / ".wherry"
    with Ledger.open(state) as ledger:
        for version, content in enumerate((b"one", b"two"), 1):
            ledger.register(candidate(ledger, tmp_path, content))
            ledger.switch(CHAMPION, NAME, version, expected_generation=version - 1, reason="better")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with Ledger.open(state) as ledger:
        ledger.switch(CHAMPION, NAME, 1, expected_generation=2, reason="bad", action="rollback")
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live and live.version == 1
        with pytest.raises(FileAccessError, match="cannot be read or written"):
            candidate(ledger, tmp_path, b"three")


@bucket_test
def test_a_bucket_that_is_not_there_is_named(
    root: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = root.partition(":")[0]
    monkeypatch.setenv("WHERRY_ARTIFACTS", f"{scheme}://no-such-bucket-of-ours/models")
    with pytest.raises((MissingError, FileAccessError), match="no-such-bucket-of-ours"):
        Artifacts.open(tmp_path / "here").publish(source, DIGEST, "demo.gguf")


def test_an_object_of_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    ref = Artifacts.open(tmp_path / ".wherry").publish(source, DIGEST, "demo.gguf")
    monkeypatch.setenv("WHERRY_ARTIFACTS", "s3://bucket/models")
    artifacts = Artifacts.open(tmp_path / ".wherry")
    assert artifacts.verified(ref).read_bytes() == CONTENT  # of the time before the bucket
    for uri in ("s3://other/models/" + KEY, "s3://bucket/models/sha256/../x", "https://x/" + KEY):
        with pytest.raises(UriError):
            artifacts.verified(type(ref)(uri, ref.digest, ref.size))


@pytest.mark.parametrize(
    "address",
    [
        "http://x",
        "s3://",
        "s3://key:hunter2@bucket",
        "s3:bucket",
        "file:relative",
        "file://h/x",
        "/x",
    ],
)
def test_an_address_that_is_no_place_for_artifacts_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    monkeypatch.setenv("WHERRY_ARTIFACTS", address)
    with pytest.raises(SettingsError, match="expected file:///FOLDER, s3://BUCKET") as caught:
        Artifacts.open(tmp_path)
    assert "hunter2" not in str(caught.value)


def test_without_the_clouds_client_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Please install s3fs", name="s3fs")

    monkeypatch.setattr("fsspec.filesystem", missing)
    monkeypatch.setenv("WHERRY_ARTIFACTS", "s3://bucket")
    with pytest.raises(ExtraMissingError, match=r'pip install "wherry\[s3\]"'):
        Artifacts.open(tmp_path)


def test_a_folder_elsewhere_keeps_them_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    monkeypatch.setenv("WHERRY_ARTIFACTS", f"file://{tmp_path}/shared/models/")
    ref = Artifacts.open(tmp_path / "here" / ".wherry").publish(source, DIGEST, "demo.gguf")
    assert ref.uri == f"file://{tmp_path}/shared/models/{KEY}"
    path = Artifacts.open(tmp_path / "there" / ".wherry").verified(ref)
    assert path == tmp_path / "shared" / "models" / KEY
