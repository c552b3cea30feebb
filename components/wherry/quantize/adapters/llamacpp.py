"""Runs GGUF files through llama.cpp, and encodes tensors with its quantizers.

xllamacpp's Python API has neither full logits nor a quantizer, but its shared object exports
llama.cpp's C functions. They are no promised API, so this file assumes as little of them as
it can and checks that: parameter structures are handed back as llama.cpp filled them, but for
the four numbers at their start; whoever changes xllamacpp's version runs these checks.
"""

import ctypes
import json
import os
import secrets
import struct
import urllib.request
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

# Waiting threads sleep instead of spinning: with another busy process on two cores, two
# spinning threads are five times slower than one. libgomp reads it when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import gguf
import numpy as np
import xllamacpp
from numpy.typing import NDArray
from xllamacpp import xllamacpp as _extension

from wherry.contracts import Message
from wherry.contracts.errors import ExtraMissingError, FormatError, TemplateError
from wherry.quantize.step import Logits, Rendered, Sample

_TESTED: Final = "2026.10.11549"
"""The xllamacpp that this was made with."""
_DEFAULTS: Final = (512, 2048, 512, 1)
"""llama_context_params begins with n_ctx, n_batch, n_ubatch, n_seq_max; so they start out."""


_ERROR_LEVEL: Final = 4
"""GGML_LOG_LEVEL_ERROR."""


class _Parameters(ctypes.Structure):
    """Any parameter structure: larger than each, for the callee takes only its own part."""

    _fields_ = [("bytes", ctypes.c_ubyte * 1024)]


class _Batch(ctypes.Structure):
    """llama_batch, with room to spare behind it for the same reason."""

    _fields_ = [
        ("count", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embedding", ctypes.c_void_p),
        ("position", ctypes.POINTER(ctypes.c_int32)),
        ("sequences", ctypes.POINTER(ctypes.c_int32)),
        ("sequence", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("wanted", ctypes.POINTER(ctypes.c_int8)),
        ("spare", ctypes.c_void_p * 8),
    ]


_Pointer = ctypes.c_void_p
_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [_Pointer, _Pointer]),
    "llama_model_default_params": (_Parameters, []),
    "llama_model_load_from_file": (_Pointer, [ctypes.c_char_p, _Parameters]),
    "llama_model_free": (None, [_Pointer]),
    "llama_model_get_vocab": (_Pointer, [_Pointer]),
    "llama_vocab_n_tokens": (ctypes.c_int32, [_Pointer]),
    "llama_context_default_params": (_Parameters, []),
    "llama_init_from_model": (_Pointer, [_Pointer, _Parameters]),
    "llama_free": (None, [_Pointer]),
    "llama_n_ctx": (ctypes.c_uint32, [_Pointer]),
    "llama_n_batch": (ctypes.c_uint32, [_Pointer]),
    "llama_set_n_threads": (None, [_Pointer, ctypes.c_int32, ctypes.c_int32]),
    "llama_get_memory": (_Pointer, [_Pointer]),
    "llama_memory_clear": (None, [_Pointer, ctypes.c_bool]),
    "llama_batch_init": (_Batch, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]),
    "llama_batch_free": (None, [_Batch]),
    "llama_decode": (ctypes.c_int32, [_Pointer, _Batch]),
    "llama_adapter_lora_init": (_Pointer, [_Pointer, ctypes.c_char_p]),
    "llama_set_adapters_lora": (
        ctypes.c_int32,
        [_Pointer, ctypes.POINTER(_Pointer), ctypes.c_size_t, ctypes.POINTER(ctypes.c_float)],
    ),
    "llama_get_logits": (ctypes.POINTER(ctypes.c_float), [_Pointer]),
    "ggml_quantize_chunk": (
        ctypes.c_size_t,
        [ctypes.c_int, _Pointer, _Pointer, *[ctypes.c_int64] * 3, _Pointer],
    ),
}


def _opened() -> ctypes.CDLL:
    library = ctypes.CDLL(_extension.__file__)
    for name, (result, arguments) in _SIGNATURES.items():
        if (function := getattr(library, name, None)) is None:
            raise _changed(f"exports no {name}")
        function.restype, function.argtypes = result, arguments
    library.llama_log_set(ctypes.cast(_LOG, _Pointer), None)
    library.llama_backend_init()
    return library


def _changed(what: str) -> ExtraMissingError:
    return ExtraMissingError(
        f"xllamacpp {xllamacpp.__version__} {what}, which the parity check needs.",
        remedy=f'Run: pip install "xllamacpp=={_TESTED}"',
    )


_ERRORS: Final[deque[str]] = deque(maxlen=3)
"""What llama.cpp complained of last."""


def _keep_errors(level: int, text: bytes, _data: object) -> None:
    if level == _ERROR_LEVEL:
        _ERRORS.append(text.decode(errors="replace").strip())


_LOG: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, _Pointer)(_keep_errors)
"""Kept here, for llama.cpp calls it as long as the process lives."""
_LIBRARY: Final = _opened()


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
        self._model = _LIBRARY.llama_model_load_from_file(
            str(file).encode(), _LIBRARY.llama_model_default_params()
        )
        if not self._model:
            raise FormatError(
                f"llama.cpp cannot load {file.name}: {'; '.join(_ERRORS) or 'no reason given'}.",
                remedy="Make it again; report it if it stays.",
            )
        self._vocabulary = _LIBRARY.llama_vocab_n_tokens(
            _LIBRARY.llama_model_get_vocab(self._model)
        )
        self._context = _LIBRARY.llama_init_from_model(self._model, _context_of(context))
        if not self._context or _LIBRARY.llama_n_batch(self._context) < context:
            raise _changed(f"gives no context of {context} tokens")
        count = threads or len(os.sched_getaffinity(0))
        _LIBRARY.llama_set_n_threads(self._context, count, count)
        if adapter is not None:
            self._apply(adapter)

    def _apply(self, adapter: Path) -> None:
        # The model frees it.
        loaded = _LIBRARY.llama_adapter_lora_init(self._model, str(adapter).encode())
        if not loaded:
            raise FormatError(
                f"llama.cpp cannot load the adapter {adapter.name}: "
                f"{'; '.join(_ERRORS) or 'no reason given'}.",
                remedy="Make it again for this base.",
            )
        adapters, scales = (_Pointer * 1)(loaded), (ctypes.c_float * 1)(1.0)
        if _LIBRARY.llama_set_adapters_lora(self._context, adapters, 1, scales):
            raise _changed("does not apply an adapter")

    def close(self) -> None:
        """Frees the model."""
        _LIBRARY.llama_free(self._context)
        _LIBRARY.llama_model_free(self._model)

    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        """Gives for each sample its logits, shape [kept positions, vocabulary]."""
        for sample in samples:
            _LIBRARY.llama_memory_clear(_LIBRARY.llama_get_memory(self._context), True)
            with _batch_of(sample) as batch:
                if status := _LIBRARY.llama_decode(self._context, batch):
                    raise FormatError(
                        f"llama.cpp cannot run the file: status {status}.", remedy="Make it again."
                    )
            found = _LIBRARY.llama_get_logits(self._context)
            shape = (len(sample.keep), self._vocabulary)
            yield np.ctypeslib.as_array(found, shape).copy()


def _context_of(tokens: int) -> _Parameters:
    parameters = _LIBRARY.llama_context_default_params()
    if struct.unpack_from("<4I", bytes(parameters.bytes)) != _DEFAULTS:
        raise _changed("begins llama_context_params otherwise")
    struct.pack_into("<4I", parameters.bytes, 0, tokens, tokens, min(tokens, 512), 1)
    return parameters  # type: ignore[no-any-return]  # ctypes is untyped


@contextmanager
def _batch_of(sample: Sample) -> Iterator[_Batch]:
    batch = _LIBRARY.llama_batch_init(len(sample.ids), 0, 1)
    if not (batch.token and batch.wanted and batch.sequence) or batch.embedding:
        raise _changed("lays llama_batch out otherwise")
    kept = set(sample.keep)
    for index, token in enumerate(sample.ids):
        batch.token[index], batch.position[index] = token, index
        batch.sequences[index], batch.sequence[index][0] = 1, 0
        batch.wanted[index] = index in kept
    batch.count = len(sample.ids)
    try:
        yield batch
    finally:
        _LIBRARY.llama_batch_free(batch)


class Encoder:
    """llama.cpp's quantizers, on several threads.

    Args:
        threads: CPU threads; 0 means all that this process may use.
    """

    def __init__(self, threads: int) -> None:
        self._count = threads or len(os.sched_getaffinity(0))

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
    size = _LIBRARY.ggml_quantize_chunk(
        kind.value,
        source.ctypes.data,
        made.ctypes.data,
        0,
        rows,
        length,
        None if weights is None else weights.ctypes.data,
    )
    if size != made.nbytes:
        raise _changed(f"encodes {kind.name} in {size} bytes, not {made.nbytes}")
    return made


class GgufRenderer:
    """A GGUF file's embedded chat template and tokenizer, as llama.cpp's server uses them.

    Args:
        file: the model.
    """

    def __init__(self, file: Path) -> None:
        self._key = secrets.token_hex(32)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(file)
        parameters.n_ctx, parameters.n_parallel = 256, 1
        parameters.warmup = parameters.fit_params = parameters.ui = False
        parameters.verbosity = 1  # errors alone
        # It opens a port of its own on the loopback; only who knows this key is served.
        parameters.api_keys = [self._key]
        self._server: Any = xllamacpp.Server(parameters)
        # A server that is dropped before its loop runs waits for that loop for ever.
        self._server.handle_completions({"prompt": "a", "n_predict": 1})

    def close(self) -> None:
        """Stops the server and frees the model."""
        self._server = None

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders a conversation and opens the assistant's turn, as serving does."""
        turns = [msgspec.structs.asdict(message) for message in messages]
        text = self._post("/apply-template", {"messages": turns})["prompt"]
        body = {"content": text, "add_special": True, "parse_special": True}
        return Rendered(text, tuple(self._post("/tokenize", body)["tokens"]))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310  # the server's own address
            self._server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        # No proxy stands between a process and itself.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request) as reply:
                return json.load(reply)  # type: ignore[no-any-return]  # JSON has no type
        except OSError as error:
            raise TemplateError(
                f"llama.cpp cannot render a row with the file's chat template: {error}.",
                remedy="Use a base with a chat template that llama.cpp knows.",
            ) from error
