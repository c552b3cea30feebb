"""A server that speaks OpenAI's protocol and says what it is told to."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Reply = tuple[int, Json | bytes] | tuple[int, Json | bytes, Mapping[str, str | None]] | None
"""A status and a body, perhaps with headers that replace the usual ones (None leaves one out);
None closes the connection without a word."""


@dataclass
class FakeOpenAi:
    """What it answers, and what it was asked."""

    cards: list[Json]
    """Of the models that it lists."""
    reply: Callable[[Json], Reply]
    """A chat request to what is sent; see `said`."""
    url: str = ""
    bodies: list[Json] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """The Authorization header of each request."""
    listing: int = 200
    """The status that its list of models comes with."""

    @contextmanager
    def serving(self) -> Iterator["FakeOpenAi"]:
        """Answers on a free port until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        # Its default looks for an end twice a second alone, for which each test would wait.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # http.server's name
                fake.keys.append(self.headers["Authorization"])
                self._send(fake.listing, {"object": "list", "data": fake.cards}, {})

            def do_POST(self) -> None:  # http.server's name
                fake.keys.append(self.headers["Authorization"])
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.bodies.append(body)
                if (reply := fake.reply(body)) is None:
                    self.close_connection = True
                    return
                self._send(reply[0], reply[1], reply[2] if len(reply) > 2 else {})

            def _send(
                self, status: int, body: Json | bytes, headers: Mapping[str, str | None]
            ) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                usual = {"Content-Type": "application/json", "Content-Length": str(len(data))}
                self.send_response(status)
                for name, value in (usual | dict(headers)).items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Stays silent."""

        return Handler


def card(name: str, **more: Any) -> Json:
    """Gives a model as a server lists it."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "test", **more}


def said(text: str, first: dict[str, float] | None = None, fingerprint: str = "") -> Json:
    """Gives the body of an answer.

    Args:
        text: the answer.
        first: the most probable first tokens with their log-probabilities, or None if the
            server tells none.
        fingerprint: what the server says it is.
    """
    tops = [
        {"token": token, "logprob": score, "bytes": list(token.encode())}
        for token, score in (first or {}).items()
    ]
    logprobs = {"content": [{**tops[0], "top_logprobs": tops}]} if tops else None
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
        "logprobs": logprobs,
    }
    return {
        "id": "chat",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "system_fingerprint": fingerprint,
    }
