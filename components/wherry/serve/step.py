"""Turns clients' requests into what the engine is asked, and its answers into theirs."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

import msgspec

MAX_BODY_BYTES: Final = 1 << 20
"""A longer request is refused before it is parsed, so that memory stays bounded."""

MAX_INSTANCES: Final = 64
"""Prompts of one predict or infer request."""

MAX_WAITING: Final = 256
"""Prompts that wait for a slot; one more is refused, so that nobody waits for ever."""

MAX_SCHEMA_BYTES: Final = 1 << 16
"""Of what an answer must look like, and of tools: the engine makes a grammar of it, for which
everybody waits."""

MAX_ALTERNATIVES: Final = 1000
"""Items of one list or object in it, such as an enumeration's: the time grows with their square."""

T = TypeVar("T")
Json = dict[str, Any]
Emit = Callable[[Json], bool]
"""Takes one chunk, or the one whole answer; gives True to stop the generation."""


class Engine(Protocol):
    """A loaded model."""

    def chat(self, request: Json, emit: Emit) -> None:
        """Answers one checked request; blocks until the last chunk was emitted.

        Raises:
            RequestError: if the model cannot answer it, such as one that is too long.
        """


class Dispatcher(Protocol):
    """Lets many clients share one engine."""

    def chunks(self, request: Json) -> AsyncIterator[Json]:
        """Gives the chunks of an answer as they come, or one whole answer.

        Raises:
            RequestError: as `Engine.chat`, before the first chunk.
        """


class Line(Protocol):
    """The line to the deployer that started this server."""

    def on_listen(self, listen: Callable[[], None]) -> None:
        """Sets what happens, in another thread, when the server may take the public port."""

    def say(self, **message: object) -> None:
        """Sends one message."""


@dataclass
class Drain:
    """Whether the server hands over to a successor: the one mutable thing that layers share."""

    active: bool = False
    """If so, every response asks its client to connect anew."""


class RequestError(Exception):
    """A request that is answered with an error.

    Args:
        message: what was wrong with it.
        status: the HTTP status.
        param: the field at fault, or None.
        code: OpenAI's name for the error, or None.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    @property
    def body(self) -> Json:
        """What the client is sent, in OpenAI's form."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


class ChatMessage(msgspec.Struct, omit_defaults=True):
    """One turn; its parts are passed on to the model's template."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    def __post_init__(self) -> None:
        """Takes OpenAI's newer name of the system role as the older, which templates know."""
        if self.role == "developer":
            self.role = "system"


class StreamOptions(msgspec.Struct):
    """How an answer is streamed."""

    include_usage: bool = False


_Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
_Stop = Annotated[str, msgspec.Meta(min_length=1)]


class Sampling(msgspec.Struct, omit_defaults=True):
    """The fields that shape an answer; other fields of a request are ignored."""

    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: _Unit | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] | None = None
    min_p: _Unit | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] | None = None
    stop: _Stop | list[_Stop] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None


class ChatRequest(Sampling, omit_defaults=True):
    """The fields of OpenAI's chat completion request that are heeded."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=list
    )
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, Annotated[float, msgspec.Meta(ge=-100, le=100)]] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None


def chat_request(body: bytes | Json, name: str) -> Json:
    """Checks a chat completion request and gives what the engine is asked.

    Args:
        body: the request's JSON, or an object parsed from it.
        name: of the model that is served.

    Raises:
        RequestError: naming the field and what was expected.
    """
    raw = parse_object(body)
    if not raw.get("messages"):
        raise RequestError("messages must be a list of at least one message", param="messages")
    request = _convert(raw, ChatRequest)
    if request.model not in (None, name):
        raise unknown_model(request.model or "", name)
    try:
        _check_form(request)
        return _as_asked(request)
    except RecursionError as error:
        raise RequestError("The body is nested too deeply.") from error


def unknown_model(asked: str, name: str) -> RequestError:
    """Gives the error for a model that is not served here."""
    message = f"The model {asked!r} does not exist; this server has {name!r}."
    return RequestError(message, status=404, param="model", code="model_not_found")


def predict_requests(body: Any) -> list[Json]:
    """Checks a v1 predict request: ``{"instances": […], "parameters": {…}}``.

    Args:
        body: the parsed JSON. An instance is a text, ``{"prompt": text}`` or
            ``{"messages": […]}``.

    Returns:
        One engine request for each instance, sampled at temperature 0 unless
        the parameters say otherwise.

    Raises:
        RequestError: naming the instance and what was expected.
    """
    raw = parse_object(body)
    instances = raw.get("instances")
    if not isinstance(instances, list) or not 1 <= len(instances) <= MAX_INSTANCES:
        raise RequestError(
            f"instances must be a list of 1 to {MAX_INSTANCES} prompts", param="instances"
        )
    sampling = _sampling(raw.get("parameters"))
    return [_instance(value, index) | sampling for index, value in enumerate(instances)]


def infer_requests(texts: Sequence[Any], parameters: Any) -> list[Json]:
    """Checks a v2 inference request's texts, given as str or UTF-8 bytes.

    Raises:
        RequestError: as `predict_requests`.
    """
    try:
        prompts = [text.decode() if isinstance(text, bytes) else text for text in texts]
    except UnicodeDecodeError as error:
        raise RequestError(f"inputs must be UTF-8: {error}", param="inputs") from error
    return predict_requests({"instances": prompts, "parameters": parameters})


def answer_text(answer: Json) -> str:
    """Gives the text of a whole answer's first choice."""
    return answer["choices"][0]["message"].get("content") or ""


def parse_object(body: Any) -> Json:
    """Gives a JSON object from bytes, or checks that a value is one.

    Raises:
        RequestError: on broken JSON or another kind of value.
    """
    if isinstance(body, bytes):
        try:
            body = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"The body is no JSON: {error}.", code="invalid_json") from error
    if not isinstance(body, dict):
        raise RequestError(f"The body must be a JSON object, got {type(body).__name__}.")
    return body


def _sampling(parameters: Any) -> Json:
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise RequestError("parameters must be an object", param="parameters")
    return _as_asked(_convert({"temperature": 0.0} | parameters, Sampling))


def _instance(value: Any, index: int) -> Json:
    param = f"instances[{index}]"
    if isinstance(value, dict) and isinstance(value.get("prompt"), str):
        value = value["prompt"]
    if isinstance(value, str):
        return {"messages": [{"role": "user", "content": value}]}
    if isinstance(value, dict) and value.get("messages"):
        return {"messages": _as_asked(_convert(value, ChatRequest))["messages"]}
    raise RequestError(
        f'{param} must be a text, {{"prompt": text}} or {{"messages": […]}}', param=param
    )


def _as_asked(request: Sampling) -> Json:
    asked: Json = msgspec.to_builtins(request)
    asked.pop("model", None)
    if limit := asked.pop("max_completion_tokens", None):
        asked["max_tokens"] = limit
    return asked


def _check_form(request: ChatRequest) -> None:
    """Refuses a form of answers that the engine would not heed, or would take minutes to read."""
    form = request.response_format or {}
    if form.get("type") == "json_schema":
        described = form.get("json_schema")
        if not (isinstance(described, dict) and isinstance(described.get("schema"), dict)):
            raise RequestError(
                "response_format.json_schema.schema must be an object", param="response_format"
            )
    for param, part in (("response_format", form), ("tools", request.tools)):
        if len(msgspec.json.encode(part)) > MAX_SCHEMA_BYTES or _longest(part) > MAX_ALTERNATIVES:
            raise RequestError(
                f"{param} must have at most {MAX_SCHEMA_BYTES} bytes, and its lists and "
                f"objects at most {MAX_ALTERNATIVES} items",
                param=param,
            )


def _longest(value: Any) -> int:
    """Gives the length of the longest list or object in a JSON value."""
    longest, left = 0, [value]
    while left:
        part = left.pop()
        if isinstance(part, (dict, list)):
            longest = max(longest, len(part))
            left += part.values() if isinstance(part, dict) else part
    return longest


def _convert(raw: Json, kind: type[T]) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$.")
        param = where.rstrip("`")
        field = re.split(r"[.\[]", param)[0] or None
        raise RequestError(f"{param}: {text}" if param else text, param=field) from error
