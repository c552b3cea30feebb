"""llama.cpp as the engine, through xllamacpp, in this process."""

import secrets
from pathlib import Path
from typing import Final

from wherry import llama_server
from wherry.gguf_template import chat_template
from wherry.serve.settings import ServeSettings
from wherry.serve.step import Emit, Json, RequestError

_TOO_LONG: Final = "exceed_context_size_error"


class LlamaEngine:
    """Implements `Engine` on one loaded GGUF file.

    Args:
        model: the file.
        settings: threads, context and slots.

    Raises:
        FormatError: if llama.cpp cannot load the file.
    """

    def __init__(self, model: Path, settings: ServeSettings) -> None:
        self._server = llama_server.start(
            model,
            key=secrets.token_hex(32),
            slots=settings.parallel,
            context=settings.context,
            threads=settings.threads,
        )
        self._takes_tools = "tools" in chat_template(model)

    def chat(self, request: Json, emit: Emit) -> None:
        """Answers one request, chunk by chunk if it asks for a stream.

        Raises:
            RequestError: if llama.cpp refuses it before the first chunk.
        """
        if request.get("tools") and request.get("tool_choice") != "none" and not self._takes_tools:
            # llama.cpp would answer as if there were none.
            raise RequestError("This model's chat template takes no tools.", param="tools")
        refusals: list[RequestError] = []
        alone = bool(request.get("logprobs")) and not request.get("top_logprobs")

        def take(chunk: Json) -> bool:
            if "error" in chunk:
                refusals.append(_refusal(chunk["error"]))
                return True
            chunk.pop("timings", None)
            return emit(_without_others(chunk) if alone else chunk)

        try:
            # Of no others llama.cpp gives no log-probability at all, and unasked those of twenty.
            asked = request | {"top_logprobs": 1} if alone else request
            self._server.handle_chat_completions(asked, take)
        except (ValueError, TypeError, RuntimeError) as error:
            # Raised while llama.cpp reads the request and renders the template.
            raise RequestError(str(error)) from error
        if refusals:
            raise refusals[0]


def _without_others(chunk: Json) -> Json:
    """Leaves the log-probabilities of the tokens themselves, as OpenAI does unless asked."""
    for choice in chunk["choices"]:
        for token in (choice.get("logprobs") or {}).get("content") or ():
            token["top_logprobs"] = []
    return chunk


def _refusal(error: Json) -> RequestError:
    if error.get("type") == _TOO_LONG:
        return RequestError(
            f"The conversation has {error['n_prompt_tokens']} tokens; "
            f"this server takes {error['n_ctx']}, the answer included.",
            param="messages",
            code="context_length_exceeded",
        )
    return RequestError(str(error["message"]), status=int(error.get("code", 500)))
