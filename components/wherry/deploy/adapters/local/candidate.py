"""Starts a server that lives no longer than its deployer, until it is let go."""

import json
import os
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any, Final

import wherry
from wherry.contracts.errors import DeployError, WherryError
from wherry.progress import EVENTS_VARIABLE
from wherry.workspace import lasting_environment

_TAIL_BYTES: Final = 2000
_ERRORS: Final = {kind.code: kind for kind in WherryError.__subclasses__()}


class Candidate:
    """A server that lives no longer than this process, until it is detached.

    Args:
        command: its command line, to which the number of its descriptor is added.
        log: where its output goes.
        timeout: for each of its answers, in seconds.
    """

    def __init__(self, command: list[str], log: Path, timeout: float) -> None:
        self._timeout = timeout
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._line, theirs = socket.socketpair()
        with theirs, log.open("ab") as file:
            self._log_start = file.tell()
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=_environment(),
                # Whoever ends the pipeline's process group must not end the server.
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_ready(self) -> int:
        """Gives the port that it answers on, once it does.

        Raises:
            WherryError: what the server said why it cannot, or `DeployError`.
        """
        return int(self._expect("ready")["port"])

    def listen(self) -> None:
        """Has it listen on the public port too."""
        self._say("listen")
        self._expect("listening")

    def detach(self) -> None:
        """Lets it live on."""
        self._say("detach")
        self._line.close()
        # It is nobody's child to wait for any more.
        self._process.returncode = 0

    def kill(self) -> None:
        """Ends it at once; nobody but the smoke test has asked it anything."""
        self._line.close()
        self._process.kill()
        self._process.wait()

    def log_tail(self) -> str:
        """Gives what it wrote last; what an older server wrote is left out."""
        with self._log.open("rb") as file:
            file.seek(self._log_start)
            return file.read()[-_TAIL_BYTES:].decode(errors="replace").strip()

    def _say(self, order: str) -> None:
        try:
            self._line.sendall(json.dumps({"do": order}).encode() + b"\n")
        except OSError as error:
            raise self._failed("ended on its own") from error

    def _expect(self, state: str) -> dict[str, Any]:
        message = self._next_message()
        if message.get("state") == "failed":
            kind = _ERRORS.get(message["code"], DeployError)
            raise kind(message["message"], remedy=message["remedy"])
        if message.get("state") != state:
            raise self._failed(f"said {message} instead of {state!r}")
        return message

    def _next_message(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout
        line = b""
        while not line.endswith(b"\n"):
            self._line.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                part = self._line.recv(4096)
            except TimeoutError as error:
                raise self._failed(f"was not ready within {self._timeout:g} s") from error
            if not part:
                raise self._failed("ended on its own")
            line += part
        message: dict[str, Any] = json.loads(line)
        return message

    def _failed(self, what: str) -> DeployError:
        return DeployError(
            f"The server {what}. Its log ends:\n{self.log_tail()}",
            remedy=f"Read {self._log}, correct the cause and run again. What was live still is.",
        )


def _environment() -> dict[str, str]:
    """Gives this process's environment, so that the server finds the very same Wherry."""
    found = lasting_environment()
    found.pop(EVENTS_VARIABLE, None)
    home = str(Path(wherry.__file__).parents[1])
    if home != sysconfig.get_path("purelib"):  # installed packages are found anyway
        others = [path for path in found.get("PYTHONPATH", "").split(os.pathsep) if path]
        found["PYTHONPATH"] = os.pathsep.join([home, *others])
    return found
