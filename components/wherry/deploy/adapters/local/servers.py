"""Finds, stops and records the server processes of one deployment."""

import fcntl
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil

from wherry import __version__
from wherry.contracts import Deployment
from wherry.contracts.errors import ConflictError, SettingsError
from wherry.deploy.step import Endpoint

MODULE: Final = "wherry.serve"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_STOP_SECONDS: Final = 5.0


class Servers:
    """All server processes of one deployment: the live one, and what a crash may have left.

    A process is known by its command line, never by its number alone: numbers are reused.

    Args:
        name: of the deployment.
        folder: where records and logs lie.

    Raises:
        SettingsError: if the name is no plain file name.
    """

    def __init__(self, name: str, folder: Path) -> None:
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"deployment name {name!r} must match {_NAME.pattern}.",
                remedy="Release the model under such a name.",
            )
        self._name = name
        self.folder = folder.resolve()
        self.record = self.folder / f"{name}.json"
        self.log = self.folder / f"{name}.log"

    @property
    def tag(self) -> str:
        """What the servers carry in their command line; another version of us is another."""
        return f"{self.record}@{__version__}"

    def recorded(self) -> Deployment | None:
        """Gives what was deployed last, whether or not it still runs."""
        return Deployment.read(self.record) if self.record.exists() else None

    def processes(self) -> list[psutil.Process]:
        """Finds the running servers."""
        return [each for each in psutil.process_iter() if self._owns(command_line(each))]

    def running(self, pid: int) -> psutil.Process | None:
        """Gives the server of this number, or None if the number is somebody else's now."""
        return next((each for each in self.processes() if each.pid == pid), None)

    def stop(self) -> bool:
        """Stops every server and forgets the deployment; tells whether one ran."""
        found = self.processes()
        for each in found:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        _reap(found, _STOP_SECONDS)
        self.record.unlink(missing_ok=True)
        return bool(found)

    def retire_all_but(self, pid: int, seconds: float) -> None:
        """Lets every other server finish what it was asked, then stops it."""
        others = [each for each in self.processes() if each.pid != pid]
        for each in others:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGUSR1)
        _reap(others, seconds)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps a second deploy of the same name out; a killed deployer leaves no lock.

        Raises:
            ConflictError: if one is under way.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{self._name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    f"{self._name} is being deployed by another process.",
                    remedy="Wait until it is done and try again.",
                ) from error
            yield

    def _owns(self, command: Sequence[str]) -> bool:
        tag = option(command, "--tag").rpartition("@")[0]
        return MODULE in command and tag == str(self.record)


def checked(servers: Servers, connect: Callable[[str], Endpoint]) -> Deployment | None:
    """Gives what was deployed last with its health now, or None if nothing was."""
    last = servers.recorded()
    if last is None:
        return None
    alive = servers.running(last.pid) is not None
    return replace(last, healthy=alive and connect(last.url).ready())


def command_line(process: psutil.Process) -> list[str]:
    """Gives a process's arguments, or none if it ended or is not ours to look at."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def option(command: Sequence[str], name: str) -> str:
    """Gives the value of an option in a command line, or nothing."""
    return next((value for key, value in pairwise(command) if key == name), "")


def holder(port: int) -> str:
    """Names the process that listens on a port, as far as this user may see it."""
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid:
                return f"process {each.pid} ({' '.join(command_line(psutil.Process(each.pid)))})"
    return "a process of another user, or of the system"


def _reap(processes: list[psutil.Process], seconds: float) -> None:
    left = _wait(processes, seconds)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    _wait(left, _STOP_SECONDS)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Waits until processes end, and gives those that did not."""
    deadline = time.monotonic() + seconds
    left = [each for each in processes if _alive(each)]
    while left and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.05)
        left = [each for each in left if _alive(each)]
    return left


def _alive(process: psutil.Process) -> bool:
    # In a container nobody may fetch an orphan's end: it stays, as a zombie.
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
