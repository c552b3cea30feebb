"""DVC remotes on HTTP servers that ask who reads: credentials from a netrc file, never a prompt."""

import base64
import functools
import shutil
import traceback
import uuid
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fakes.rows import lines, splits, write
from tests.ingest import repositories, servers
from tests.ingest.repositories import commit, contents, pin, resolve, take
from wherry.contracts.errors import FileAccessError

pytestmark = pytest.mark.local

ROWS = {f"icd10/{name}.jsonl": lines(rows) for name, rows in splits().items()}
SECRET = uuid.uuid4().hex
WANTED = f"Basic {base64.b64encode(f'robot:{SECRET}'.encode()).decode()}"


class _Guarded(servers.Quiet):
    def send_head(self):  # type: ignore[no-untyped-def] # as http.server has it
        if self.headers.get("Authorization") == WANTED:
            return super().send_head()
        self.send_error(401)
        return None


@pytest.fixture
def checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """A checkout whose remote, with further settings, is a server that one user may read."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    root = repositories.init(tmp_path / "origin", "../data-store")
    write(root / "data" / "icd10", splits())
    pin(root)
    config = root / ".dvc" / "config"
    shutil.move(root / "data-store", tmp_path / "served")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Guarded, directory=str(tmp_path / "served"))
    )
    with servers.serving(server) as address:
        rows = "".join(f"\n    {name} = {value}" for name, value in request.param.items())
        config.write_text(config.read_text().replace("../data-store", address + rows))
        commit(root)
        yield repositories.clone(root, tmp_path / "checkout")


PLAIN: dict[str, str] = {}
BASIC = {"auth": "basic", "user": "robot"}
ASKING = {**BASIC, "ask_password": "true"}
FORMS = ("plain", "basic", "asking")


@pytest.mark.parametrize("checkout", [PLAIN, BASIC, ASKING], indirect=True, ids=FORMS)
def test_the_login_comes_from_the_netrc_file(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login robot password {SECRET}\n")
    source, _ = take(tmp_path / "out", checkout)
    assert contents(tmp_path / "out") == ROWS
    assert len(source.revision) == 40
    assert resolve(checkout, source.revision) == source


@pytest.mark.parametrize("checkout", [PLAIN, BASIC, ASKING], indirect=True, ids=FORMS)
@pytest.mark.parametrize("login", ["none", "wrong"])
def test_without_a_login_it_is_refused_and_nobody_is_asked(
    checkout: Path, tmp_path: Path, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = uuid.uuid4().hex

    def asked(*_: object) -> str:
        raise AssertionError("somebody was asked for a password")

    monkeypatch.setattr("getpass.getpass", asked)
    monkeypatch.setattr("dvc_http.getpass", asked)
    if login == "wrong":
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login robot password {wrong}\n")
    with pytest.raises(FileAccessError, match="DVC store") as caught:
        take(tmp_path / "out", checkout)
    assert "netrc" in caught.value.remedy
    assert wrong not in "".join(traceback.format_exception(caught.value))
    assert not (tmp_path / "out").exists()
