"""What every request passes first: size, kind, and an end that is always an answer."""

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from wherry.serve.step import MAX_BODY_BYTES, Drain, RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Observe = Callable[[str, int, float], None]
"""Takes path, status and seconds of an answered request."""

_KINDS: Final = ("application/json", "application/cloudevents+json", "application/octet-stream")
"""A web page cannot send these to another origin unasked, so it cannot use a local model."""

_DISCARDED_BYTES: Final = 64 * MAX_BODY_BYTES
"""A client reads an answer only once it has sent its body; beyond this it is cut off."""

_LEFT: Final = 499
"""Stands in the metrics for a client that left before it was answered, as in nginx's."""

_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")

_log: Final = logging.getLogger("wherry.serve")


class Guard:
    """An ASGI middleware.

    Args:
        app: what it guards.
        drain: whether responses ask clients to connect anew.
        observe: called after each answer.
        host: what is listened on, by the name that the operator gave.
        address: what that is, in numbers. One of this machine alone is asked for by its own names
            alone.
    """

    def __init__(
        self, app: Application, *, drain: Drain, observe: Observe, host: str, address: str
    ) -> None:
        self._app = app
        self._names = {"localhost", host.lower()} if _is_loopback(address) else None
        self._drain = drain
        self._observe = observe

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handles one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        answer = _Answer(send, self._drain)
        try:
            self._check_name(scope)
            if scope["method"] == "POST":
                body = await _checked(scope, receive)
                await _while_there(self._app, scope, body, receive, answer)
            else:
                await self._app(scope, receive, answer.send)
        except RequestError as error:
            await answer.refuse(error)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            await answer.refuse(RequestError("The server failed; its log says why.", status=500))
        self._observe(scope["path"], answer.status or _LEFT, time.monotonic() - started)

    def _check_name(self, scope: Message) -> None:
        """Refuses a page whose own name was made to lead to this machine (DNS rebinding).

        To a browser such a page and this server are one site, so it may send what it likes.
        """
        if self._names is None:
            return
        # Each of them: who stands between might heed another one than this server.
        for given in (value for key, value in scope["headers"] if key == b"host" and value):
            name = _without_port(given.decode("latin-1")).lower().removesuffix(".")
            # A number is no name that somebody could have made to lead here.
            if name not in self._names and not _is_loopback(name):
                raise RequestError(
                    f"This server answers on this machine alone, by {' or '.join(_LOCAL)}; "
                    f"the request is for {name[:200]!a}.",
                    status=421,
                )


class _Answer:
    """The response of one request."""

    def __init__(self, send: Send, drain: Drain) -> None:
        self._send = send
        self._drain = drain
        self.status = 0
        self.whole = False
        """Whether the last part is out."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._drain.active:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif message["type"] == "http.response.body":
            self.whole = not message.get("more_body")
        await self._send(message)

    async def refuse(self, error: RequestError) -> None:
        if self.status:
            return  # half an answer is out: all that is left is to end it
        body = json.dumps(error.body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(address: str) -> bool:
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return False
    # ::ffff:127.0.0.1 is 127.0.0.1, though Python knows so from 3.13 on alone.
    return (getattr(read, "ipv4_mapped", None) or read).is_loopback


async def _while_there(
    app: Application, scope: Message, body: bytes, receive: Receive, answer: _Answer
) -> None:
    """Has a POST answered, unless its client leaves before: then nobody works for it any longer."""
    # Behind a body there comes nothing but word that the client has left, or has its answer.
    gone = asyncio.ensure_future(receive())
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await asyncio.shield(gone)

    work = asyncio.ensure_future(app(scope, replay, answer.send))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done() or answer.whole:
            await work
    finally:
        gone.cancel()
        work.cancel()
        await asyncio.wait((work,))


async def _checked(scope: Message, receive: Receive) -> bytes:
    """Reads the body of a POST.

    Raises:
        RequestError: if it is too long or of a kind that is not JSON.
    """
    body = await _read(receive)
    if len(body) > MAX_BODY_BYTES:
        raise RequestError(f"The body is longer than {MAX_BODY_BYTES} bytes.", status=413)
    kind = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    if kind.partition(";")[0].strip().lower() not in _KINDS:
        raise RequestError(
            f"The content type must be application/json, got {kind or 'none'}.", status=415
        )
    return body


async def _read(receive: Receive) -> bytes:
    """Gives the body; of one that is too long, the beginning, with the rest read and dropped."""
    body = bytearray()
    length = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        length += len(part)
        if len(body) <= MAX_BODY_BYTES:
            body += part
        if not message.get("more_body") or length > _DISCARDED_BYTES:
            return bytes(body)
