"""Servers that hold data: real ones in a process of their own, and what breaks on the way."""

import base64
import functools
import http.client
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import (
    BaseHTTPRequestHandler,
    HTTPServer,
    SimpleHTTPRequestHandler,
    ThreadingHTTPServer,
)
from pathlib import Path
from typing import Any, Literal
from wsgiref.simple_server import WSGIRequestHandler, make_server

import trustme
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

Fault = Literal["503", "429", "drop", "reset", "corrupt"]
"""What happens to an answer: a status, half of its body, no answer, a flipped byte."""


@contextmanager
def process(*command: str, port: int) -> Iterator[str]:
    """Runs a server for as long as the block lasts; gives its address."""
    with subprocess.Popen(
        [*command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        try:
            _await(port, running)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.kill()


def s3() -> AbstractContextManager[str]:
    """moto's S3 server."""
    port = free_port()
    return process(
        sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), port=port
    )


def gcs() -> AbstractContextManager[str]:
    """An emulator of Cloud Storage that keeps everything in memory."""
    port = free_port()
    code = "from gcp_storage_emulator.__main__ import main; main()"
    arguments = ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    return process(sys.executable, "-c", code, *arguments, port=port)


@contextmanager
def files(folder: Path) -> Iterator[str]:
    """A plain HTTP server of a folder's files."""
    handler = functools.partial(Quiet, directory=str(folder))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as address:
        yield address


@dataclass(frozen=True)
class GitServer:
    """A git server behind TLS, with a certificate of an authority that nobody knows."""

    port: int
    authority: Path
    """The authority's own certificate, as a PEM file."""

    @property
    def address(self) -> str:
        """Of its one repository."""
        return f"https://localhost:{self.port}/data.git"


@contextmanager
def git(repository: Path, folder: Path, user: str = "", password: str = "") -> Iterator[GitServer]:
    """Serves a repository over https, to anyone or to one user.

    Args:
        repository: a checkout or a bare repository.
        folder: takes the authority's certificate.
        user: who may read; empty for anyone.
        password: the user's.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    served = make_wsgi_chain(DictBackend({"/data.git": Repo(str(repository))}))
    server = make_server("127.0.0.1", 0, _for_user(served, user, password), handler_class=_Silent)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield GitServer(server.server_port, folder / "authority.pem")


def _for_user(app: Any, user: str, password: str) -> Any:
    wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    def guarded(environment: dict[str, Any], start: Any) -> Any:
        if user and environment.get("HTTP_AUTHORIZATION") != wanted:
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b""]
        return app(environment, start)

    return guarded


@dataclass
class Proxy:
    """Hands requests on, but breaks some answers."""

    upstream: str
    """``http://HOST:PORT``."""
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    """What happens, in turn, to the next GET whose path holds a text. A fault is used up but for
    ``corrupt``, which stays."""
    seen: list[str] = field(default_factory=list)
    """``METHOD path`` of each request."""
    address: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.seen.append(f"{method} {path}")
            for index, (text, fault) in enumerate(self.faults):
                if method == "GET" and text in path:
                    if fault != "corrupt":
                        del self.faults[index]
                    return fault
        return None


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy before a server, which breaks nothing until it is told to."""
    made = Proxy(upstream)

    class Handler(_Forward):
        proxy = made

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        made.address = address
        yield made


class _Forward(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"  # so that it answers `Expect: 100-continue`

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.fault(self.command, self.path)
        self.close_connection = True
        if fault == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault in ("503", "429"):
            self.send_error(int(fault))
        else:
            self._answer(fault, body)

    def _answer(self, fault: Fault | None, body: bytes) -> None:
        link = http.client.HTTPConnection(self.proxy.upstream.removeprefix("http://"))
        link.request(self.command, self.path, body, dict(self.headers))
        answer = link.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        lengths = {"transfer-encoding", "connection", "content-length"}
        for name, value in answer.getheaders():
            if name.lower() not in lengths:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.send_header("Connection", "close")
        self.end_headers()
        middle = len(data) // 2
        if fault == "corrupt" and data:
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        self.wfile.write(data[:middle] if fault == "drop" else data)
        if fault == "drop":
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder's files and tells nobody of it."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Runs a server in a thread for as long as the block lasts; gives its address."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start on port {port}: {running.args!r}")
