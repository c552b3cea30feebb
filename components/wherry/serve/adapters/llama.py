"""llama.cpp as the engine, through xllamacpp, in this process."""

import os
import secrets
from pathlib import Path
from typing import Final

import xllamacpp

from wherry.contracts.errors import FormatError
from wherry.serve.settings import ServeSettings
from wherry.serve.step import Emit, Json, RequestError

_TOO_LONG: Final = "exceed_context_size_error"
_ONLY_ERRORS: Final = 1
"""llama.cpp's verbosity: a line for each request would fill the log."""


class LlamaEngine:
    """Implements `Engine` on one loaded GGUF file.

    Args:
        model: the file.
        settings: threads, context and slots.

    Raises:
        FormatError: if llama.cpp cannot load the file.
    """

    def __init__(self, model: Path, settings: ServeSettings) -> None:
        try:
            self._server = xllamacpp.Server(_parameters(model, settings))
        except RuntimeError as error:
            raise FormatError(
                f"llama.cpp cannot load {model}: its tensors are damaged, incomplete "
                "or of an architecture that it does not know.",
                remedy="Make or fetch the file again; llama.cpp wrote the cause to the log.",
            ) from error

    def chat(self, request: Json, emit: Emit) -> None:
        """Answers one request, chunk by chunk if it asks for a stream.

        Raises:
            RequestError: if llama.cpp refuses it before the first chunk.
        """
        refusals: list[RequestError] = []

        def take(chunk: Json) -> bool:
            if "error" in chunk:
                refusals.append(_refusal(chunk["error"]))
                return True
            chunk.pop("timings", None)
            return emit(chunk)

        try:
            self._server.handle_chat_completions(request, take)
        except (ValueError, TypeError, RuntimeError) as error:
            # Raised while llama.cpp reads the request and renders the template.
            raise RequestError(str(error)) from error
        if refusals:
            raise refusals[0]


def _refusal(error: Json) -> RequestError:
    if error.get("type") == _TOO_LONG:
        return RequestError(
            f"The conversation has {error['n_prompt_tokens']} tokens; "
            f"this server takes {error['n_ctx']}, the answer included.",
            param="messages",
            code="context_length_exceeded",
        )
    return RequestError(str(error["message"]), status=int(error.get("code", 500)))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: the cores that a container grants
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parameters(model: Path, settings: ServeSettings) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_parallel = settings.parallel
    # llama.cpp divides its context among the slots.
    parameters.n_ctx = settings.context * settings.parallel
    threads = settings.threads or _cores()
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = _ONLY_ERRORS
    parameters.fit_params = False
    parameters.warmup = False
    # Its default keeps up to 8 GiB of old prompts.
    parameters.cache_ram_mib = 0
    # The library opens a port of its own on the loopback; only who knows this key is served.
    parameters.api_keys = [secrets.token_hex(32)]
    parameters.endpoint_slots = False
    parameters.ui = False
    return parameters
