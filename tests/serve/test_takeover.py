"""A successor takes the port from its predecessor under fire, and no request is lost."""

import json
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection, HTTPException

import pytest

from tests.serve.served import free_port

pytestmark = pytest.mark.local

SERVER = """
import sys
from wherry.serve.adapters import control, guard, listener
from wherry.serve.step import Drain

async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": sys.argv[3].encode()})

drain = Drain()
listener.serve(
    guard.Guard(answer, drain=drain, observe=lambda *_: None),
    listener.bind("127.0.0.1", int(sys.argv[1]), shared=True),
    line=control.Control(int(sys.argv[2])),
    drain=drain,
    announce=lambda: None,
)
"""


class Deployer:
    """Holds the line to one server."""

    def __init__(self, port: int, name: str) -> None:
        self._ours, theirs = socket.socketpair()
        self._lines = self._ours.makefile("rb")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(port), str(theirs.fileno()), name],
                pass_fds=[theirs.fileno()],
                env={"PYTHONPATH": "components"},
            )
        self.ready = self.hear()

    def hear(self) -> dict:
        return json.loads(self._lines.readline())

    def say(self, order: str) -> None:
        self._ours.sendall(json.dumps({"do": order}).encode() + b"\n")

    def take_over(self) -> None:
        self.say("listen")
        assert self.hear() == {"state": "listening"}
        self.say("detach")
        self.hang_up()

    def hang_up(self) -> None:
        self._lines.close()
        self._ours.close()


def ask(port: int, connection: HTTPConnection | None = None) -> str:
    line = connection or HTTPConnection("127.0.0.1", port, timeout=10)
    line.request("GET", "/")
    text = line.getresponse().read().decode()
    if connection is None:
        line.close()
    return text


def test_four_successions_lose_no_request() -> None:
    port = free_port()
    live = Deployer(port, "0")
    live.take_over()
    finished, failures, heard = threading.Event(), [], set()

    def client(keep: bool) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=10) if keep else None
        while not finished.is_set():
            try:
                heard.add(ask(port, connection))
            except (OSError, HTTPException) as error:
                failures.append(repr(error))

    clients = [threading.Thread(target=client, args=(keep,)) for keep in (False, False, True)]
    for each in clients:
        each.start()
    for number in range(1, 5):
        successor = Deployer(port, str(number))
        successor.take_over()
        live.process.send_signal(signal.SIGUSR1)
        assert live.process.wait(10) == 0
        live = successor
    finished.set()
    for each in clients:
        each.join()
    live.process.terminate()
    assert live.process.wait(10) == 0
    assert failures == []
    assert heard == {"0", "1", "2", "3", "4"}


def test_before_it_is_promoted_it_answers_on_a_port_of_its_own_alone() -> None:
    port = free_port()
    candidate = Deployer(port, "new")
    assert ask(int(candidate.ready["port"])) == "new"
    assert candidate.ready["pid"] == candidate.process.pid
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    candidate.hang_up()
    assert candidate.process.wait(10) == 1


def test_it_ends_with_its_deployer_until_it_is_detached_though_it_listens() -> None:
    port = free_port()
    candidate = Deployer(port, "new")
    candidate.say("listen")
    candidate.hear()
    assert ask(port) == "new"
    candidate.hang_up()
    assert candidate.process.wait(10) == 1


def test_an_order_that_nobody_understands_ends_it() -> None:
    candidate = Deployer(free_port(), "new")
    candidate._ours.sendall(b"{broken\n")
    assert candidate.process.wait(10) == 1
