"""Every request ends in an answer, whatever it carries and whatever fails behind the guard."""

import asyncio
import json
from typing import Any

import pytest

from wherry.serve.adapters.guard import Guard
from wherry.serve.step import MAX_BODY_BYTES, Drain

JSON = [(b"content-type", b"application/json")]


def ask(
    app: Any,
    parts: list[bytes],
    headers: list[tuple[bytes, bytes]] = JSON,
    method: str = "POST",
    drain: Drain | None = None,
    leaves: bool = False,
    host: str = "127.0.0.1",
    address: str = "",
) -> tuple[list[dict], list[int]]:
    sent: list[dict] = []
    seen: list[int] = []
    messages = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
        for index, part in enumerate(parts)
    ]

    answered = asyncio.Event()

    async def receive() -> dict:
        if messages:
            return messages.pop(0)
        if not leaves:
            await answered.wait()  # as uvicorn: behind the body comes only the end
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    guard = Guard(
        app,
        drain=drain or Drain(),
        observe=lambda path, status, seconds: seen.append(status),
        host=host,
        address=address or host,
    )
    scope = {"type": "http", "method": method, "path": "/x", "headers": headers}
    asyncio.run(guard(scope, receive, send))
    return sent, seen


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def broken(scope: Any, receive: Any, send: Any) -> None:
    raise ZeroDivisionError("a fault")


async def half(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError("a fault")


def test_a_body_in_parts_reaches_the_application_whole() -> None:
    sent, seen = ask(echo, [b"a", b"b", b"c"])
    assert sent[1]["body"] == b"abc"
    assert seen == [200]


def test_a_body_that_is_too_long_is_read_to_its_end_and_refused() -> None:
    sent, seen = ask(echo, [b"x" * MAX_BODY_BYTES, b"y", b"z"])
    assert seen == [413]
    assert json.loads(sent[1]["body"])["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("kind", [None, b"text/plain", b"application/x-www-form-urlencoded"])
def test_what_a_foreign_web_page_could_send_is_refused(kind: bytes | None) -> None:
    headers = [(b"content-type", kind)] if kind else []
    assert ask(echo, [b"{}"], headers)[1] == [415]


def test_a_charset_beside_the_kind_is_fine() -> None:
    assert ask(echo, [b"{}"], [(b"content-type", b"Application/JSON; charset=utf-8")])[1] == [200]


def test_a_get_needs_no_kind() -> None:
    assert ask(echo, [b""], [], "GET")[1] == [200]


def test_a_fault_is_answered_with_500_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    sent, seen = ask(broken, [b"{}"])
    assert seen == [500]
    assert json.loads(sent[1]["body"])["error"]["type"] == "server_error"
    assert "ZeroDivisionError" in caplog.text


def test_a_fault_behind_half_an_answer_adds_no_second_start() -> None:
    sent, _ = ask(half, [b"{}"])
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_a_draining_server_asks_its_clients_to_connect_anew() -> None:
    assert (b"connection", b"close") in ask(echo, [b"{}"], drain=Drain(True))[0][0]["headers"]
    assert (b"connection", b"close") not in ask(echo, [b"{}"])[0][0]["headers"]


def test_nobody_works_on_for_a_client_who_has_left() -> None:
    reached: list[str] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        reached.append("begun")
        await asyncio.sleep(30)
        reached.append("ended")

    sent, seen = ask(slow, [b"{}"], leaves=True)
    assert (sent, seen, reached) == ([], [499], ["begun"])


def test_a_stream_hears_that_its_client_has_left() -> None:
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"

    assert ask(stream, [b"{}"], leaves=True)[1] == [200]


def test_what_follows_a_whole_answer_is_not_cut_off() -> None:
    reached: list[str] = []

    async def tidy(scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        await asyncio.sleep(0.01)
        reached.append("tidied")

    assert ask(tidy, [b"{}"])[1] == [200]
    assert reached == ["tidied"]


OWN_NAMES = [
    *(b"localhost", b"localhost:8080", b"LOCALHOST", b"localhost.", b"localhost.:8080", b""),
    *(b"127.0.0.1:8080", b"127.0.0.2", b"[::1]:8080", b"[::ffff:127.0.0.1]", b"[::ffff:7f00:1]:80"),
]


@pytest.mark.parametrize("name", OWN_NAMES)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_this_machine_is_asked_for_by_its_own_names(name: bytes, method: str) -> None:
    assert ask(echo, [b"{}"], [*JSON, (b"host", name)], method)[1] == [200]


@pytest.mark.parametrize(
    "name",
    [
        *(b"evil.example", b"localhost.evil.example:8080", b"evil.example.", b"localhost..", b"."),
        *(b"10.0.0.1", b"0.0.0.0", b"[::]", b"[::ffff:10.0.0.1]", b"[", b":8080", b"2130706433"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_page_whose_name_leads_here_is_refused(name: bytes, method: str) -> None:
    sent, seen = ask(echo, [b"{}"], [*JSON, (b"host", name)], method)
    assert seen == [421]
    assert "localhost" in json.loads(sent[1]["body"])["error"]["message"]


@pytest.mark.parametrize("own_first", [True, False])
def test_a_second_name_hides_no_foreign_one(own_first: bool) -> None:
    names = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert ask(echo, [b"{}"], [*JSON, *(names if own_first else names[::-1])])[1] == [421]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("::1", "::1"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        # As Debian's /etc/hosts has the machine's own name.
        ("workstation", "127.0.1.1"),
        ("Workstation", "127.0.1.1"),
    ],
)
def test_it_is_the_address_that_says_whether_it_is_this_machine_alone(
    host: str, address: str
) -> None:
    named = f"[{host}]" if ":" in host else host
    for name, status in ((b"evil.example", 421), (b"localhost", 200), (named.encode(), 200)):
        assert ask(echo, [b"{}"], [*JSON, (b"host", name)], host=host, address=address)[1] == [
            status
        ]


def test_a_server_for_others_goes_by_any_name() -> None:
    headers = [*JSON, (b"host", b"model.team.example")]
    assert ask(echo, [b"{}"], headers, host="0.0.0.0")[1] == [200]
