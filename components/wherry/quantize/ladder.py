"""Measures a model's file types side by side, and picks the one that ships."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from wherry.contracts import Metric, Rung
from wherry.contracts.parity import Comparison
from wherry.quantize.settings import SMALLEST, QuantizeSettings
from wherry.quantize.step import (
    Divergence,
    Logits,
    Predictor,
    Sample,
    complaint,
    diverge,
    log_softmax,
)

_NORMAL: Final = 1.959963984540054
"""The standard normal's 97.5th percentile."""
_AT_ONCE: Final = 64
"""Positions whose log-probabilities are taken at once: 2 MB each of a vocabulary of 262,144."""


@dataclass(frozen=True)
class Question:
    """A row as a model is asked it: the prompt, then the answer that it should give."""

    sample: Sample
    """Keeps the positions that answer, one a token of `answer`."""
    answer: tuple[int, ...]
    """The expected tokens, the end of the turn included."""
    label: int = -1
    """The answer's place among the labels, or -1 if it is none of them."""


def question(prompt: Sequence[int], answer: Sequence[int], label: int = -1) -> Question:
    """Gives a question whose every answering position is kept."""
    ids = (*prompt, *answer[:-1])
    return Question(Sample(ids, tuple(range(len(prompt) - 1, len(ids)))), tuple(answer), label)


@dataclass(frozen=True)
class Quality:
    """How well one form of the model does."""

    divergence: Divergence
    """From the unquantized model."""
    perplexity: float | None
    """Of the expected answers, or of plain text itself, a token; None without either, or if it is
    not finite."""
    scores: tuple[Metric, ...] = ()


@dataclass(frozen=True)
class Questions:
    """What every form of the model is asked."""

    samples: Sequence[Sample]
    """The contexts of KL and agreement."""
    reference: Sequence[Logits]
    """What the unquantized model says there."""
    tasks: Sequence[Question] = ()
    label_tokens: Sequence[int] = ()
    """The one token of each label; empty if a label has more than one."""
    plain: bool = False
    """Whether the contexts are of plain text, whose next tokens are what a model should say."""

    @property
    def longest(self) -> int:
        """Tokens of the longest context: what a form must be opened for."""
        samples = [*self.samples, *(task.sample for task in self.tasks)]
        return max((len(sample.ids) for sample in samples), default=1)

    def quality(self, model: Predictor) -> Quality:
        """Asks a form of the model everything."""
        parts: list[Divergence] = []
        surprises: list[float] = []
        every = zip(self.samples, self.reference, model.logits(self.samples), strict=True)
        for sample, expected, found in every:
            parts.append(diverge([expected], [found]))
            surprises += following(sample, found) if self.plain else ()
        return Quality(_joined(parts), *self._answered(model, surprises))

    def lossless(self, model: Predictor) -> Quality:
        """Gives the unquantized model's own quality, which the others are held against."""
        pairs = zip(self.samples, self.reference, strict=True) if self.plain else ()
        surprises = [each for pair in pairs for each in following(*pair)]
        return Quality(diverge(self.reference, self.reference), *self._answered(model, surprises))

    def _answered(
        self, model: Predictor, surprises: Sequence[float]
    ) -> tuple[float | None, tuple[Metric, ...]]:
        if self.plain:
            return _perplexity(surprises), ()
        return answered(self.tasks, self.label_tokens, model) if self.tasks else (None, ())


def following(sample: Sample, logits: Logits) -> list[float]:
    """Gives -log P of the token behind each kept context, in nats; the last has none.

    Args:
        sample: its tokens, and the contexts that are kept.
        logits: there, shape [kept positions, vocabulary].
    """
    found: list[float] = []
    for at in range(0, len(sample.keep), _AT_ONCE):
        places = [place + 1 for place in sample.keep[at : at + _AT_ONCE]]
        logs = log_softmax(logits[at : at + _AT_ONCE])
        found += [
            -float(row[sample.ids[place]])
            for row, place in zip(logs, places, strict=True)
            if place < len(sample.ids)
        ]
    return found


def _joined(parts: Sequence[Divergence]) -> Divergence:
    """Gives the mean over all positions; of no position as `diverge` does."""
    positions = sum(part.positions for part in parts)
    if not positions:
        return diverge([], [])
    same = sum(round(part.agreement * part.positions) for part in parts)
    kl = sum(part.kl * part.positions for part in parts) / positions
    return Divergence(positions, same / positions, kl)


def _perplexity(surprises: Sequence[float]) -> float | None:
    mean = sum(surprises) / len(surprises) if surprises else math.nan
    # exp() of more than 700 nats overflows; so surprised a model is broken.
    return math.exp(mean) if mean < 700 else None


def answered(
    tasks: Sequence[Question], label_tokens: Sequence[int], model: Predictor
) -> tuple[float | None, tuple[Metric, ...]]:
    """Gives the expected answers' perplexity and the task's scores, without generating.

    A greedy answer is the expected one if, and only if, each of its tokens is the most probable
    after those before it: `exact_match` needs no generation. `label_accuracy` is given where
    every label is one token, by which is then the most probable of them.
    """
    exact, picked, surprises = [], [], []
    found = model.logits(task.sample for task in tasks)
    for task, logits in zip(tasks, found, strict=True):
        logs = log_softmax(logits)
        surprises += [-float(row[token]) for row, token in zip(logs, task.answer, strict=True)]
        exact.append(tuple(logits.argmax(-1).tolist()) == task.answer)
        if label_tokens:
            best = int(logits[0, np.asarray(label_tokens)].argmax())
            picked.append(best == task.label)
    scores = (share("exact_match", exact), share("label_accuracy", picked))
    return _perplexity(surprises), scores if picked else scores[:1]


def share(name: str, hits: Sequence[bool]) -> Metric:
    """Gives a share with Wilson's 95% interval; of nothing it is None.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    n = len(hits)
    if not n:
        return Metric(name, None, 0)
    value, z2 = sum(hits) / n, _NORMAL**2
    middle = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL / (1 + z2 / n) * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n))
    return Metric(name, value, n, max(0.0, middle - half), min(1.0, middle + half), method="wilson")


@dataclass(frozen=True)
class Made:
    """A file that was written, before it is judged."""

    kind: str
    file: str
    digest: str
    size: int
    seconds: float


@dataclass(frozen=True)
class Speed:
    """What a file costs to run, measured in a process of its own."""

    first_token: float | None = None
    """Median, in milliseconds."""
    decode_speed: float | None = None
    """Median, in tokens a second."""
    peak_memory: int | None = None
    """In bytes."""


@dataclass(frozen=True)
class Judge:
    """Holds each type against the unquantized model."""

    reference: Quality
    settings: QuantizeSettings

    def rung(self, made: Made, compared: Comparison, quality: Quality, speed: Speed) -> Rung:
        """Gives the rung of one type, with each reason why it does not pass."""
        change = _change(quality.perplexity, self.reference.perplexity)
        reasons = tuple(self._reasons(compared, quality, change))
        return Rung(
            type=made.kind,
            file=made.file,
            digest=made.digest,
            size=made.size,
            seconds=made.seconds,
            perplexity=quality.perplexity,
            perplexity_change=change,
            kl=compared.kl,
            next_token_agreement=compared.next_token_agreement,
            passed=not reasons,
            reasons=reasons,
            scores=quality.scores,
            decode_speed=speed.decode_speed,
            first_token=speed.first_token,
            peak_memory=speed.peak_memory,
        )

    def _reasons(
        self, compared: Comparison, quality: Quality, change: float | None
    ) -> Iterator[str]:
        if not compared.passed:
            yield complaint(compared)
        most = self.settings.max_perplexity_change
        if most is not None and not (change is not None and change <= most):
            seen = "is not a number" if change is None else f"rose by {100 * change:.1f}%"
            yield f"perplexity {seen} (at most {100 * most:g}%)"
        if self.settings.max_task_loss is not None:
            yield from self._losses(quality.scores, self.settings.max_task_loss)

    def _losses(self, scores: Sequence[Metric], most: float) -> Iterator[str]:
        if not self.reference.scores:
            yield "no answer could be scored"
        values = {metric.name: metric.value for metric in scores}
        for metric in self.reference.scores:
            value = values.get(metric.name)
            if value is None or metric.value is None:
                yield f"{metric.name} could not be measured"
            elif metric.value - value > most:
                yield (
                    f"{metric.name} fell from {metric.value:.3f} to {value:.3f} of {metric.n} rows "
                    f"(at most by {most:g})"
                )


def _change(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value / reference - 1


def pick(rungs: Iterable[Rung], wanted: str) -> Rung | None:
    """Chooses what ships: the type asked for or the smallest, of those that pass; else None.

    Example::

        pick(rungs, "smallest that passes")
    """
    passed = [rung for rung in rungs if rung.passed and wanted in (SMALLEST, rung.type)]
    return min(passed, key=lambda rung: rung.size, default=None)


def best(rungs: Sequence[Rung], wanted: str) -> Rung:
    """Gives the rung to ship or, if none may, the one that a refusal tells of.

    That is the type asked for, or the one of the least loss.
    """
    asked = [rung for rung in rungs if wanted in (SMALLEST, rung.type)] or rungs
    loss = {id(rung): math.inf if rung.kl is None else rung.kl for rung in asked}
    return pick(rungs, wanted) or min(asked, key=lambda rung: loss[id(rung)])


def superseded(rungs: Sequence[Rung], wanted: str) -> frozenset[str]:
    """Gives the types that will not ship, whatever types are still to come."""
    kept = best(rungs, wanted)
    return frozenset(rung.type for rung in rungs if rung is not kept)


def single_tokens(labels: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Gives the one token of each label, or nothing if a label has more or two share one.

    Args:
        labels: each label's tokens, without the end of the turn.
    """
    found = tuple(tokens[0] for tokens in labels if len(tokens) == 1)
    return found if len(set(found)) == len(labels) else ()
