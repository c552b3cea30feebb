"""Asks a transformers model, with or without a LoRA adapter, in tokens."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

# Waiting threads spin shortly, then sleep: docs/adr/0003 has the figures.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from torch import Tensor
from transformers import AutoTokenizer

from wherry.contracts import Digest, Message, digest_bytes
from wherry.cores import usable_cores
from wherry.evaluate.adapters.transformers import batches, ends_of, load
from wherry.evaluate.raw.step import Pair, Scored, Tokens, check_room, until
from wherry.progress import Report

_LOGITS: Final = 1 << 27
"""Logits of one pass, 512 MiB: eight texts of 511 tokens would take 4 GiB with the vocabulary of
Gemma, and their log-probabilities as much again."""


class TransformersRaw:
    """Implements `RawModel` on a transformers model in float32.

    Args:
        base: the base model's folder.
        adapter: the folder of a LoRA adapter to merge into it, or None.
        context: longest context with its continuation; the model's own limit if that is less.
        batch_size: most rows of one batch.
        threads: CPU threads; 0 for all.
    """

    def __init__(
        self, base: Path, adapter: Path | None, *, context: int, batch_size: int, threads: int
    ) -> None:
        torch.set_num_threads(threads or usable_cores())
        self._tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        self._model = load(base, adapter)
        limit: int = self._model.config.get_text_config().max_position_embeddings
        self._context = min(context, limit)
        self._batch_size = batch_size

    @property
    def engine(self) -> str:
        """What runs the model."""
        return "transformers"

    @property
    def template_digest(self) -> Digest:
        """Of the chat template's text, empty for a model without one."""
        return digest_bytes((self._tokenizer.chat_template or "").encode())

    @property
    def context(self) -> int:
        """Longest context with its continuation, in tokens."""
        return self._context

    @property
    def start(self) -> int:
        """Begin of text, or else end of text."""
        begin, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        return int(end if begin is None else begin)

    def tokens(self, text: str, *, special: bool = True) -> Tokens:
        """Tokenizes a text."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=special))

    def text(self, tokens: Sequence[int]) -> str:
        """Gives the text of tokens."""
        return str(
            self._tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        """Renders a conversation with the model's own chat template."""
        turns = [msgspec.structs.asdict(message) for message in messages]
        return str(
            self._tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=open_turn,
                continue_final_message=not open_turn,
            )
        )

    def score(self, pairs: Sequence[Pair], report: Report) -> Sequence[Scored]:
        """Scores continuations; those of one token after one context cost one pass."""
        check_room([len(context) + len(rest) for context, rest in pairs], self._context)
        readers: dict[Tokens, list[int]] = {}
        for number, (context, rest) in enumerate(pairs):
            readers.setdefault((context + rest)[:-1], []).append(number)
        found = dict[int, Scored]()
        kept = [max(len(pairs[number][1]) for number in each) for each in readers.values()]
        for inputs in self._batches(list(readers), kept):
            asked = [[pairs[number][1] for number in readers[tokens]] for tokens in inputs]
            for tokens, each in zip(inputs, self._scored(inputs, asked), strict=True):
                found.update(zip(readers[tokens], each, strict=True))
            report.progress(len(found), len(pairs), "texts scored")
        return [found[number] for number in range(len(pairs))]

    def _batches(self, inputs: Sequence[Tokens], kept: Sequence[int]) -> Iterator[list[Tokens]]:
        """Gives what is read at once, bounded by its tokens and by the logits that are kept."""
        room = _LOGITS // int(self._model.config.get_text_config().vocab_size)
        for rows in batches([len(tokens) for tokens in inputs], self._batch_size):
            for part in batches([kept[row] for row in rows], self._batch_size, room):
                yield [inputs[rows[at]] for at in part]

    def _scored(
        self, inputs: Sequence[Tokens], asked: Sequence[Sequence[Tokens]]
    ) -> list[list[Scored]]:
        kept = max(len(rest) for each in asked for rest in each)
        # Padding stands on the left, so that what is scored ends where the row does.
        logits = self._logits(inputs, kept)
        return [
            [_score(row[kept - len(rest) :], rest) for rest in each]
            for row, each in zip(logits, asked, strict=True)
        ]

    def _logits(self, inputs: Sequence[Tokens], kept: int) -> Tensor:
        """Gives the log-probabilities after the last tokens, [rows, kept, vocabulary]."""
        longest = max(map(len, inputs))
        tokens = torch.tensor([(0,) * (longest - len(row)) + row for row in inputs])
        seen = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in inputs])
        with torch.inference_mode():
            out = self._model(
                input_ids=tokens,
                attention_mask=seen,
                position_ids=(seen.cumsum(1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=kept,
            )
            return torch.log_softmax(out.logits.float(), dim=-1)

    def complete(
        self, prompts: Sequence[Tokens], *, max_tokens: int, stop: Sequence[str], report: Report
    ) -> Sequence[str]:
        """Goes on from each prompt, greedily."""
        check_room([len(prompt) + max_tokens for prompt in prompts], self._context)
        found: list[str] = []
        for prompt in prompts:
            found.append(self._complete(prompt, max_tokens, stop))
            report.progress(len(found), len(prompts), "texts continued")
        return found

    def _complete(self, prompt: Tokens, max_tokens: int, stop: Sequence[str]) -> str:
        given: list[int] = []
        ends = ends_of(self._model, self._tokenizer)
        state: Any = None
        with torch.inference_mode():
            while len(given) < max_tokens:
                fresh = torch.tensor([given[-1:] or prompt])
                out = self._model(input_ids=fresh, past_key_values=state, use_cache=True)
                state, chosen = out.past_key_values, int(out.logits[0, -1].argmax())
                if chosen in ends:
                    break
                given.append(chosen)
                if (cut := until(text := self.text(given), stop)) != text:
                    return cut
        return self.text(given)


def _score(after: Tensor, rest: Tokens) -> Scored:
    """Scores a continuation, [tokens], by the log-probabilities before each, [tokens, vocab]."""
    wanted = torch.tensor(rest)
    logprob = float(after.gather(-1, wanted.unsqueeze(-1)).sum())
    return Scored(logprob, bool((after.argmax(-1) == wanted).all()))
