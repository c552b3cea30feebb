"""A successor takes the port from its predecessor under fire, and no request is lost."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException

import pytest

from tests.serve.served import free_port

pytestmark = pytest.mark.local

SERVER = """
import asyncio, sys
from wherry.serve.adapters import control, guard, listener
from wherry.serve.step import Drain

async def answer(scope, receive, send):
    await asyncio.sleep(float(scope["path"][1:] or 0))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": sys.argv[3].encode()})

drain = Drain()
listener.serve(
    guard.Guard(
        answer, drain=drain, observe=lambda *_: None, host="127.0.0.1", address="127.0.0.1"
    ),
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


def ask(port: int, connection: HTTPConnection | None = None, seconds: float = 0) -> str:
    line = connection or HTTPConnection("127.0.0.1", port, timeout=10)
    line.request("GET", f"/{seconds:g}")
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


@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGUSR1, 3), (signal.SIGTERM, 2)])
def test_what_is_under_way_is_answered_before_it_ends(number: int, seconds: float) -> None:
    port = free_port()
    live = Deployer(port, "0")
    live.take_over()
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(ask, port, seconds=seconds)
        time.sleep(0.5)
        live.process.send_signal(number)
        assert answer.result() == "0"
    assert live.process.wait(10) == 0


def test_sigterm_ends_one_that_leaves_in_seconds_too() -> None:
    port = free_port()
    live = Deployer(port, "0")
    live.take_over()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /30 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        time.sleep(0.3)
        live.process.send_signal(signal.SIGUSR1)
        time.sleep(1.3)
        assert live.process.poll() is None
        started = time.monotonic()
        live.process.terminate()
        assert live.process.wait(20) == 0
        assert time.monotonic() - started < 6


def test_before_it_is_promoted_it_answers_on_a_port_of_its_own_alone() -> None:
    port = free_port()
    candidate = Deployer(port, "new")
    assert ask(int(candidate.ready["port"])) == "new"
    assert candidate.ready["pid"] == candidate.process.pid
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    candidate.hang_up()
    assert candidate.process.wait(10) == 1


def test_an_order_to_listen_does_not_keep_one_that_ends() -> None:
    candidate = Deployer(free_port(), "new")
    candidate.process.terminate()
    time.sleep(0.05)
    candidate.say("listen")
    assert candidate.process.wait(10) == 0
    candidate.hang_up()


def test_it_ends_with_its_deployer_until_it_is_detached_though_it_listens() -> None:
    port = free_port()
    candidate = Deployer(port, "new")
    candidate.say("listen")
    candidate.hear()
    assert ask(port) == "new"
    candidate.hang_up()
    assert candidate.process.wait(10) == 1


@pytest.mark.parametrize("order", [b"{broken\n", b"[1]\n", b"{}\n"])
def test_an_order_that_nobody_understands_ends_it(order: bytes) -> None:
    candidate = Deployer(free_port(), "new")
    candidate._ours.sendall(order)
    assert candidate.process.wait(10) == 1
