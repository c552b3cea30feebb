"""Turns examples into tensors: token sequences, and the positions whose next token counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wherry.tune.examples import Example


@dataclass(frozen=True)
class Sequences:
    """Some token sequences of a batch, padded on the right where attention never looks."""

    inputs: Tensor
    """Token ids without the shared prefix and the last token: [sequences, length]."""
    rows: Tensor
    """For each completion token, all sequences in turn, its sequence: [tokens]."""
    positions: Tensor
    """The position in `inputs` that predicts it: [tokens]."""
    targets: Tensor
    """The token itself: [tokens]."""

    @property
    def count(self) -> int:
        """How many sequences."""
        return len(self.inputs)

    def sums(self, values: Tensor) -> Tensor:
        """Adds up one value a completion token over each sequence: [sequences]."""
        return torch.zeros(self.count, dtype=values.dtype, device=values.device).index_add(
            0, self.rows, values
        )

    @property
    def lengths(self) -> Tensor:
        """Completion tokens of each sequence: [sequences]."""
        return self.sums(torch.ones(len(self.rows), device=self.rows.device))


def better(batch: Sequence[Example]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Gives prompt and completion of each example."""
    return [(example.prompt, example.completion) for example in batch]


def worse(batch: Sequence[Example]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Gives prompt and rejected completion of each example."""
    return [(example.prompt, example.rejected) for example in batch]


def collate(
    pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    prefix: int,
    device: torch.device | str = "cpu",
) -> Sequences:
    """Puts prompts and completions into tensors.

    Args:
        pairs: prompt and completion of each sequence.
        prefix: how many first tokens of each to leave out.
        device: where the tensors are wanted.
    """
    longest = max(len(prompt) + len(completion) for prompt, completion in pairs)
    inputs = torch.zeros(len(pairs), longest - prefix - 1, dtype=torch.long)
    where: list[tuple[int, int, int]] = []
    for row, (prompt, completion) in enumerate(pairs):
        tokens = (*prompt, *completion)[prefix:-1]  # the last token is a target alone
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        first = len(prompt) - prefix - 1
        where += [(row, first + i, token) for i, token in enumerate(completion)]
    rows, positions, targets = torch.tensor(where, device=device).unbind(dim=1)
    return Sequences(inputs.to(device), rows, positions, targets)
