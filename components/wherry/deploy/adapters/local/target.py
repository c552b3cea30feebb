"""Runs a deployment as a process of this machine."""

import errno
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from wherry.contracts import Deployment, Release
from wherry.contracts.errors import DeployError, PortError, SettingsError
from wherry.deploy.adapters.local.candidate import Candidate
from wherry.deploy.adapters.local.servers import (
    MODULE,
    Servers,
    checked,
    command_line,
    holder,
    option,
)
from wherry.deploy.settings import DeploySettings
from wherry.deploy.step import Endpoint


class LocalTarget:
    """Implements `Target` with processes of this machine.

    Args:
        servers: of the deployment.
        model: the GGUF file.
        settings: port, threads and so on.
        connect: gives the endpoint at an address.
    """

    kind: Literal["local"] = "local"

    def __init__(
        self,
        servers: Servers,
        model: Path,
        settings: DeploySettings,
        connect: Callable[[str], Endpoint],
    ) -> None:
        self._servers = servers
        self._model = model
        self._settings = settings
        self._connect = connect
        self._candidate: Candidate | None = None
        self.url = _url(settings.host, settings.port)

    def current(self) -> Deployment | None:
        """Gives what was deployed last, with its health now."""
        return checked(self._servers, self._connect)

    def serves(self, release: Release) -> bool:
        """Whether the live process was started by the very command that `start` would give."""
        live = self.current()
        if live is None or not live.healthy or live.url != self.url:
            return False
        process = self._servers.running(live.pid)
        # The interpreter's own spelling and the descriptor's number are all that may differ.
        return process is not None and command_line(process)[1:-1] == self._command(release)[1:]

    def start(self, release: Release) -> str:
        """Starts a candidate on a port of its own.

        Raises:
            PortError: if the public port is somebody else's; then nothing is started.
            DeployError: if it did not become ready in time.
            WherryError: what the server itself said, such as `DigestError`.
        """
        self.check_port()
        self._candidate = Candidate(
            self._command(release), self._servers.log, self._settings.start_timeout
        )
        return f"http://127.0.0.1:{self._candidate.wait_ready()}"

    def promote(self, deployment: Deployment) -> Deployment:
        """Lets the candidate take the public port; a kill at any point leaves one server."""
        candidate = self._candidate
        if candidate is None:
            raise DeployError("There is no candidate to promote.", remedy="Start one first.")
        candidate.listen()
        live = replace(deployment, pid=candidate.pid)
        live.write(self._servers.record)
        candidate.detach()
        self._candidate = None
        self._servers.retire_all_but(live.pid, self._settings.drain_timeout)
        return live

    def record(self, deployment: Deployment) -> Deployment:
        """Records that the live process now stands for this deployment.

        A takeover that was killed may have left the one before it at the same port.
        """
        before = self._servers.recorded()
        live = replace(deployment, pid=before.pid if before else 0)
        live.write(self._servers.record)
        self._servers.retire_all_but(live.pid, self._settings.drain_timeout)
        return live

    def discard(self) -> None:
        """Stops the candidate, if there is one."""
        if self._candidate:
            self._candidate.kill()
            self._candidate = None

    def log_tail(self) -> str:
        """Gives what the candidate wrote last."""
        return self._candidate.log_tail() if self._candidate else ""

    def _command(self, release: Release) -> list[str]:
        options = {
            "--model": self._model,
            "--name": self._settings.name or release.name,
            "--host": self._settings.host,
            "--port": self._settings.port,
            "--threads": self._settings.threads,
            "--context": self._settings.context,
            "--parallel": self._settings.parallel,
            "--expect-digest": release.digest,
            "--expect-template": release.lineage.template_digest,
            "--tag": self._servers.tag,
        }
        given = [text for pair in options.items() for text in map(str, pair)]
        # -P: the folder that the pipeline runs in is no place to import from.
        return [sys.executable, "-P", "-m", MODULE, *given, "--control-fd"]

    def check_port(self) -> None:
        """Looks whether the public port is free, or held by a server of this deployment.

        Raises:
            PortError: if it is somebody else's.
            SettingsError: if the host is no address of this machine.
        """
        port = str(self._settings.port)
        if any(option(command_line(p), "--port") == port for p in self._servers.processes()):
            return
        try:
            _try_bind(self._settings.host, self._settings.port)
        except socket.gaierror as error:
            raise _bad_host(self._settings.host, error) from error
        except OSError as error:
            raise self._port_error(error) from error

    def _port_error(self, error: OSError) -> PortError | SettingsError:
        host, port = self._settings.host, self._settings.port
        if error.errno == errno.EADDRNOTAVAIL:
            return _bad_host(host, error)
        held = f", held by {holder(port)}" if error.errno == errno.EADDRINUSE else ""
        return PortError(
            f"Port {port} on {host} cannot be used: {error.strerror}{held}.",
            remedy="Set deploy.port in the settings, or stop what listens there.",
        )


def _try_bind(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _bad_host(host: str, error: OSError) -> SettingsError:
    return SettingsError(
        f"host {host!r} is no address of this machine ({error.strerror}).",
        remedy="Set deploy.host to 127.0.0.1, or 0.0.0.0 to be reachable from other machines.",
    )


def _url(host: str, port: int) -> str:
    # What listens everywhere is reached here.
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not bound here
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"
