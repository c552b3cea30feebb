"""Asks a running server that speaks OpenAI's protocol."""

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DefaultHttpxClient,
    OpenAI,
    OpenAIError,
)

from wherry.contracts import Digest, Message, digest_bytes
from wherry.contracts.errors import DataError, DigestError, EndpointError, UriError
from wherry.evaluate.settings import Endpoint
from wherry.evaluate.step import Answer
from wherry.progress import Report

_SHA256: Final = "sha256:"
_NO_KEY: Final = "none"
"""What a server that asks for no key is sent: the protocol has no place for nothing."""
_BAD_REQUEST: Final = 400
_TOO_MANY: Final = 429
_NOT_THERE: Final = (404, 405, 501)
"""What a server answers that has no list of its models, as some gateways."""
_TOO_LONG: Final = ("context_length_exceeded", "exceed_context_size_error")
"""What servers call a prompt that they have no room for: OpenAI, and llama.cpp by its type."""
T = TypeVar("T")


# What is read of a server's answers. OpenAI's client takes any text or any object for one; these
# refuse what is none, and let pass what other servers leave out or add.
@dataclass(frozen=True)
class _Card:
    """A model that a server lists."""

    id: str
    digest: Any = None


@dataclass(frozen=True)
class _Cards:
    data: list[_Card] | None


@dataclass(frozen=True)
class _Token:
    """A token that could have come, with its log-probability."""

    token: str
    logprob: float
    bytes: list[Annotated[int, msgspec.Meta(ge=0, le=255)]] | None = None


@dataclass(frozen=True)
class _Place:
    top_logprobs: list[_Token] | None = None


@dataclass(frozen=True)
class _Places:
    content: list[_Place] | None = None


@dataclass(frozen=True)
class _Turn:
    content: str | None = None
    refusal: Any = None
    """What is said in the place of an answer, by servers that tell the two apart."""

    @property
    def text(self) -> str:
        return self.content or (self.refusal if isinstance(self.refusal, str) else "")


@dataclass(frozen=True)
class _Choice:
    message: _Turn
    logprobs: _Places | None = None
    finish_reason: Any = None


@dataclass(frozen=True)
class _Reply:
    choices: list[_Choice]
    system_fingerprint: str | None = None


class _NotThereError(EndpointError):
    """The server has nothing at an address of the protocol."""


class OpenAiAnswerer:
    """Implements `Answerer` on a server.

    The server renders with its own chat template. A label is scored where it is one of the first
    tokens that the server lists, as a whole; see `label_scores`.

    Args:
        url: up to the protocol's version, such as ``http://127.0.0.1:8080/openai/v1``.
        endpoint: how it is asked. The key is read from the environment alone.
        max_new_tokens: the longest free answer.

    Raises:
        UriError: if the URL is not one of HTTP, or has a password in it.
        EndpointError: if the server does not answer, or has no such model.
        DigestError: if it says that its model has another digest than expected, or if nobody
            says any.
    """

    def __init__(self, url: str, endpoint: Endpoint, *, max_new_tokens: int) -> None:
        self._url = _checked(url)
        self._endpoint = endpoint
        self._max_new_tokens = max_new_tokens
        self._client = OpenAI(
            base_url=url,
            api_key=_key(endpoint.api_key_variable),
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
            # No proxy stands between a machine and itself.
            http_client=DefaultHttpxClient(trust_env=False) if _is_here(url) else None,
        )
        self._model, said = self._found()
        self._digest, self._verified = self._identified(said)
        self.latencies: list[float] = []
        """Milliseconds from request to whole answer, in the order in which answers came."""

    @property
    def engine(self) -> str:
        """``openai``."""
        return "openai"

    @property
    def model(self) -> str:
        """What the server calls it."""
        return self._model

    @property
    def model_digest(self) -> Digest:
        """Of the model, by the server or else by the settings."""
        return self._digest

    @property
    def verified(self) -> bool:
        """Whether the server itself says that its model has this digest."""
        return self._verified

    @property
    def template_digest(self) -> Digest:
        """Of the chat template, as the settings say; of an empty text if they do not."""
        return self._endpoint.template_digest or digest_bytes(b"")

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        """Answers every prompt; see `wherry.evaluate.step.Answerer`."""
        answers = []
        with ThreadPoolExecutor(self._endpoint.parallel) as pool:
            for answer in pool.map(lambda prompt: self._answer(prompt, labels), prompts):
                answers.append(answer)
                report.progress(len(answers), len(prompts), "rows answered")
        return answers

    def _answer(self, prompt: Sequence[Message], labels: Sequence[str]) -> Answer:
        started = time.perf_counter()
        reply = self._called(
            _Reply,
            self._client.chat.completions.with_raw_response.create,
            model=self._model,
            messages=[msgspec.structs.asdict(turn) for turn in prompt],
            **self._options(labels),
        )
        self.latencies.append(1000 * (time.perf_counter() - started))
        self._check_same(reply.system_fingerprint or "")
        if not reply.choices:
            raise EndpointError(f"{self._url} answered a row with no choice.", remedy=_ASK_OTHER)
        choice = reply.choices[0]
        scores = label_scores(_first_tokens(choice), labels)
        return Answer(choice.message.text, scores, choice.finish_reason == "length")

    def _options(self, labels: Sequence[str]) -> dict[str, Any]:
        if self._endpoint.reasoning:
            return {"max_completion_tokens": self._max_new_tokens}
        options = {"temperature": 0.0, "seed": 0, "max_tokens": self._max_new_tokens}
        if labels and self._endpoint.top_logprobs:
            options |= {"logprobs": True, "top_logprobs": self._endpoint.top_logprobs}
        return options

    def _check_same(self, fingerprint: str) -> None:
        """Refuses an answer by another model than the first: it was replaced meanwhile."""
        if self._verified and fingerprint.startswith(_SHA256) and fingerprint != self._digest:
            raise DigestError(
                f"{self._url} answers with a model of digest {fingerprint}, expected "
                f"{self._digest}.",
                remedy="Evaluate again once the server keeps to one model.",
            )

    def _found(self) -> tuple[str, str]:
        """Gives the model's name on the server, and the digest that the server says it has."""
        listed = self._listed()
        wanted = self._endpoint.model
        cards = [card for card in listed if not wanted or card.id == wanted]
        if len(cards) != 1:
            names = ", ".join(sorted(card.id for card in listed)[:20]) or "none"
            what = f"no model {wanted!r}" if wanted else f"{len(listed)} models"
            raise EndpointError(
                f"{self._url} has {what}, expected one; it has {names}.",
                remedy="Name one in endpoint.model of the settings.",
            )
        said = cards[0].digest
        return cards[0].id, said if _is_digest(said) else ""

    def _listed(self) -> list[_Card]:
        """Gives the models that the server lists, or the one that is named where it has no list."""
        try:
            return self._called(_Cards, self._client.models.with_raw_response.list).data or []
        except _NotThereError:
            if not (self._endpoint.model and self._endpoint.digest):
                raise
            return [_Card(self._endpoint.model)]

    def _identified(self, said: str) -> tuple[Digest, bool]:
        expected = self._endpoint.digest
        if not (said or expected):
            raise DigestError(
                f"{self._url} does not say which model it runs, and nobody says which it should.",
                remedy="Give endpoint.digest in the settings: scores are bound to a digest.",
            )
        if said and expected and said != expected:
            raise DigestError(
                f"{self._url} runs a model of digest {said}, expected {expected}.",
                remedy="Correct the URL or endpoint.digest.",
            )
        return said or expected, bool(said)

    def _called(self, kind: type[T], call: Any, **options: Any) -> T:
        """Calls the server. What it says in errors stays out: it may repeat the prompt."""
        try:
            reply = call(**options)
        except APIConnectionError as error:
            raise self._silence(error) from None
        except APIStatusError as error:
            raise self._refusal(error) from None
        except (OpenAIError, ValueError) as error:
            raise self._nonsense(type(error).__name__) from None
        try:
            return msgspec.json.decode(reply.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            page = "html" in reply.headers.get("content-type", "")
            # msgspec names the place that is wrong, and never what stands there.
            raise self._nonsense("it sends a web page" if page else str(error)) from None

    def _nonsense(self, why: str) -> EndpointError:
        return EndpointError(
            f"{self._url} does not answer by OpenAI's protocol: {why}.",
            remedy="Give the URL up to the version, such as http://HOST/openai/v1.",
        )

    def _silence(self, error: APIConnectionError) -> EndpointError:
        """Says how a server did not answer: too late, or not at all."""
        late = isinstance(error, APITimeoutError)
        cause = type(error.__cause__ or error).__name__
        why = f" within {self._endpoint.timeout:g} s" if late else f": {cause}"
        return EndpointError(
            f"{self._url} did not answer{why}.",
            remedy="Check that it runs, or raise endpoint.timeout in the settings, and run the "
            "same command again: it goes on.",
        )

    def _refusal(self, error: APIStatusError) -> EndpointError | DataError:
        status = error.status_code
        named = ": ".join(name for name in (error.code, error.param) if name)
        what = f"{self._url} refused with status {status}" + (f" ({named})" if named else "") + "."
        if status in (401, 403):
            variable = self._endpoint.api_key_variable
            return EndpointError(what, remedy=f"Put the server's key into {variable}.")
        if status == _BAD_REQUEST:
            return _bad_request(what, error)
        if status == _TOO_MANY:
            return EndpointError(
                what,
                remedy="Wait, or lower endpoint.parallel in the settings, and run the same command "
                "again: it goes on.",
            )
        kind = _NotThereError if status in _NOT_THERE else EndpointError
        return kind(what, remedy=_ASK_OTHER)


_ASK_OTHER: Final = (
    "Check the URL and the server's log, and run the same command again: it goes on."
)


def _bad_request(what: str, error: APIStatusError) -> EndpointError | DataError:
    """Gives what to do about a refused request, as far as the server says what is wrong with it."""
    if error.code in _TOO_LONG or error.type in _TOO_LONG:
        return DataError(what, remedy="Shorten the row, or give the server a longer context.")
    if error.param in ("logprobs", "top_logprobs"):
        return EndpointError(
            what, remedy="Set endpoint.top_logprobs to 0: the server tells no probabilities."
        )
    if error.param in ("max_tokens", "temperature"):
        return EndpointError(
            what, remedy="If the model thinks before it answers, set endpoint.reasoning to true."
        )
    # Some servers repeat the status as the code, which says nothing.
    if error.code and error.code != str(_BAD_REQUEST):
        return EndpointError(what, remedy=_ASK_OTHER)
    return DataError(
        what,
        remedy="See the server's log for why. If the row is too long, shorten it; if the server "
        "tells no probabilities, set endpoint.top_logprobs to 0.",
    )


def label_scores(first: Sequence[tuple[bytes, float]], labels: Sequence[str]) -> tuple[float, ...]:
    """Gives each label's log-probability as far as the most probable first tokens tell it.

    A label that is listed as a whole has the token's. One that is not is at most as probable as
    its own first token; if that cannot reach the best listed label, the label has -inf, and the
    pick is certain. Otherwise nothing is certain, and no label has a score: none is guessed.

    Example::

        label_scores([(b"bone", -0.2), (b"sk", -2.1)], ("bone", "skin"))  # (-0.2, -inf)

    Args:
        first: the most probable first tokens with their log-probabilities, all that are listed.
        labels: the label set.

    Returns:
        One a label, or nothing.
    """
    listed = dict(first)
    names = [label.encode() for label in labels]
    best = max((listed[name] for name in names if name in listed), default=-math.inf)
    open_ = [
        score
        for name in names
        if name not in listed
        for token, score in first
        if token and name.startswith(token)
    ]
    if not names or best == -math.inf or any(score >= best for score in open_):
        return ()
    return tuple(listed.get(name, -math.inf) for name in names)


def _first_tokens(choice: _Choice) -> list[tuple[bytes, float]]:
    """Gives the most probable first tokens, or nothing if the server does not tell them."""
    places = (choice.logprobs.content if choice.logprobs else None) or []
    return [
        (bytes(top.bytes) if top.bytes else top.token.encode(), top.logprob)
        for top in ((places[0].top_logprobs if places else None) or [])
    ]


def _key(variable: str) -> str:
    """Gives the key, without the line's end that a file of a mounted secret often has.

    Raises:
        EndpointError: if no header can carry it.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise EndpointError(
            f"The key in {variable} has a space or a character that no header can carry, expected "
            "printable ASCII.",
            remedy="Put the server's key alone into it.",
        )
    return key or _NO_KEY


def _checked(url: str) -> str:
    """Gives a URL as messages may show it."""
    parts = _parts(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UriError(
            f"{parts.scheme or 'a text without a scheme'} is no address of a server, expected "
            "http: or https:.",
            remedy="Write it as http://HOST:PORT/openai/v1.",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UriError(
            f"The URL of {parts.hostname} carries a user, a password, a query or a fragment.",
            remedy="Take it out and put the key into the environment: addresses are recorded.",
        )
    return url


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read only here: it is what raises
    except ValueError:
        parts = None
    if parts is None or not url.isprintable():
        raise UriError(
            "The server's URL has a host or a port that is none.",
            remedy="Write it as http://HOST:PORT/openai/v1, the port a number up to 65535.",
        )
    return parts


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_SHA256) and len(value) == 71
