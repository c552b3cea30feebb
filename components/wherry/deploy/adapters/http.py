"""Asks a server over HTTP: readiness, OpenAI's chat, KServe's predict."""

import json
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeVar
from urllib.parse import urlsplit

from wherry.contracts import Message
from wherry.contracts.errors import DeployError

T = TypeVar("T")


class HttpEndpoint:
    """Implements `Endpoint`. No proxy of the environment comes between.

    Args:
        url: such as ``http://127.0.0.1:8080``.
        name: what the server calls the model.
        tokens: longest answer.
        timeout: of each request, in seconds.
    """

    def __init__(self, url: str, name: str, *, tokens: int, timeout: float) -> None:
        self._url = url
        self._name = name
        self._tokens = tokens
        self._timeout = timeout

    def ready(self) -> bool:
        """Whether ``/v2/health/ready`` says so; a server that does not answer is not."""
        try:
            return self._ask("/v2/health/ready", None, lambda answer: answer["ready"] is True)
        except DeployError:
            return False

    def digest(self) -> str:
        """Gives the digest that ``/openai/v1/models`` tells.

        Raises:
            DeployError: as `chat`.
        """
        return self._ask("/openai/v1/models", None, lambda answer: str(answer["data"][0]["digest"]))

    def chat(self, prompt: Sequence[Message]) -> str:
        """Asks ``/openai/v1/chat/completions``, at temperature 0.

        Raises:
            DeployError: with what the server said instead.
        """
        return self._ask(
            "/openai/v1/chat/completions",
            {"model": self._name, "messages": _turns(prompt)} | self._sampling(),
            lambda answer: str(answer["choices"][0]["message"]["content"]),
        )

    def predict(self, prompts: Sequence[Sequence[Message]]) -> list[str]:
        """Asks ``/v1/models/NAME:predict`` everything in one request.

        Raises:
            DeployError: as `chat`.
        """
        return self._ask(
            f"/v1/models/{self._name}:predict",
            {
                "instances": [{"messages": _turns(prompt)} for prompt in prompts],
                "parameters": self._sampling(),
            },
            lambda answer: [str(text) for text in answer["predictions"]],
        )

    def _sampling(self) -> dict[str, Any]:
        return {"temperature": 0, "max_tokens": self._tokens}

    def _ask(self, path: str, body: dict[str, Any] | None, read: Callable[[Any], T]) -> T:
        place = urlsplit(self._url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=self._timeout)
        try:
            connection.request(
                "POST" if body else "GET",
                path,
                json.dumps(body) if body else None,
                {"content-type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise _failed(path, f"status {answer.status}: {text[:300]!r}")
            return read(json.loads(text))
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            raise _failed(path, f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()


def _turns(prompt: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in prompt]


def _failed(path: str, why: str) -> DeployError:
    return DeployError(f"{path} did not answer ({why}).", remedy="Read the server's log.")
