"""Asks a GGUF file in tokens.

llama.cpp's server does not score a text that it is given; its C functions do.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from transformers.utils.chat_template_utils import render_jinja_template

from wherry.contracts import Digest, Message, digest_bytes
from wherry.evaluate.raw.step import Pair, Scored, Tokens, check_room, until
from wherry.llama import LIBRARY, decode, load_model, open_context
from wherry.progress import Report


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
        self._model = load_model(file)
        self._vocabulary = LIBRARY.llama_model_get_vocab(self._model)
        self._size: int = LIBRARY.llama_vocab_n_tokens(self._vocabulary)
        self._context = min(context, int(LIBRARY.llama_model_n_ctx_train(self._model)))
        self._state = open_context(self._model, self._context, threads)
        self._memory = LIBRARY.llama_get_memory(self._state)
        self._held: Tokens = ()

    def close(self) -> None:
        """Frees the model."""
        LIBRARY.llama_free(self._state)
        LIBRARY.llama_model_free(self._model)

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
        begin = int(LIBRARY.llama_vocab_bos(self._vocabulary))
        return begin if begin >= 0 else self._end

    def tokens(self, text: str, *, special: bool = True) -> Tokens:
        """Tokenizes a text."""
        data = text.encode()
        # No text has more tokens than bytes, but for what the tokenizer puts around it.
        room = len(data) + 8
        found = (ctypes.c_int32 * room)()
        count = LIBRARY.llama_tokenize(
            self._vocabulary, data, len(data), found, room, special, True
        )
        return tuple(found[:count])

    def text(self, tokens: Sequence[int]) -> str:
        """Gives the text of tokens."""
        return b"".join(map(self._piece, tokens)).decode(errors="replace")

    def _piece(self, token: int) -> bytes:
        room = ctypes.create_string_buffer(256)
        count = LIBRARY.llama_token_to_piece(self._vocabulary, token, room, 256, 0, False)
        return room.raw[: max(0, count)]

    @property
    def _template(self) -> str:
        return (LIBRARY.llama_model_chat_template(self._model, None) or b"").decode()

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
        return int(LIBRARY.llama_vocab_eos(self._vocabulary))

    def _named(self, token: int) -> str:
        return (LIBRARY.llama_vocab_get_text(self._vocabulary, token) or b"").decode()

    def score(self, pairs: Sequence[Pair], report: Report) -> Sequence[Scored]:
        """Scores continuations, those that begin alike one after the other."""
        check_room([len(context) + len(rest) for context, rest in pairs], self._context)
        self._forget()
        found: dict[int, Scored] = {}
        for number in sorted(range(len(pairs)), key=lambda number: sum(pairs[number], ())):
            found[number] = self._score(*pairs[number])
            report.progress(len(found), len(pairs), "texts scored")
        return [found[number] for number in range(len(pairs))]

    def _score(self, context: Tokens, rest: Tokens) -> Scored:
        # What several continuations share is read first and by itself: how many tokens are read
        # at once changes their numbers a little, and that must not favour one of the choices.
        self._advance(context[:-1], 0)
        after = self._read((context + rest)[:-1], len(rest))
        logprob = sum(_logprob(*each) for each in zip(after, rest, strict=True))
        return Scored(logprob, bool((after.argmax(axis=-1) == np.array(rest)).all()))

    def complete(
        self, prompts: Sequence[Tokens], *, max_tokens: int, stop: Sequence[str], report: Report
    ) -> Sequence[str]:
        """Goes on from each prompt, greedily."""
        check_room([len(prompt) + max_tokens for prompt in prompts], self._context)
        self._forget()
        found: list[str] = []
        for prompt in prompts:
            found.append(self._complete(prompt, max_tokens, stop))
            report.progress(len(found), len(prompts), "texts continued")
        return found

    def _complete(self, prompt: Tokens, max_tokens: int, stop: Sequence[str]) -> str:
        given: Tokens = ()
        while len(given) < max_tokens:
            chosen = int(self._read(prompt + given, 1)[-1].argmax())
            if LIBRARY.llama_vocab_is_eog(self._vocabulary, chosen):
                break
            given += (chosen,)
            if (cut := until(text := self.text(given), stop)) != text:
                return cut
        return self.text(given)

    def _read(self, tokens: Tokens, wanted: int) -> NDArray[np.float32]:
        """Gives the logits after the last tokens, [wanted, vocabulary]."""
        self._advance(tokens, wanted)
        logits = LIBRARY.llama_get_logits(self._state)
        return np.ctypeslib.as_array(logits, (wanted, self._size)).copy()

    def _advance(self, tokens: Tokens, wanted: int) -> None:
        """Makes these tokens the ones that are held, with logits after the last `wanted`."""
        kept = self._keep(tokens, len(tokens) - wanted)
        self._held = tokens
        if kept == len(tokens):
            return
        first = len(tokens) - wanted
        decode(self._state, tokens, first.__le__, start=kept)

    def _keep(self, tokens: Tokens, most: int) -> int:
        """Drops what is held and does not begin these tokens; gives how many are left."""
        both = enumerate(zip(self._held, tokens, strict=False))
        parted = (at for at, (held, token) in both if held != token)
        kept = min(most, next(parted, min(len(self._held), len(tokens))))
        # A recurrent model cannot go back: it begins anew.
        if not LIBRARY.llama_memory_seq_rm(self._memory, 0, kept, -1):
            self._forget()
            return 0
        return kept

    def _forget(self) -> None:
        LIBRARY.llama_memory_clear(self._memory, True)
        self._held = ()


def _logprob(logits: NDArray[np.float32], token: int) -> float:
    """Gives log P(token) by the logits over the vocabulary, [vocabulary].

    The sum of exponentials is in float64, for over 50,000 tokens float32 loses three digits; and
    one place at a time, for all of a long text would be gigabytes.
    """
    top = logits.max()
    behind = float(logits[token]) - float(top)
    return behind - float(np.log(np.exp((logits - top).astype(np.float64)).sum()))
