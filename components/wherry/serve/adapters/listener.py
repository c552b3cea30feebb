"""Sockets and signals around an application, through uvicorn."""

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from wherry.contracts.errors import PortError, SettingsError
from wherry.serve.step import Drain, Line

GRACE_SECONDS: Final = 4
"""What a request may still take after SIGTERM."""

DRAIN_SECONDS: Final = 60
"""What a request may still take after SIGUSR1, when a successor has taken the port."""

_ACCEPT_SECONDS: Final = 0.2
"""How long a draining server still accepts who has knocked before its successor listened."""

_IDLE_SECONDS: Final = 1.0
"""How long a draining server keeps idle connections, so that their next request is answered."""

_ATTACH_REUSEPORT_CBPF: Final = 51
_BPF_RETURN: Final = 0x06


def bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """Gives a socket that is bound but does not listen yet.

    Args:
        host: a name or an address of this machine.
        port: or 0 for any free one.
        shared: whether a predecessor of ours may hold the port too.

    Raises:
        PortError: if the port is taken or not allowed.
        SettingsError: if the host is no address of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not shared:
            _check_free(family, kind, address)
        return _bound(family, kind, address, share=True)
    except socket.gaierror as error:
        raise _bad_host(host, error) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise _bad_host(host, error) from error
        raise PortError(
            f"Port {port} on {host} cannot be used: {error.strerror}.",
            remedy="Stop what listens there, or choose another with --port.",
        ) from error


def _check_free(family: int, kind: int, address: Any) -> None:
    _bound(family, kind, address, share=False).close()


def _bound(family: int, kind: int, address: Any, *, share: bool) -> socket.socket:
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            # A successor binds the same port, starts to listen, and only then this one stops.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _bad_host(host: str, error: OSError) -> SettingsError:
    return SettingsError(
        f"host {host!r} is no address of this machine ({error.strerror}).",
        remedy="Use 127.0.0.1, or 0.0.0.0 to be reachable from other machines.",
    )


def serve(
    application: Any,
    public: socket.socket,
    *,
    line: Line | None,
    drain: Drain,
    announce: Callable[[], None],
) -> None:
    """Serves until SIGTERM or SIGINT.

    With a line to a deployer it answers on a private loopback port first and takes
    the public one when told so.

    Args:
        application: an ASGI application.
        public: a bound socket, closed in the end.
        line: to the deployer, if one started this server.
        drain: set when SIGUSR1 asks the server to leave to its successor.
        announce: called once the public port is listened on.
    """
    with public:
        asyncio.run(_serve(application, public, line, drain, announce))


async def _serve(
    application: Any,
    public: socket.socket,
    line: Line | None,
    drain: Drain,
    announce: Callable[[], None],
) -> None:
    group = _Group(application, drain)
    group.obey_signals()
    if line is None:
        await group.open(public)
        announce()
    else:
        private = bind("127.0.0.1", 0, shared=False)
        await group.open(private)
        loop = asyncio.get_running_loop()

        async def take_over() -> None:
            await group.open(public)
            announce()
            line.say(state="listening")

        def listen() -> None:
            asyncio.run_coroutine_threadsafe(take_over(), loop)

        line.on_listen(listen)
        line.say(state="ready", port=private.getsockname()[1], pid=os.getpid())
    await group.finished()


class _Listener(uvicorn.Server):  # type: ignore[misc] # its one seam for signals
    """One socket; signals are the group's."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class _Group:
    """All sockets of one application."""

    def __init__(self, application: Any, drain: Drain) -> None:
        self._application = application
        self._drain = drain
        self._listeners: list[_Listener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False

    def obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGUSR1, self.leave)

    async def open(self, listening: socket.socket) -> None:
        config = uvicorn.Config(
            self._application,
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        listener = _Listener(config)
        listener.should_exit = self._ending  # the order to listen may come after that to end
        task = asyncio.create_task(listener.serve(sockets=[listening]))
        self._listeners.append(listener)
        self._tasks.append(task)
        while not listener.started and not task.done():
            await asyncio.sleep(0.005)
        if task.done():
            await task  # raises why it could not listen

    async def finished(self) -> None:
        # Asked anew: the public socket is opened while this waits for the private one.
        while not all(task.done() for task in self._tasks):
            await asyncio.gather(*self._tasks)

    def end(self) -> None:
        """Stops at once; what is under way has seconds, though it was promised a minute."""
        self._stop()
        if self._drain.active:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cut_off)

    def _stop(self) -> None:
        self._ending = True
        for listener in self._listeners:
            listener.should_exit = True

    def _cut_off(self) -> None:
        for state in (listener.server_state for listener in self._listeners):
            for task in state.tasks:
                task.cancel()
            for connection in list(state.connections):
                connection.transport.abort()

    def leave(self) -> None:
        """Accepts nobody new, answers who is connected, then stops."""
        loop = asyncio.get_running_loop()
        self._drain.active = True
        for listener in self._listeners:
            listener.config.timeout_graceful_shutdown = DRAIN_SECONDS
            for server in listener.servers:
                for each in server.sockets:
                    _steer_to_successor(each)
                loop.call_later(_ACCEPT_SECONDS, server.close)
        loop.call_later(_IDLE_SECONDS, self._stop)


def _steer_to_successor(listening: Any) -> None:
    """Has Linux give new connections of a shared port to the socket that joined it second.

    Without it, the kernel resets a client that it has queued here when the socket is closed.
    The program is the one classic BPF instruction "return 1", see SO_ATTACH_REUSEPORT_CBPF in
    socket(7); where there is no second socket the kernel ignores it.
    """
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 1))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    with contextlib.suppress(OSError):  # another system: the loss is one in ten thousands
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, program)
