"""Runs GGUF files through llama.cpp, and encodes tensors with its quantizers."""

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from wherry.contracts import Message
from wherry.contracts.errors import FormatError, TemplateError
from wherry.cores import usable_cores
from wherry.llama import LIBRARY, POINTER, changed, complaints, decode, load_model, open_context
from wherry.llama_server import LocalServer
from wherry.quantize.step import Logits, Rendered, Sample


class GgufModel:
    """A GGUF file in llama.cpp, for its logits alone.

    Args:
        file: the model.
        context: the longest sample, in tokens.
        threads: CPU threads; 0 means all that this process may use.
        adapter: a LoRA adapter as GGUF to apply beside the file, or None.

    Raises:
        FormatError: if llama.cpp cannot load the file, or the adapter onto it.
        ExtraMissingError: if llama.cpp's C interface is not the one that was tested.
    """

    def __init__(
        self, file: Path, *, context: int, threads: int, adapter: Path | None = None
    ) -> None:
        self._model = load_model(file)
        self._vocabulary = LIBRARY.llama_vocab_n_tokens(LIBRARY.llama_model_get_vocab(self._model))
        self._context = open_context(self._model, context, threads)
        if adapter is not None:
            self._apply(adapter)

    def _apply(self, adapter: Path) -> None:
        # The model frees it.
        loaded = LIBRARY.llama_adapter_lora_init(self._model, str(adapter).encode())
        if not loaded:
            raise FormatError(
                f"llama.cpp cannot load the adapter {adapter.name}: {complaints()}.",
                remedy="Make it again for this base.",
            )
        adapters, scales = (POINTER * 1)(loaded), (ctypes.c_float * 1)(1.0)
        if LIBRARY.llama_set_adapters_lora(self._context, adapters, 1, scales):
            raise changed("does not apply an adapter")

    def close(self) -> None:
        """Frees the model."""
        LIBRARY.llama_free(self._context)
        LIBRARY.llama_model_free(self._model)

    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        """Gives for each sample its logits, shape [kept positions, vocabulary]."""
        for sample in samples:
            LIBRARY.llama_memory_clear(LIBRARY.llama_get_memory(self._context), True)
            decode(self._context, sample.ids, set(sample.keep).__contains__)
            found = LIBRARY.llama_get_logits(self._context)
            shape = (len(sample.keep), self._vocabulary)
            yield np.ctypeslib.as_array(found, shape).copy()


class Encoder:
    """llama.cpp's quantizers, on several threads.

    Args:
        threads: CPU threads; 0 means all that this process may use.
    """

    def __init__(self, threads: int) -> None:
        self._count = threads or usable_cores()

    def __call__(
        self,
        values: NDArray[np.float32],
        kind: str,
        importance: NDArray[np.float32] | None = None,
    ) -> NDArray[Any]:
        """Makes the bytes of a GGUF type.

        Args:
            values: shape [rows, row length], the row length a multiple of the type's block.
            kind: a name of `gguf.GGMLQuantizationType`.
            importance: of each column, shape [row length]; None if all matter alike.

        Returns:
            float16 or float32, or uint8 of shape [rows, bytes a row].
        """
        wanted = gguf.GGMLQuantizationType[kind]
        if kind in ("F32", "F16"):
            return np.asarray(gguf.quants.quantize(values, wanted))
        made = np.empty(gguf.quants.quant_shape_to_byte_shape(values.shape, wanted), np.uint8)
        source = np.ascontiguousarray(values, np.float32)
        parts = np.array_split(np.arange(len(source)), min(len(source), 4 * self._count))
        with ThreadPoolExecutor(self._count) as pool:
            jobs = [
                pool.submit(quantize_chunk, source[rows[0] : rows[-1] + 1], wanted, importance)
                for rows in parts
            ]
            for rows, job in zip(parts, jobs, strict=True):
                made[rows[0] : rows[-1] + 1] = job.result()
        return made


encode = Encoder(1)
"""On one thread."""


def quantize_chunk(
    values: NDArray[np.float32],
    kind: gguf.GGMLQuantizationType,
    importance: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Encodes a matrix with llama.cpp's own quantizer.

    Args:
        values: shape [rows, row length], contiguous.
        kind: a type whose block divides the row length.
        importance: of each column, shape [row length]; None if all matter alike.

    Returns:
        Shape [rows, bytes a row].
    """
    rows, length = values.shape
    source = np.ascontiguousarray(values, np.float32)
    made = np.empty(gguf.quants.quant_shape_to_byte_shape(values.shape, kind), np.uint8)
    weights = None if importance is None else np.ascontiguousarray(importance, np.float32)
    size = LIBRARY.ggml_quantize_chunk(
        kind.value,
        source.ctypes.data,
        made.ctypes.data,
        0,
        rows,
        length,
        None if weights is None else weights.ctypes.data,
    )
    if size != made.nbytes:
        raise changed(f"encodes {kind.name} in {size} bytes, not {made.nbytes}")
    return made


class GgufRenderer:
    """A GGUF file's embedded chat template and tokenizer, as llama.cpp's server uses them.

    Args:
        file: the model.
    """

    def __init__(self, file: Path) -> None:
        self._server = LocalServer(file, context=256)

    def close(self) -> None:
        """Stops the server and frees the model."""
        del self._server

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders a conversation and opens the assistant's turn, as serving does."""
        try:
            text = self._server.render(messages)
            return Rendered(text, self._server.tokens(text))
        except OSError as error:
            raise TemplateError(
                f"llama.cpp cannot render a row with the file's chat template: {error}.",
                remedy="Use a base with a chat template that llama.cpp knows.",
            ) from error
