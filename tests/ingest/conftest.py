"""Servers and repositories that the tests of ingest share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest import servers


@pytest.fixture(autouse=True)
def _quick_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits in tests: pauses of adapters' own are as long as chance, but in milliseconds."""
    monkeypatch.setattr("wherry.ingest.patience.Patience._pause", lambda _, attempt: 0.01 * attempt)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a real S3 server."""
    with servers.s3() as address:
        yield address


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    """The address of an emulator of Cloud Storage."""
    with servers.gcs() as address:
        yield address


@pytest.fixture(scope="session")
def _s3_way(s3_server: str) -> Iterator[servers.Proxy]:
    # One for all tests: clients that libraries keep between them stay connected to something.
    with servers.proxy(s3_server) as made:
        yield made


@pytest.fixture(scope="session")
def _gcs_way(gcs_server: str) -> Iterator[servers.Proxy]:
    with servers.proxy(gcs_server) as made:
        yield made


@pytest.fixture
def s3_proxy(_s3_way: servers.Proxy, monkeypatch: pytest.MonkeyPatch) -> servers.Proxy:
    """A proxy before the S3 server, with the environment that leads there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", _s3_way.address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTING")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hushhush")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return _fresh(_s3_way)


@pytest.fixture
def gcs_proxy(_gcs_way: servers.Proxy, monkeypatch: pytest.MonkeyPatch) -> servers.Proxy:
    """A proxy before the emulator, with the environment that leads there."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _gcs_way.address)
    return _fresh(_gcs_way)


def _fresh(proxy: servers.Proxy) -> servers.Proxy:
    proxy.faults.clear()
    proxy.seen.clear()
    return proxy


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, as ``file:`` addresses are relative to."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.setenv("WHERRY_HOME", str(folder / ".wherry"))
    return folder
