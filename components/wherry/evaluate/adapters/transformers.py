"""Answers prompts with a transformers model, with or without a LoRA adapter."""

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import msgspec

# Waiting threads spin shortly, then sleep: docs/adr/0003 has the figures.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from wherry.contracts import Digest, Message, digest_bytes
from wherry.contracts.errors import DataError, FormatError, TemplateError
from wherry.cores import usable_cores
from wherry.evaluate.step import Answer, label_tokens
from wherry.progress import Report

Tokens = tuple[int, ...]

FORWARD_TOKENS: Final = 4096
"""Most tokens of one forward pass: bounds memory where prompts are long."""


@dataclass
class _State:
    """How far the rows of a batch are read."""

    cache: Any
    seen: Tensor
    """1 where a row has a token, 0 where it has padding: [rows, tokens so far]."""
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    """After each prompt's last token: [rows, vocabulary]."""

    def reading(self, more: int) -> "_State":
        """Gives the state that is about to read `more` tokens of every row."""
        ones = self.seen.new_ones(len(self.seen), more)
        return _State(self.cache, torch.cat([self.seen, ones], dim=1))


class TransformersAnswerer:
    """A transformers model in float32 that answers prompts in batches of similar length.

    What all prompts begin with is computed once, and one prefill serves both the free answer
    and the scores of the labels.

    Args:
        base: the base model's folder.
        adapter: the folder of a LoRA adapter to merge into it, or None.
        max_new_tokens: longest free answer.
        batch_size: most rows of one batch.
        threads: CPU threads; 0 for all.
    """

    def __init__(
        self,
        base: Path,
        adapter: Path | None = None,
        *,
        max_new_tokens: int = 8,
        batch_size: int = 32,
        threads: int = 0,
    ) -> None:
        torch.set_num_threads(threads or usable_cores())
        self._tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        self._model = load(base, adapter)
        self._ends = ends_of(self._model, self._tokenizer)
        self._context: int = self._model.config.get_text_config().max_position_embeddings
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size
        if not self._tokenizer.chat_template:
            raise TemplateError(
                f"{base} has no chat template.", remedy="Choose the model's instruct variant."
            )

    @property
    def engine(self) -> str:
        """What runs the model."""
        return "transformers"

    @property
    def template_digest(self) -> Digest:
        """Of the chat template's text."""
        return digest_bytes(self._tokenizer.chat_template.encode())

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        """Answers every prompt and scores every label; see `wherry.evaluate.step.Answerer`."""
        if not prompts:
            return []
        rendered = [self._render(prompt) for prompt in prompts]
        encoded = [self._encode(text) for text in rendered]
        wanted = label_tokens(self._encode, rendered[0], labels)
        self._check(encoded, wanted)
        with torch.inference_mode():
            answers = self._answer(encoded, wanted, report)
        return [answers[row] for row in range(len(prompts))]

    def _answer(
        self, encoded: Sequence[Tokens], labels: Sequence[Tokens], report: Report
    ) -> dict[int, Answer]:
        shared = shared_prefix(encoded)
        prefix = self._prefix(encoded[0][:shared]) if shared else None
        answers: dict[int, Answer] = {}
        for rows in batches([len(tokens) - shared for tokens in encoded], self._batch_size):
            state = self._prefill([encoded[row][shared:] for row in rows], prefix, shared)
            answers.update(zip(rows, self._answers(state, labels), strict=True))
            report.progress(len(answers), len(encoded))
        return answers

    def _prefix(self, tokens: Tokens) -> Any:
        """Gives the cache of what all prompts begin with."""
        return self._model(input_ids=torch.tensor([tokens]), use_cache=True).past_key_values

    def _prefill(self, prompts: Sequence[Tokens], prefix: Any, shared: int) -> "_State":
        """Reads what follows the prefix; padding stands on the left, and nobody looks at it."""
        longest = max(map(len, prompts))
        tokens = torch.tensor([(0,) * (longest - len(p)) + p for p in prompts])
        seen = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        cache = copy.deepcopy(prefix)
        if cache is not None:
            cache.batch_repeat_interleave(len(prompts))
            seen = torch.cat([seen.new_ones(len(prompts), shared), seen], dim=1)
        state = _State(cache, seen)
        state.logits = self._forward(tokens, state)[:, -1]
        return state

    def _forward(self, tokens: Tensor, state: "_State", *, every: bool = False) -> Tensor:
        """Reads tokens, [rows, length], that `state.seen` covers already."""
        out = self._model(
            input_ids=tokens,
            attention_mask=state.seen,
            position_ids=(state.seen.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :],
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=0 if every else 1,
        )
        state.cache = out.past_key_values
        logits: Tensor = out.logits
        return logits

    def _answers(self, state: "_State", labels: Sequence[Tokens]) -> list[Answer]:
        first = torch.log_softmax(state.logits, dim=-1)
        scores = [self._score(label, first, state) for label in labels]
        table = torch.stack(scores, dim=1).tolist() if scores else [[]] * len(first)
        given = self._generate(first, state)
        return [
            Answer(self._decode(tokens), tuple(row), self._ends.isdisjoint(tokens))
            for tokens, row in zip(given, table, strict=True)
        ]

    def _score(self, label: Tokens, first: Tensor, state: "_State") -> Tensor:
        """Gives log P(label | prompt) of every row, [rows], and leaves the state as it was."""
        score = first[:, label[0]]
        if len(label) == 1:
            return score
        ahead = state.reading(len(label) - 1)
        given = torch.tensor([label[:-1]]).expand(len(first), -1)
        logits = self._forward(given, ahead, every=True)
        ahead.cache.crop(-given.shape[1])
        later = torch.tensor(label[1:]).expand(len(first), -1).unsqueeze(-1)
        return score + torch.log_softmax(logits, dim=-1).gather(-1, later).sum(dim=(1, 2))

    def _generate(self, first: Tensor, state: "_State") -> list[list[int]]:
        """Gives the greedy answer of every row, up to its end and perhaps further."""
        ends = torch.tensor(sorted(self._ends))
        given = [first.argmax(-1, keepdim=True)]
        ended = torch.isin(given[-1], ends)
        while len(given) < self._max_new_tokens and not ended.all():
            state = state.reading(1)
            given.append(self._forward(given[-1], state)[:, -1].argmax(-1, keepdim=True))
            ended |= torch.isin(given[-1], ends)
        rows: list[list[int]] = torch.cat(given, dim=1).tolist()
        return rows

    def _render(self, prompt: Sequence[Message]) -> str:
        text: str = self._tokenizer.apply_chat_template(
            [msgspec.structs.asdict(message) for message in prompt],
            tokenize=False,
            add_generation_prompt=True,
        )
        return text

    def _encode(self, text: str) -> Tokens:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _decode(self, tokens: list[int]) -> str:
        kept = takewhile(lambda token: token not in self._ends, tokens)
        text: str = self._tokenizer.decode(
            list(kept), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _check(self, prompts: Sequence[Tokens], labels: Sequence[Tokens]) -> None:
        room = self._context - max([self._max_new_tokens, *map(len, labels)])
        for number, prompt in enumerate(prompts, start=1):
            if len(prompt) > room:
                raise DataError(
                    f"Prompt {number} has {len(prompt)} tokens, and the model's context leaves "
                    f"room for {room}.",
                    remedy="Shorten the row, or leave it out of the split.",
                )


def ends_of(model: Any, tokenizer: Any) -> set[int]:
    """Gives every token that ends an answer: the tokenizer's, and those that generation names."""
    told = model.generation_config.eos_token_id
    told = told if isinstance(told, list) else [told]
    return {token for token in [*told, tokenizer.eos_token_id] if token is not None}


def shared_prefix(prompts: Sequence[Tokens]) -> int:
    """Gives how many first tokens all prompts share, short of the shortest one's last."""
    longest = min(map(len, prompts), default=1) - 1
    for position in range(longest):
        if len({prompt[position] for prompt in prompts}) > 1:
            return position
    return longest


def batches(
    lengths: Sequence[int], batch_size: int, most: int = FORWARD_TOKENS
) -> Iterator[list[int]]:
    """Gives batches of rows of similar length, the shortest first, none of over `most` tokens."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[row] > most):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def load(base: Path, adapter: Path | None) -> Any:
    """Loads a model in float32, with an adapter merged into it.

    Args:
        base: the base model's folder.
        adapter: the folder of an adapter, or None.

    Raises:
        FormatError: if the adapter cannot be merged.
    """
    disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    if adapter is not None:
        # Merged, as it ships: the same numbers to 1e-4 and no second matrix product.
        beside = PeftModel.from_pretrained(model, str(adapter))
        if beside.active_peft_config.is_prompt_learning:
            raise FormatError(
                "The adapter trains virtual tokens, which no weights can take in: it cannot ship.",
                remedy="Tune with a method that merges, such as lora.",
            )
        model = beside.merge_and_unload()
    return model.eval()
