"""KServe's own application, with OpenAI's chat routes beside its own."""

import asyncio
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelRepository
from kserve.errors import InvalidInput, ModelNotFound
from kserve.model_server import app as kserve_app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from prometheus_client import Histogram
from starlette.exceptions import HTTPException

from wherry.serve.step import (
    Dispatcher,
    Json,
    RequestError,
    answer_text,
    chat_request,
    infer_requests,
    predict_requests,
    unknown_model,
)

_CHAT_PATH: Final = "/openai/v1/chat/completions"

_CHAT_SECONDS: Final = Histogram(
    "wherry_chat_seconds", "Time to the last byte of a chat completion", ["model_name", "status"]
)


def build_application(name: str, digest: str, created: int, dispatcher: Dispatcher) -> FastAPI:
    """Gives KServe's application, ready to listen. It is global: once a process.

    Args:
        name: what clients call the model.
        digest: of the file that is loaded; each answer carries it as ``system_fingerprint``.
        created: seconds since 1970, shown to clients.
        dispatcher: answers the requests.
    """
    # KServe's choice, which its users can do nothing about.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    repository = ModelRepository()
    repository.update(_TextModel(name, dispatcher))
    rest = RESTServer(
        "kserve.model_server:app",
        _StrictDataPlane(model_registry=repository),
        ModelRepositoryExtension(repository),
        http_port=0,  # sockets are the listener's
    )
    application: FastAPI = kserve_app
    application.include_router(_openai_routes(name, digest, created, dispatcher), prefix="/openai")
    _close_repository(application)
    rest.create_application()
    _answer_errors_alike(application)
    return application


def observe_chat(name: str) -> Callable[[str, int, float], None]:
    """Gives what counts chat completions in ``/metrics``, beside KServe's own figures."""

    def observe(path: str, status: int, seconds: float) -> None:
        if path == _CHAT_PATH:
            _CHAT_SECONDS.labels(name, str(status)).observe(seconds)

    return observe


def _openai_routes(name: str, digest: str, created: int, dispatcher: Dispatcher) -> APIRouter:
    router = APIRouter()
    card = {"id": name, "object": "model", "created": created, "owned_by": "wherry"}
    card["digest"] = digest

    @router.get("/v1/models")
    async def models() -> Json:
        return {"object": "list", "data": [card]}

    @router.get("/v1/models/{asked}")
    async def model(asked: str) -> Json:
        if asked != name:
            raise unknown_model(asked, name)
        return card

    @router.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        asked = chat_request(await request.body(), name)
        chunks = _signed(dispatcher.chunks(asked), name, digest)
        # Until the first chunk is there, a refusal can still be a status.
        first = await anext(chunks)
        if asked.get("stream"):
            return StreamingResponse(_events(first, chunks), media_type="text/event-stream")
        return JSONResponse(first)

    return router


async def _signed(chunks: AsyncIterator[Json], name: str, digest: str) -> AsyncIterator[Json]:
    """Puts the served name in place of the file's path, and says which file answered."""
    async for chunk in chunks:
        yield chunk | {"model": name, "system_fingerprint": digest}


async def _events(first: Json, rest: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    """Gives server-sent events as OpenAI's clients read them."""
    yield _event(first)
    try:
        async for chunk in rest:
            yield _event(chunk)
    except RequestError as error:
        yield _event(error.body)
    yield b"data: [DONE]\n\n"


def _event(chunk: Json) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


class _TextModel(Model):  # type: ignore[misc] # KServe has its users inherit
    """Answers KServe's own protocols: texts in, texts out."""

    def __init__(self, name: str, dispatcher: Dispatcher) -> None:
        super().__init__(name)
        self._dispatcher = dispatcher
        self.ready = True

    def get_input_types(self) -> list[Json]:
        return [{"name": "prompt", "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[Json]:
        return [{"name": "text", "datatype": "BYTES", "shape": [-1]}]

    async def predict(self, payload: Any, *_: Any) -> Json | InferResponse:
        if isinstance(payload, InferRequest):
            return await self._infer(payload)
        return {"predictions": await self._texts(predict_requests(payload))}

    async def _infer(self, request: InferRequest) -> InferResponse:
        texts = await self._texts(infer_requests(_tensor(request), request.parameters))
        output = InferOutput(name="text", shape=[len(texts)], datatype="BYTES", data=texts)
        # Without an id KServe fails to render the response.
        name = request.id or str(uuid.uuid4())
        return InferResponse(response_id=name, model_name=self.name, infer_outputs=[output])

    async def _texts(self, requests: Sequence[Json]) -> list[str]:
        texts = [asyncio.ensure_future(self._text(request)) for request in requests]
        try:
            return list(await asyncio.gather(*texts))
        finally:
            for text in texts:  # one that is refused ends the others: nobody would read them
                text.cancel()

    async def _text(self, request: Json) -> str:
        return answer_text(await anext(self._dispatcher.chunks(request)))


def _tensor(request: InferRequest) -> list[Any]:
    """Gives the elements of the one input, which must be a BYTES tensor."""
    if len(request.inputs) != 1 or request.inputs[0].datatype != "BYTES":
        raise RequestError("inputs must be one tensor of datatype BYTES", param="inputs")
    try:
        return list(request.inputs[0].as_numpy().flatten().tolist())
    except ValueError as error:
        raise RequestError(f"inputs[0]: {error}", param="inputs") from error


class _StrictDataPlane(DataPlane):  # type: ignore[misc] # KServe has no other seam here
    """Answers 400 to what KServe's decoder stumbles over."""

    def decode(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().decode(*arguments, **named)
        except InvalidInput:
            raise
        except Exception as error:
            raise InvalidInput(f"Unrecognized request format: {error}") from error


def _close_repository(app: FastAPI) -> None:
    """Shadows KServe's routes that load and unload models: they ask nobody who they are."""

    async def closed() -> Response:
        raise RequestError("This server's model is fixed.", status=404)

    methods = ["GET", "POST"]
    app.add_api_route(
        *("/v2/repository/{path:path}", closed),
        methods=methods,
        response_model=None,
        include_in_schema=False,
    )


def _answer_errors_alike(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        failure = error if isinstance(error, RequestError) else _as_request_error(error)
        return JSONResponse(failure.body, failure.status)

    known = (RequestError, InvalidInput, ModelNotFound, RequestValidationError, HTTPException)
    for kind in (*known, NotImplementedError):
        app.add_exception_handler(kind, refused)


def _as_request_error(error: Exception) -> RequestError:
    if isinstance(error, HTTPException):
        return RequestError(str(error.detail), status=error.status_code)
    if isinstance(error, NotImplementedError):  # KServe's explain, of which this model has none
        return RequestError(str(error), status=501)
    if isinstance(error, ModelNotFound):
        return RequestError(str(error), status=404, code="model_not_found")
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return RequestError(f"{where}: {first['msg']}")
    return RequestError(str(error))
