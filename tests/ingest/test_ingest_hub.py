"""Ingest from the Hugging Face Hub's client and a server that speaks the routes it uses."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.ingest import servers
from tests.ingest.repositories import contents, resolve, take
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FileAccessError,
    FormatError,
    MissingError,
    UriError,
)

pytestmark = pytest.mark.local

NAME = "team/claims"
ROWS = {
    "data/train.jsonl": b'{"id": "a"}\n' * 5000,
    "data/test.jsonl": b'{"id": "b"}\n',
    "README.md": b"# Claims\n",
}
LARGE = frozenset({"data/train.jsonl"})
"""Files that lie in LFS, so that the hub lists them by SHA-256."""


@dataclass
class Hub:
    """One data set, by commit; a branch is a name of a commit."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str = ""
    """Whoever does not send it is refused."""
    address: str = ""
    tokens: list[str] = field(default_factory=list)

    def push(self, files: dict[str, bytes]) -> str:
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[commit] = files
        self.branches["main"] = commit
        return commit

    def answer(self, path: str, token: str) -> tuple[int, dict[str, str], bytes]:
        self.tokens.append(token)
        if self.token and token != f"Bearer {self.token}":
            return 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "accept the terms"}, b""
        if found := re.fullmatch(rf"/api/datasets/{NAME}(?:/revision/([^/?]+))?(?:\?.*)?", path):
            return self._info(found[1] or "main")
        if found := re.fullmatch(rf"/api/datasets/{NAME}/tree/([^/?]+)/?([^?]*)(?:\?.*)?", path):
            return self._tree(found[1], found[2])
        if found := re.fullmatch(rf"/datasets/{NAME}/resolve/([^/?]+)/([^?]+)(?:\?.*)?", path):
            return self._file(found[1], found[2])
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    def _info(self, revision: str) -> tuple[int, dict[str, str], bytes]:
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        return 200, {}, json.dumps({"id": NAME, "sha": commit, "siblings": []}).encode()

    def _tree(self, commit: str, folder: str) -> tuple[int, dict[str, str], bytes]:
        prefix = f"{folder}/" if folder else ""
        files = {
            path: data
            for path, data in self.commits[commit].items()
            if prefix in path[: len(prefix)]
        }
        if not files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        rows: list[dict[str, Any]] = [{"type": "directory", "path": "data", "oid": "0" * 40}]
        return 200, {}, json.dumps([*rows, *map(_entry, files, files.values())]).encode()

    def _file(self, commit: str, path: str) -> tuple[int, dict[str, str], bytes]:
        return 200, {"ETag": '"x"', "X-Repo-Commit": commit}, self.commits[commit][path]


def _entry(path: str, data: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"type": "file", "path": path, "size": len(data), "oid": blob}
    if path in LARGE:
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 134}
    return entry


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one data set, at an address of its own."""
    made = Hub()
    made.push(ROWS)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = made.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made.address = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Proxy]:
    """The way to the hub, as the environment names it."""
    with servers.proxy(hub.address) as made:
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield made


URI = f"hf://datasets/{NAME}"


def test_a_data_set_is_taken_at_the_commit_that_its_branch_names(
    hub: Hub, proxy: servers.Proxy, tmp_path: Path
) -> None:
    source, fetched = take(tmp_path / "out", f"{URI}@main", path="")
    assert contents(tmp_path / "out") == ROWS
    assert source.revision == hub.branches["main"]
    assert source.uri == URI
    assert {file.path for file in fetched} == set(ROWS)
    assert all(f"/{source.revision}/" in line for line in proxy.seen if "/resolve/" in line)


def test_a_commit_stays_what_it_was(hub: Hub, proxy: servers.Proxy, tmp_path: Path) -> None:
    old = hub.branches["main"]
    before = resolve(URI, old, path="")
    hub.push({**ROWS, "data/test.jsonl": b"changed\n"})
    assert resolve(URI, old, path="") == before
    assert resolve(URI, path="").checksum != before.checksum
    take(tmp_path / "out", f"{URI}@{old}", path="", checksum=before.checksum)
    assert contents(tmp_path / "out") == ROWS
    with pytest.raises(ConflictError):
        take(tmp_path / "new", URI, path="", checksum=before.checksum)


@pytest.mark.parametrize(
    ("path", "names"),
    [("data", {"train.jsonl", "test.jsonl"}), ("data/test.jsonl", {"test.jsonl"})],
)
def test_a_folder_or_a_file_of_it_can_be_taken(
    proxy: servers.Proxy, tmp_path: Path, path: str, names: set[str]
) -> None:
    take(tmp_path / "out", URI, path=path)
    assert set(contents(tmp_path / "out")) == names


def test_gits_own_files_are_left_out(hub: Hub, proxy: servers.Proxy, tmp_path: Path) -> None:
    hub.push({**ROWS, ".gitattributes": b"*.parquet filter=lfs\n"})
    take(tmp_path / "out", URI, path="")
    assert contents(tmp_path / "out") == ROWS


@pytest.mark.parametrize("name", ["data/train.jsonl", "data/test.jsonl"])
def test_a_byte_that_flips_is_refused_in_lfs_and_in_git(
    proxy: servers.Proxy, tmp_path: Path, name: str
) -> None:
    proxy.faults = [(name, "corrupt")]
    with pytest.raises(DigestError, match=name):
        take(tmp_path / "out", URI, path="")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["503", "drop", "reset"])
def test_a_fault_that_passes_is_waited_for(
    proxy: servers.Proxy, tmp_path: Path, fault: Any
) -> None:
    proxy.faults = [("train.jsonl", fault)] * 2 + [("/tree/", fault)]
    take(tmp_path / "out", URI, path="")
    assert contents(tmp_path / "out") == ROWS
    assert proxy.faults == []


def test_the_token_comes_from_the_environment_and_is_never_shown(
    hub: Hub, proxy: servers.Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_hushhush"
    with pytest.raises(FileAccessError) as caught:
        resolve(URI, path="")
    assert "HF_TOKEN" in caught.value.remedy
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(FileAccessError) as caught:
        resolve(URI, path="")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "hf_hushhush")
    take(tmp_path / "out", URI, path="")
    assert contents(tmp_path / "out") == ROWS


@pytest.mark.parametrize(
    ("uri", "revision", "path", "told"),
    [
        (URI, "v9", "", "v9"),
        ("hf://datasets/team/nothing", "", "", "team/nothing"),
        (URI, "", "data/nothing", "data/nothing"),
    ],
)
def test_what_is_not_there_is_named(
    proxy: servers.Proxy, uri: str, revision: str, path: str, told: str
) -> None:
    with pytest.raises(MissingError, match=told):
        resolve(uri, revision, path)


def test_two_revisions_disagree(proxy: servers.Proxy) -> None:
    with pytest.raises(UriError, match="disagree"):
        resolve(f"{URI}@main", "v1", path="")


def test_a_name_that_escapes_is_refused(hub: Hub, proxy: servers.Proxy, tmp_path: Path) -> None:
    hub.push({"data/../../evil.jsonl": b"x"})
    with pytest.raises(FormatError):
        take(tmp_path / "out", URI, path="")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_in_the_libraries_cache(
    proxy: servers.Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    take(tmp_path / "out", URI, path="")
    assert list(home.iterdir()) == []
