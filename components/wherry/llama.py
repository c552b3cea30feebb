"""llama.cpp by its C functions: a model, a context, a batch of tokens.

xllamacpp's Python API has neither full logits, nor a quantizer, nor a score of a text that it is
given, but its shared object exports llama.cpp's C functions. They are no promised API, so this
file assumes as little of them as it can and checks that: parameter structures are handed back as
llama.cpp filled them, but for the four numbers at their start; whoever changes xllamacpp's version
runs these checks.
"""

import ctypes
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

# Waiting threads sleep instead of spinning: with another busy process on two cores, two
# spinning threads are five times slower than one. libgomp reads it when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import xllamacpp
from xllamacpp import xllamacpp as _extension

from wherry.contracts.errors import ExtraMissingError, FormatError
from wherry.cores import usable_cores

_TESTED: Final = "2026.10.11549"
"""The xllamacpp that this was made with."""
_DEFAULTS: Final = (512, 2048, 512, 1)
"""llama_context_params begins with n_ctx, n_batch, n_ubatch, n_seq_max; so they start out."""
_ERROR_LEVEL: Final = 4
"""GGML_LOG_LEVEL_ERROR."""
_READ_AT_ONCE: Final = 512
"""Tokens that llama.cpp computes at once."""


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


POINTER: Final = ctypes.c_void_p
_INT, _TEXT, _BOOL = ctypes.c_int32, ctypes.c_char_p, ctypes.c_bool
_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [POINTER, POINTER]),
    "llama_model_default_params": (_Parameters, []),
    "llama_model_load_from_file": (POINTER, [_TEXT, _Parameters]),
    "llama_model_free": (None, [POINTER]),
    "llama_model_get_vocab": (POINTER, [POINTER]),
    "llama_model_n_ctx_train": (_INT, [POINTER]),
    "llama_model_chat_template": (_TEXT, [POINTER, _TEXT]),
    "llama_vocab_n_tokens": (_INT, [POINTER]),
    "llama_vocab_bos": (_INT, [POINTER]),
    "llama_vocab_eos": (_INT, [POINTER]),
    "llama_vocab_is_eog": (_BOOL, [POINTER, _INT]),
    "llama_vocab_get_text": (_TEXT, [POINTER, _INT]),
    "llama_tokenize": (
        _INT,
        [POINTER, _TEXT, _INT, ctypes.POINTER(_INT), _INT, _BOOL, _BOOL],
    ),
    "llama_token_to_piece": (_INT, [POINTER, _INT, _TEXT, _INT, _INT, _BOOL]),
    "llama_context_default_params": (_Parameters, []),
    "llama_init_from_model": (POINTER, [POINTER, _Parameters]),
    "llama_free": (None, [POINTER]),
    "llama_n_batch": (ctypes.c_uint32, [POINTER]),
    "llama_set_n_threads": (None, [POINTER, _INT, _INT]),
    "llama_get_memory": (POINTER, [POINTER]),
    "llama_memory_clear": (None, [POINTER, _BOOL]),
    "llama_memory_seq_rm": (_BOOL, [POINTER, _INT, _INT, _INT]),
    "llama_batch_init": (_Batch, [_INT, _INT, _INT]),
    "llama_batch_free": (None, [_Batch]),
    "llama_decode": (_INT, [POINTER, _Batch]),
    "llama_adapter_lora_init": (POINTER, [POINTER, _TEXT]),
    "llama_set_adapters_lora": (
        _INT,
        [POINTER, ctypes.POINTER(POINTER), ctypes.c_size_t, ctypes.POINTER(ctypes.c_float)],
    ),
    "llama_get_logits": (ctypes.POINTER(ctypes.c_float), [POINTER]),
    "ggml_quantize_chunk": (
        ctypes.c_size_t,
        [_INT, POINTER, POINTER, *[ctypes.c_int64] * 3, POINTER],
    ),
}


def changed(what: str) -> ExtraMissingError:
    """Gives the error for an xllamacpp whose C functions are not those that were tested."""
    return ExtraMissingError(
        f"xllamacpp {xllamacpp.__version__} {what}, which running a GGUF file needs.",
        remedy=f'Run: pip install "xllamacpp=={_TESTED}"',
    )


def complaints() -> str:
    """Gives what llama.cpp complained of last, in its words."""
    return "; ".join(_ERRORS) or "no reason given"


def load_model(file: Path) -> Any:
    """Loads a file; to be freed with ``LIBRARY.llama_model_free``.

    Raises:
        FormatError: if llama.cpp cannot load it.
    """
    _ERRORS.clear()
    model = LIBRARY.llama_model_load_from_file(
        str(file).encode(), LIBRARY.llama_model_default_params()
    )
    if not model:
        raise FormatError(
            f"llama.cpp cannot load {file.name}: {complaints()}.",
            remedy="Make it again; report it if it stays.",
        )
    return model


def open_context(model: Any, tokens: int, threads: int) -> Any:
    """Opens a context of one sequence; to be freed with ``LIBRARY.llama_free``.

    Args:
        model: from `load_model`.
        tokens: its length, and the longest batch.
        threads: CPU threads; 0 for all that this process may use.

    Raises:
        ExtraMissingError: if llama.cpp's C interface is not the one that was tested.
    """
    context = LIBRARY.llama_init_from_model(model, _parameters(tokens))
    if not context or LIBRARY.llama_n_batch(context) < tokens:
        raise changed(f"gives no context of {tokens} tokens")
    count = threads or usable_cores()
    LIBRARY.llama_set_n_threads(context, count, count)
    return context


def _parameters(tokens: int) -> _Parameters:
    parameters = LIBRARY.llama_context_default_params()
    if struct.unpack_from("<4I", bytes(parameters.bytes)) != _DEFAULTS:
        raise changed("begins llama_context_params otherwise")
    at_once = min(tokens, _READ_AT_ONCE)
    struct.pack_into("<4I", parameters.bytes, 0, tokens, tokens, at_once, 1)
    return parameters  # type: ignore[no-any-return]  # ctypes is untyped


def decode(
    context: Any, tokens: Sequence[int], wanted: Callable[[int], bool], *, start: int = 0
) -> None:
    """Reads the tokens from position `start` on.

    Args:
        context: from `open_context`; holds the tokens before `start` already.
        tokens: the whole sequence.
        wanted: says of a position whether its logits are kept.
        start: the first position to read.

    Raises:
        FormatError: if llama.cpp cannot run the file.
        ExtraMissingError: if llama.cpp's C interface is not the one that was tested.
    """
    with _batch_of(tokens, wanted, start) as batch:
        if status := LIBRARY.llama_decode(context, batch):
            raise FormatError(
                f"llama.cpp cannot run the file: status {status}.", remedy="Make it again."
            )


@contextmanager
def _batch_of(tokens: Sequence[int], wanted: Callable[[int], bool], start: int) -> Iterator[_Batch]:
    batch = LIBRARY.llama_batch_init(len(tokens) - start, 0, 1)
    if not (batch.token and batch.wanted and batch.sequence) or batch.embedding:
        raise changed("lays llama_batch out otherwise")
    for index, position in enumerate(range(start, len(tokens))):
        batch.token[index], batch.position[index] = tokens[position], position
        batch.sequences[index], batch.sequence[index][0] = 1, 0
        batch.wanted[index] = wanted(position)
    batch.count = len(tokens) - start
    try:
        yield batch
    finally:
        LIBRARY.llama_batch_free(batch)


def _opened() -> ctypes.CDLL:
    library = ctypes.CDLL(_extension.__file__)
    for name, (result, arguments) in _SIGNATURES.items():
        if (function := getattr(library, name, None)) is None:
            raise changed(f"exports no {name}")
        function.restype, function.argtypes = result, arguments
    library.llama_log_set(ctypes.cast(_LOG, POINTER), None)
    library.llama_backend_init()
    return library


_ERRORS: Final[deque[str]] = deque(maxlen=3)


def _keep_errors(level: int, text: bytes, _data: object) -> None:
    if level == _ERROR_LEVEL:
        _ERRORS.append(text.decode(errors="replace").strip())


_LOG: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, POINTER)(_keep_errors)
"""Kept here, for llama.cpp calls it as long as the process lives; it takes one such function, so
that a second binding would silence the first."""
LIBRARY: Final = _opened()
