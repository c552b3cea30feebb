"""Asks a GGUF file in tokens, through the C functions that xllamacpp's shared object exports.

llama.cpp's server does not score a text that it is given. The C interface does, but promises
little, so this file assumes as little of it as it can: parameter structures are handed back as
llama.cpp filled them, but for the four numbers at their start, and those are checked.
"""

import ctypes
import os
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

# Waiting threads sleep instead of spinning: with another busy process on two cores, two
# spinning threads are five times slower than one. libgomp reads it when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import xllamacpp
from numpy.typing import NDArray
from transformers.utils.chat_template_utils import render_jinja_template
from xllamacpp import xllamacpp as _extension

from wherry.contracts import Digest, Message, digest_bytes
from wherry.contracts.errors import ExtraMissingError, FormatError
from wherry.evaluate.raw.step import Pair, Scored, Tokens, check_room, until
from wherry.progress import Report

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


_Pointer, _Int, _Text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [_Pointer, _Pointer]),
    "llama_model_default_params": (_Parameters, []),
    "llama_model_load_from_file": (_Pointer, [_Text, _Parameters]),
    "llama_model_free": (None, [_Pointer]),
    "llama_model_get_vocab": (_Pointer, [_Pointer]),
    "llama_model_n_ctx_train": (_Int, [_Pointer]),
    "llama_model_chat_template": (_Text, [_Pointer, _Text]),
    "llama_vocab_n_tokens": (_Int, [_Pointer]),
    "llama_vocab_bos": (_Int, [_Pointer]),
    "llama_vocab_eos": (_Int, [_Pointer]),
    "llama_vocab_is_eog": (ctypes.c_bool, [_Pointer, _Int]),
    "llama_vocab_get_text": (_Text, [_Pointer, _Int]),
    "llama_tokenize": (
        _Int,
        [_Pointer, _Text, _Int, ctypes.POINTER(_Int), _Int, ctypes.c_bool, ctypes.c_bool],
    ),
    "llama_token_to_piece": (_Int, [_Pointer, _Int, _Text, _Int, _Int, ctypes.c_bool]),
    "llama_context_default_params": (_Parameters, []),
    "llama_init_from_model": (_Pointer, [_Pointer, _Parameters]),
    "llama_free": (None, [_Pointer]),
    "llama_n_batch": (ctypes.c_uint32, [_Pointer]),
    "llama_set_n_threads": (None, [_Pointer, _Int, _Int]),
    "llama_get_memory": (_Pointer, [_Pointer]),
    "llama_memory_clear": (None, [_Pointer, ctypes.c_bool]),
    "llama_memory_seq_rm": (ctypes.c_bool, [_Pointer, _Int, _Int, _Int]),
    "llama_batch_init": (_Batch, [_Int, _Int, _Int]),
    "llama_batch_free": (None, [_Batch]),
    "llama_decode": (_Int, [_Pointer, _Batch]),
    "llama_get_logits": (ctypes.POINTER(ctypes.c_float), [_Pointer]),
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
        f"xllamacpp {xllamacpp.__version__} {what}, which scoring a GGUF file needs.",
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


class LlamaCppRaw:
    """Implements `RawModel` on one GGUF file.

    What a prompt shares with the one before it is not computed again.

    Args:
        file: the model.
        context: longest context with its continuation; the model's own limit if that is less.
        threads: CPU threads; 0 for all that this process may use.

    Raises:
        FormatError: if llama.cpp cannot load the file.
        ExtraMissingError: if llama.cpp's C interface is not the one that was tested.
    """

    def __init__(self, file: Path, *, context: int, threads: int) -> None:
        self._model = _LIBRARY.llama_model_load_from_file(
            str(file).encode(), _LIBRARY.llama_model_default_params()
        )
        if not self._model:
            raise FormatError(
                f"llama.cpp cannot load {file.name}: {'; '.join(_ERRORS) or 'no reason given'}.",
                remedy="Make it again; report it if it stays.",
            )
        self._vocabulary = _LIBRARY.llama_model_get_vocab(self._model)
        self._size: int = _LIBRARY.llama_vocab_n_tokens(self._vocabulary)
        self._context = min(context, int(_LIBRARY.llama_model_n_ctx_train(self._model)))
        self._state = _LIBRARY.llama_init_from_model(self._model, _parameters(self._context))
        if not self._state or _LIBRARY.llama_n_batch(self._state) < self._context:
            raise _changed(f"gives no context of {self._context} tokens")
        count = threads or len(os.sched_getaffinity(0))
        _LIBRARY.llama_set_n_threads(self._state, count, count)
        self._memory = _LIBRARY.llama_get_memory(self._state)
        self._held: Tokens = ()

    def close(self) -> None:
        """Frees the model."""
        _LIBRARY.llama_free(self._state)
        _LIBRARY.llama_model_free(self._model)

    @property
    def engine(self) -> str:
        """What runs the model."""
        return "llama.cpp"

    @property
    def template_digest(self) -> Digest:
        """Of the chat template that the file embeds, empty for a file without one."""
        return digest_bytes(self._template.encode())

    @property
    def context(self) -> int:
        """Longest context with its continuation, in tokens."""
        return self._context

    @property
    def start(self) -> int:
        """Begin of text, or else end of text."""
        begin = int(_LIBRARY.llama_vocab_bos(self._vocabulary))
        return begin if begin >= 0 else self._end

    def tokens(self, text: str, *, special: bool = True) -> Tokens:
        """Tokenizes a text."""
        data = text.encode()
        # No text has more tokens than bytes, but for what the tokenizer puts around it.
        room = len(data) + 8
        found = (_Int * room)()
        count = _LIBRARY.llama_tokenize(
            self._vocabulary, data, len(data), found, room, special, True
        )
        return tuple(found[:count])

    def text(self, tokens: Sequence[int]) -> str:
        """Gives the text of tokens."""
        return b"".join(map(self._piece, tokens)).decode(errors="replace")

    def _piece(self, token: int) -> bytes:
        room = ctypes.create_string_buffer(256)
        count = _LIBRARY.llama_token_to_piece(self._vocabulary, token, room, 256, 0, False)
        return room.raw[: max(0, count)]

    @property
    def _template(self) -> str:
        return (_LIBRARY.llama_model_chat_template(self._model, None) or b"").decode()

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        """Renders a conversation with the file's template.

        By transformers' Jinja: quantizing has checked that llama.cpp's own says the same.
        """
        named = {"bos_token": self._named(self.start), "eos_token": self._named(self._end)}
        rendered, _ = render_jinja_template(
            [[msgspec.structs.asdict(message) for message in messages]],
            chat_template=self._template,
            add_generation_prompt=open_turn,
            continue_final_message=not open_turn,
            **named,
        )
        return str(rendered[0])

    @property
    def _end(self) -> int:
        return int(_LIBRARY.llama_vocab_eos(self._vocabulary))

    def _named(self, token: int) -> str:
        return (_LIBRARY.llama_vocab_get_text(self._vocabulary, token) or b"").decode()

    def score(self, pairs: Sequence[Pair], report: Report) -> Sequence[Scored]:
        """Scores continuations, those that begin alike one after the other."""
        check_room([len(context) + len(rest) for context, rest in pairs], self._context)
        self._forget()
        found: dict[int, Scored] = {}
        for number in sorted(range(len(pairs)), key=lambda number: sum(pairs[number], ())):
            found[number] = self._score(*pairs[number])
            report.progress(len(found), len(pairs))
        return [found[number] for number in range(len(pairs))]

    def _score(self, context: Tokens, rest: Tokens) -> Scored:
        # What several continuations share is read first and by itself: how many tokens are read
        # at once changes their numbers a little, and that must not favour one of the choices.
        self._advance(context[:-1], 0)
        after = self._read((context + rest)[:-1], len(rest))
        wanted = np.array(rest)
        # The sum of exponentials in float64: over 50,000 tokens float32 loses three digits.
        top = after.max(axis=-1, keepdims=True)
        scale = top[:, 0] + np.log(np.exp((after - top).astype(np.float64)).sum(axis=-1))
        logprob = (after[np.arange(len(rest)), wanted] - scale).sum()
        return Scored(float(logprob), bool((after.argmax(axis=-1) == wanted).all()))

    def complete(
        self, prompts: Sequence[Tokens], *, max_tokens: int, stop: Sequence[str], report: Report
    ) -> Sequence[str]:
        """Goes on from each prompt, greedily."""
        check_room([len(prompt) + max_tokens for prompt in prompts], self._context)
        self._forget()
        found: list[str] = []
        for prompt in prompts:
            found.append(self._complete(prompt, max_tokens, stop))
            report.progress(len(found), len(prompts))
        return found

    def _complete(self, prompt: Tokens, max_tokens: int, stop: Sequence[str]) -> str:
        given: Tokens = ()
        while len(given) < max_tokens:
            chosen = int(self._read(prompt + given, 1)[-1].argmax())
            if _LIBRARY.llama_vocab_is_eog(self._vocabulary, chosen):
                break
            given += (chosen,)
            if (cut := until(text := self.text(given), stop)) != text:
                return cut
        return self.text(given)

    def _read(self, tokens: Tokens, wanted: int) -> NDArray[np.float32]:
        """Gives the logits after the last tokens, [wanted, vocabulary]."""
        self._advance(tokens, wanted)
        logits = _LIBRARY.llama_get_logits(self._state)
        return np.ctypeslib.as_array(logits, (wanted, self._size)).copy()

    def _advance(self, tokens: Tokens, wanted: int) -> None:
        """Makes these tokens the ones that are held, with logits after the last `wanted`."""
        kept = self._keep(tokens, len(tokens) - wanted)
        self._held = tokens
        if kept == len(tokens):
            return
        with _batch_of(tokens, kept, wanted) as batch:
            if status := _LIBRARY.llama_decode(self._state, batch):
                raise FormatError(
                    f"llama.cpp cannot run the file: status {status}.", remedy="Make it again."
                )

    def _keep(self, tokens: Tokens, most: int) -> int:
        """Drops what is held and does not begin these tokens; gives how many are left."""
        both = enumerate(zip(self._held, tokens, strict=False))
        parted = (at for at, (held, token) in both if held != token)
        kept = min(most, next(parted, min(len(self._held), len(tokens))))
        # A recurrent model cannot go back: it begins anew.
        if not _LIBRARY.llama_memory_seq_rm(self._memory, 0, kept, -1):
            self._forget()
            return 0
        return kept

    def _forget(self) -> None:
        _LIBRARY.llama_memory_clear(self._memory, True)
        self._held = ()


def _parameters(tokens: int) -> _Parameters:
    parameters = _LIBRARY.llama_context_default_params()
    if struct.unpack_from("<4I", bytes(parameters.bytes)) != _DEFAULTS:
        raise _changed("begins llama_context_params otherwise")
    at_once = min(tokens, _READ_AT_ONCE)
    struct.pack_into("<4I", parameters.bytes, 0, tokens, tokens, at_once, 1)
    return parameters  # type: ignore[no-any-return]  # ctypes is untyped


@contextmanager
def _batch_of(tokens: Tokens, kept: int, wanted: int) -> Iterator[_Batch]:
    """Gives the batch that reads the tokens after `kept` and wants the last `wanted` logits."""
    batch = _LIBRARY.llama_batch_init(len(tokens) - kept, 0, 1)
    if not (batch.token and batch.wanted and batch.sequence) or batch.embedding:
        raise _changed("lays llama_batch out otherwise")
    for index, position in enumerate(range(kept, len(tokens))):
        batch.token[index], batch.position[index] = tokens[position], position
        batch.sequences[index], batch.sequence[index][0] = 1, 0
        batch.wanted[index] = position >= len(tokens) - wanted
    batch.count = len(tokens) - kept
    try:
        yield batch
    finally:
        _LIBRARY.llama_batch_free(batch)
