"""Ingest with DVC from stores elsewhere: real S3 and HTTP servers, an emulator of Cloud Storage."""

import functools
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.rows import lines, splits, write
from tests.ingest import repositories, servers
from tests.ingest.repositories import commit, contents, pin, resolve, take
from tests.ingest.servers import Proxy
from wherry.contracts.errors import DigestError, FileAccessError, MissingError
from wherry.ingest.adapters.open import open_store

pytestmark = pytest.mark.local

ROWS = {f"icd10/{name}.jsonl": lines(rows) for name, rows in splits().items()}


@dataclass
class Remote:
    """A checkout without data or cache, its store, and the proxy on the way to it."""

    checkout: Path
    proxy: Proxy
    overwrite: Callable[[str, bytes], None]
    """Puts other bytes at an object's key."""

    def md5(self, name: str) -> str:
        """The MD5 that a file's object is named by."""
        return hashlib.md5(ROWS[name], usedforsecurity=False).hexdigest()

    def key(self, name: str) -> str:
        md5 = self.md5(name)
        return f"files/md5/{md5[:2]}/{md5[2:]}"


@pytest.fixture(params=["s3", "gs", "http"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """A DVC remote of each kind, with a whole data set pushed to it."""
    make = {"s3": _on_s3, "gs": _on_gs, "http": _on_http}[request.param]
    yield from make(request, tmp_path)


def pushed(tmp_path: Path, url: str, **options: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
        root = repositories.init(tmp_path / "origin", url, **options)
        write(root / "data" / "icd10", splits())
        pin(root)
        commit(root)
    return repositories.clone(root, tmp_path / "checkout")


def _on_s3(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    import boto3

    proxy: Proxy = request.getfixturevalue("s3_proxy")
    name = f"b-{uuid.uuid4().hex[:12]}"
    client: Any = boto3.client("s3", endpoint_url=proxy.upstream)
    client.create_bucket(Bucket=name)
    checkout = pushed(tmp_path, f"s3://{name}/store")
    yield Remote(
        checkout,
        proxy,
        lambda key, data: client.put_object(Bucket=name, Key=f"store/{key}", Body=data),
    )


def _on_gs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    from google.cloud.storage import Client

    proxy: Proxy = request.getfixturevalue("gcs_proxy")
    bucket = Client(project="none").create_bucket(f"b-{uuid.uuid4().hex[:12]}")
    checkout = pushed(tmp_path, f"gs://{bucket.name}/store")

    def overwrite(key: str, data: bytes) -> None:
        bucket.blob(f"store/{key}").upload_from_string(data)

    yield Remote(checkout, proxy, overwrite)


def _on_http(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    checkout = pushed(tmp_path, "../data-store")
    store = tmp_path / "served"
    shutil.move(checkout / "data-store", store)
    with servers.files(store) as address, servers.proxy(address) as proxy:
        config = checkout / ".dvc" / "config"
        config.write_text(config.read_text().replace("../data-store", proxy.address))
        for path in store.rglob("*"):
            path.chmod(0o755)
        yield Remote(checkout, proxy, lambda key, data: _write(store / key, data))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_remote_gives_the_data(remote: Remote, tmp_path: Path) -> None:
    source, _ = take(tmp_path / "out", remote.checkout)
    assert contents(tmp_path / "out") == ROWS
    assert source == resolve(remote.checkout)


@pytest.mark.parametrize("make", [_on_s3, _on_http])
def test_an_object_is_asked_for_once(
    request: pytest.FixtureRequest, tmp_path: Path, make: Callable[..., Iterator[Remote]]
) -> None:
    for remote in make(request, tmp_path):
        remote.proxy.seen.clear()
        take(tmp_path / "out", remote.checkout)
        key = remote.key("icd10/train.jsonl")
        assert [one.partition(" ")[0] for one in remote.proxy.seen if key in one] == ["GET"]


def test_a_listing_longer_than_an_answers_first_piece_is_read_whole(
    remote: Remote, tmp_path: Path
) -> None:
    file = {"md5": remote.md5("icd10/train.jsonl")}
    listing = json.dumps([file | {"relpath": f"{n:05}.jsonl"} for n in range(20_000)]).encode()
    md5 = hashlib.md5(listing, usedforsecurity=False).hexdigest()
    remote.overwrite(f"files/md5/{md5[:2]}/{md5[2:]}.dir", listing)
    (remote.checkout / "data.dvc").write_text(
        f"outs:\n- md5: {md5}.dir\n  hash: md5\n  path: data\n"
    )
    with open_store(str(remote.checkout), "", "data") as store:
        assert len(store.files()) == 20_000


def test_a_corrupted_object_is_refused(remote: Remote, tmp_path: Path) -> None:
    key = remote.key("icd10/test.jsonl")
    remote.overwrite(key, ROWS["icd10/test.jsonl"].replace(b"eye", b"ear"))
    with pytest.raises(DigestError, match=r"icd10/test\.jsonl") as caught:
        take(tmp_path / "out", remote.checkout)
    assert key in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_truncated_object_is_refused(remote: Remote, tmp_path: Path) -> None:
    remote.overwrite(remote.key("icd10/test.jsonl"), ROWS["icd10/test.jsonl"][:-10])
    with pytest.raises(DigestError, match=r"icd10/test\.jsonl"):
        take(tmp_path / "out", remote.checkout)


@pytest.mark.parametrize("fault", ["503", "drop", "reset"])
def test_a_fault_that_passes_is_waited_for(remote: Remote, tmp_path: Path, fault: Any) -> None:
    md5 = remote.md5("icd10/train.jsonl")
    remote.proxy.faults = [(md5[2:], fault)] * 2
    take(tmp_path / "out", remote.checkout)
    assert contents(tmp_path / "out") == ROWS
    assert remote.proxy.faults == []


def test_a_byte_that_flips_on_the_way_is_refused(remote: Remote, tmp_path: Path) -> None:
    remote.proxy.faults = [(remote.md5("icd10/train.jsonl")[2:], "corrupt")]
    with pytest.raises(DigestError, match=r"icd10/train\.jsonl"):
        take(tmp_path / "out", remote.checkout)


def test_a_password_in_the_remotes_address_is_never_shown(
    remote: Remote, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import traceback

    if not remote.proxy.upstream or "http" not in (remote.checkout / ".dvc/config").read_text():
        pytest.skip("only HTTP remotes carry a password in their address")
    secret = uuid.uuid4().hex
    config = remote.checkout / ".dvc" / "config"
    config.write_text(config.read_text().replace("http://", f"http://me:{secret}@"))
    source, _ = take(tmp_path / "out", remote.checkout)
    assert secret not in repr(source)
    remote.proxy.upstream = f"http://127.0.0.1:{servers.free_port()}"
    with pytest.raises(MissingError) as caught:
        take(tmp_path / "out2", remote.checkout)
    assert secret not in "".join(traceback.format_exception(caught.value))
    out, err = capfd.readouterr()
    assert secret not in out + err


@functools.cache
def _refused() -> dict[str, Any]:
    return {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}


def test_a_refusal_names_the_environment(
    s3_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    name = f"b-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_proxy.upstream).create_bucket(Bucket=name)
    checkout = pushed(tmp_path, f"s3://{name}/store")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(FileAccessError) as caught:
        take(tmp_path / "out", checkout)
    assert "AWS_ACCESS_KEY_ID" in caught.value.remedy
