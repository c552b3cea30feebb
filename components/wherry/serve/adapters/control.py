"""The line between a server and the deployer that started it.

The deployer hands the server one end of a socket pair. Until it says ``detach``, the
server lives no longer than the deployer: the end of the stream ends the server, however
the deployer died. Both sides write one JSON object a line:

| from | message | meaning |
|---|---|---|
| server | ``{"state": "ready", "port": 40123, "pid": 4711}`` | answers on this loopback port |
| server | ``{"state": "failed", "code": …, "message": …, "remedy": …}`` | did not start |
| deployer | ``{"do": "listen"}`` | also listen on the public port |
| server | ``{"state": "listening"}`` | does so |
| deployer | ``{"do": "detach"}`` | live on without the deployer |
"""

import json
import os
import socket
import threading
from collections.abc import Callable


class Control:
    """Implements `Line`: the server's end.

    Args:
        descriptor: of the inherited socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._on_listen: Callable[[], None] = _not_ready
        threading.Thread(target=self._watch, name="control", daemon=True).start()

    def on_listen(self, listen: Callable[[], None]) -> None:
        """Sets what ``listen`` does; call it before `say` tells that the server is ready."""
        self._on_listen = listen

    def say(self, **message: object) -> None:
        """Sends one message; a deployer that is gone is noticed by the watching thread."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return

    def _watch(self) -> None:
        if not self._obey():
            # The deployer ended before it let go: nobody would ever know of this server.
            os._exit(1)

    def _obey(self) -> bool:
        """Follows orders; gives True once detached, False if the line broke before."""
        try:
            with self._socket.makefile("rb") as lines:
                for line in lines:
                    if json.loads(line)["do"] == "detach":
                        return True
                    self._on_listen()
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return False


def _not_ready() -> None:
    """Ignores an order that came before the server was ready."""
