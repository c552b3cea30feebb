"""Ingest from a real git server over https: certificates, and credentials that nobody sees."""

import os
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.rows import lines, splits, write
from tests.ingest import repositories, servers
from tests.ingest.repositories import commit, contents, pin, take
from tests.ingest.servers import GitServer
from wherry.contracts.errors import FileAccessError, FormatError

pytestmark = pytest.mark.local

ROWS = {f"icd10/{name}.jsonl": lines(rows) for name, rows in splits().items()}
SECRET = uuid.uuid4().hex
FOLDER = ("--settings", '{"folder": "icd10"}')


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with its data pushed to a store that git keeps too."""
    root = repositories.init(tmp_path_factory.mktemp("origin"), "../data-store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
        write(root / "data" / "icd10", splits())
        pin(root)
        commit(root)
    return root


@pytest.fixture
def server(origin: Path, tmp_path: Path) -> Iterator[GitServer]:
    """A server of it that anyone may read."""
    with servers.git(origin, tmp_path) as made:
        yield made


@pytest.fixture
def guarded(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    """A server of it that one user may read, whose authority is trusted."""
    with servers.git(origin, tmp_path, "robot", SECRET) as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        yield made


def test_an_authority_that_the_environment_names_is_trusted(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    source, _ = take(tmp_path / "out", server.address)
    assert contents(tmp_path / "out") == ROWS
    assert source.uri == f"dvc:{server.address}"
    assert len(source.revision) == 40


def test_an_authority_that_nobody_named_is_refused(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(FileAccessError, match="certificate") as caught:
        take(tmp_path / "out", server.address)
    assert "SSL_CERT_FILE" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_credentials_come_from_the_netrc_file(guarded: GitServer, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"machine localhost login robot password {SECRET}\n")
    source, _ = take(tmp_path / "out", guarded.address)
    assert contents(tmp_path / "out") == ROWS
    assert SECRET not in repr(source)


@pytest.mark.parametrize("netrc", ["", "machine elsewhere login robot password x\n", None])
def test_without_credentials_it_is_refused(
    guarded: GitServer, tmp_path: Path, netrc: str | None
) -> None:
    if netrc is not None:
        (tmp_path / "netrc").write_text(netrc)
    with pytest.raises(FileAccessError, match="this user may not read it") as caught:
        take(tmp_path / "out", guarded.address)
    assert "netrc" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_broken_netrc_file_is_refused_without_its_words(
    guarded: GitServer, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text(f"machine localhost login robot {SECRET}\n")
    with pytest.raises(FormatError, match="no netrc file") as caught:
        take(tmp_path / "out", guarded.address)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("way", ["netrc", "address"])
def test_a_password_is_in_no_log_and_in_nothing_written(
    guarded: GitServer, tmp_path: Path, way: str, right: bool
) -> None:
    user = "robot" if right else "nobody"
    address = guarded.address
    if way == "netrc":
        (tmp_path / "netrc").write_text(f"machine localhost login {user} password {SECRET}\n")
    else:
        address = address.replace("https://", f"https://{user}:{SECRET}@")
    done = subprocess.run(
        (sys.executable, "-m", "wherry.ingest", "--repo", address, "--dataset", "out", *FOLDER),
        cwd=tmp_path,
        env={**os.environ, "WHERRY_EVENTS": str(tmp_path / "events.jsonl")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == right, done.stderr
    if not right:
        assert "this user may not read it" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "netrc":
            assert SECRET.encode() not in path.read_bytes(), path
