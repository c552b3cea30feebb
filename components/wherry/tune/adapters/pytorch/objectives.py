"""What the loss is taken on; each gives a sum, so that micro-batches and ranks add up exactly.

Sources: DPO https://arxiv.org/abs/2305.18290, ORPO https://arxiv.org/abs/2403.07691, KTO
https://arxiv.org/abs/2402.01306, distillation https://arxiv.org/abs/1503.02531.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from wherry.tune.adapters.pytorch.model import Trainable
from wherry.tune.adapters.pytorch.sequences import Sequences, better, collate, worse
from wherry.tune.examples import Example

Pairs = Sequence[tuple[tuple[int, ...], tuple[int, ...]]]


class Loss(Protocol):
    """An objective."""

    def weight(self, batch: Sequence[Example]) -> int:
        """Gives what the sum of a batch is divided by."""

    def begin(self, model: Trainable, batch: Sequence[Example]) -> None:
        """Looks at a whole step's batch before its micro-batches are learnt."""

    def total(self, model: Trainable, batch: Sequence[Example]) -> Tensor:
        """Gives the loss of a micro-batch, summed: a scalar that gradients flow through."""


class CrossEntropy:
    """Of completion tokens: supervised tuning, and plain text."""

    def weight(self, batch: Sequence[Example]) -> int:
        """Gives the completion tokens."""
        return sum(len(example.completion) for example in batch)

    def begin(self, model: Trainable, batch: Sequence[Example]) -> None:
        """Needs nothing."""

    def total(self, model: Trainable, batch: Sequence[Example]) -> Tensor:
        """Gives the cross-entropy in nats."""
        seen = _collated(model, better(batch))
        return functional.cross_entropy(_logits(model, seen), seen.targets, reduction="sum")


class Distillation:
    """A teacher's next-token distributions over the completions, beside cross-entropy.

    Args:
        teacher: a model with the same vocabulary; never trained.
        temperature: softens both; the divergence is multiplied by its square.
        share: of the teacher in the loss.
    """

    def __init__(self, teacher: Trainable, temperature: float, share: float) -> None:
        self._teacher = teacher
        self._temperature = temperature
        self._share = share

    def weight(self, batch: Sequence[Example]) -> int:
        """Gives the completion tokens."""
        return sum(len(example.completion) for example in batch)

    def begin(self, model: Trainable, batch: Sequence[Example]) -> None:
        """Needs nothing."""

    def total(self, model: Trainable, batch: Sequence[Example]) -> Tensor:
        """Gives the mix of both losses in nats."""
        seen = _collated(model, better(batch))
        student = _logits(model, seen)
        with torch.no_grad():
            teacher = _logits(self._teacher, _collated(self._teacher, better(batch)))
        words = functional.cross_entropy(student, seen.targets, reduction="sum")
        # One family's models may have more rows than tokens in their heads, and not as many.
        common = min(student.shape[-1], teacher.shape[-1])
        likeness = functional.kl_div(
            functional.log_softmax(student[:, :common] / self._temperature, dim=-1),
            functional.log_softmax(teacher[:, :common] / self._temperature, dim=-1),
            log_target=True,
            reduction="sum",
        )
        return (1 - self._share) * words + self._share * self._temperature**2 * likeness


class Dpo:
    """The log-sigmoid of how much more the better answer has gained than the worse one.

    Args:
        reference: summed log-probabilities of the answers before training, by example.
        beta: how far the model may go from there.
    """

    def __init__(self, reference: "Reference", beta: float) -> None:
        self._reference = reference
        self._beta = beta

    def weight(self, batch: Sequence[Example]) -> int:
        """Gives the pairs."""
        return len(batch)

    def begin(self, model: Trainable, batch: Sequence[Example]) -> None:
        """Needs nothing."""

    def total(self, model: Trainable, batch: Sequence[Example]) -> Tensor:
        """Gives the loss of the pairs."""
        gains = log_probabilities(model, _both(batch))[0] - self._reference.of(batch)
        good, bad = gains.chunk(2)
        return -functional.logsigmoid(self._beta * (good - bad)).sum()


class Kto:
    """Each answer by itself, against how far the model has moved on the whole.

    The paper's estimate of that movement: the mean gain over mismatched prompts and answers of
    the step's batch, better and worse ones in turn, not below zero.

    Args:
        reference: summed log-probabilities before training, by example.
        beta: how far the model may go from there.
        size: mismatched pairs that go through the model at once; 0 for all.
    """

    def __init__(self, reference: "Reference", beta: float, size: int = 0) -> None:
        self._reference = reference
        self._beta = beta
        self._size = size
        self._moved = torch.zeros(())

    def weight(self, batch: Sequence[Example]) -> int:
        """Gives the answers."""
        return 2 * len(batch)

    def begin(self, model: Trainable, batch: Sequence[Example]) -> None:
        """Estimates how far the model has moved."""
        if len(batch) < 2:
            self._moved = torch.zeros((), device=model.device)
            return
        pairs = _mismatched(batch)
        with torch.no_grad():
            now = self._asked(model, pairs)
            with model.reference():
                before = self._asked(model, pairs)
        self._moved = (now - before).mean().clamp(min=0)

    def total(self, model: Trainable, batch: Sequence[Example]) -> Tensor:
        """Gives the loss of the answers."""
        gains = log_probabilities(model, _both(batch))[0] - self._reference.of(batch)
        good, bad = gains.chunk(2)
        wins = torch.sigmoid(self._beta * (good - self._moved))
        losses = torch.sigmoid(self._beta * (self._moved - bad))
        return (1 - wins).sum() + (1 - losses).sum()

    def _asked(self, model: Trainable, pairs: Pairs) -> Tensor:
        size = self._size or len(pairs)
        starts = range(0, len(pairs), size)
        return torch.cat([log_probabilities(model, pairs[i : i + size])[0] for i in starts])


class Orpo:
    """Cross-entropy of the better answer, and the odds of it against the worse one.

    Args:
        beta: the weight of the odds ratio, lambda in the paper.
    """

    def __init__(self, beta: float) -> None:
        self._beta = beta

    def weight(self, batch: Sequence[Example]) -> int:
        """Gives the pairs."""
        return len(batch)

    def begin(self, model: Trainable, batch: Sequence[Example]) -> None:
        """Needs nothing."""

    def total(self, model: Trainable, batch: Sequence[Example]) -> Tensor:
        """Gives the loss of the pairs; log-probabilities are means over an answer's tokens."""
        sums, lengths = log_probabilities(model, _both(batch))
        good, bad = (sums / lengths).chunk(2)
        odds = (good - bad) - (_log_complement(good) - _log_complement(bad))
        return (-good - self._beta * functional.logsigmoid(odds)).sum()


class Reference:
    """Remembers what the model made of every answer before it learnt anything."""

    def __init__(self, model: Trainable, examples: Sequence[Example], size: int) -> None:
        self._known: dict[Example, tuple[float, float]] = {}
        model.training(False)
        # Not inference_mode: FSDP would keep what it gathers under it, for the learning too.
        with torch.no_grad(), model.reference():
            for start in range(0, len(examples), size):
                batch = examples[start : start + size]
                good, bad = log_probabilities(model, _both(batch))[0].chunk(2)
                pairs = zip(good.tolist(), bad.tolist(), strict=True)
                self._known.update(zip(batch, pairs, strict=True))
        self._device = model.device

    def of(self, batch: Sequence[Example]) -> Tensor:
        """Gives the better answers' values, then the worse ones': [2 * pairs]."""
        good, bad = zip(*(self._known[example] for example in batch), strict=True)
        return torch.tensor([*good, *bad], device=self._device)


def log_probabilities(model: Trainable, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Gives each sequence's summed log-probability and number of completion tokens."""
    seen = _collated(model, pairs)
    found = functional.cross_entropy(_logits(model, seen), seen.targets, reduction="none")
    return seen.sums(-found), seen.lengths


def _mismatched(batch: Sequence[Example]) -> Pairs:
    """Gives each prompt an answer of the next row: of the better ones alone all would gain."""
    shifted = [*batch[1:], batch[0]]
    return [
        (own.prompt, other.rejected if number % 2 else other.completion)
        for number, (own, other) in enumerate(zip(batch, shifted, strict=True))
    ]


def _both(batch: Sequence[Example]) -> Pairs:
    return [*better(batch), *worse(batch)]


def _collated(model: Trainable, pairs: Pairs) -> Sequences:
    return collate(pairs, model.prefix, model.device)


def _logits(model: Trainable, seen: Sequences) -> Tensor:
    return model.logits(seen.inputs, seen.rows, seen.positions)


def _log_complement(log_probability: Tensor) -> Tensor:
    """Gives log(1 - p) from log p, without loss where p is small or near one."""
    return torch.log1p(-torch.exp(log_probability.clamp(max=-1e-7)))
