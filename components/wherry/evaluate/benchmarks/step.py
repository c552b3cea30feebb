"""Turns what a harness measured, question by question, into scores with 95% intervals."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np

from wherry.contracts import Digest, Metric, digest_bytes
from wherry.evaluate import estimates
from wherry.progress import Report


@dataclass(frozen=True)
class Question:
    """What a model made of one question; a line of the predictions file.

    Its first fields are those of any prediction, so that two models' can be compared in pairs.
    """

    id: str
    """The task and the question's number in it, such as ``arc_easy/17``."""
    label: str
    """What is right: the number of the choice, or a text."""
    answer: str
    """What the model answered: the number of the most probable choice, or a text."""
    label_pick: str
    """The most probable choice after its length is counted out; else the same as `answer`."""
    correct: bool
    """By the task's first figure."""
    document: str
    """Of the question, as the harness hashes it."""
    prompt: str
    """Of what the model was shown."""
    slices: tuple[str, ...] = ()
    """Its task, such as ``task=arc_easy``."""
    values: Mapping[str, float] = field(default_factory=dict)
    """The figures of this question, by name; empty if they are no numbers."""


@dataclass(frozen=True)
class Figure:
    """One figure of a task or a group, with its 95% interval."""

    name: str
    """Such as ``acc``, ``acc_norm``, ``exact_match``."""
    value: float | None
    n: int
    """Questions that it stands on."""
    low: float | None = None
    high: float | None = None
    method: str = ""
    """How the interval was made: ``wilson``, ``bootstrap``, ``stderr``."""
    hits: int | None = None
    """How many questions are right, if each is right or wrong and the figure their share."""


@dataclass(frozen=True)
class Outcome:
    """What came of one task, or of a group of tasks."""

    name: str
    figures: tuple[Figure, ...]
    members: tuple["Outcome", ...] = ()
    """A group's tasks."""


@dataclass(frozen=True)
class Measured:
    """All that a harness measured."""

    outcomes: tuple[Outcome, ...]
    """Of the tasks and groups that were asked for, in their order."""
    questions: tuple[Question, ...]
    """In the order of tasks and questions."""
    harness: str
    """Which harness, in which version."""


class Harness(Protocol):
    """Runs benchmark tasks on a model that it was made with; one adapter a harness."""

    def measure(self, report: Report) -> Measured:
        """Asks every question of every task.

        Raises:
            MissingError: if a task's data is not there.
            SettingsError: if a task is unknown or cannot be run.
        """


def figure(
    name: str,
    value: float | None,
    values: Sequence[Any],
    aggregate: Callable[[Sequence[Any]], float],
    *,
    resamples: int,
    seed: int,
) -> Figure:
    """Gives a task's figure with its interval: Wilson's for a share, else the bootstrap's.

    Args:
        name: such as ``acc``.
        value: what the harness made of all questions.
        values: of each question, whatever the harness aggregates.
        aggregate: makes one figure of values.
        resamples: how often the questions are drawn anew.
        seed: of the draws.
    """
    n = len(values)
    if value is None or not n:
        return Figure(name, None, n)
    if all(isinstance(each, (int, float)) and each in (0, 1) for each in values):
        hits = int(sum(values))
        if math.isclose(hits / n, value, abs_tol=1e-9):
            return _share(name, hits, n)
    if n == 1:
        return Figure(name, value, n)
    draws = np.random.default_rng(seed).integers(0, n, (resamples, n))
    drawn = [aggregate([values[row] for row in rows]) for rows in draws]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(name, value, n, float(low), float(high), "bootstrap")


def _share(name: str, hits: int, n: int) -> Figure:
    found = estimates.share(hits, n)
    return Figure(name, found.value, n, found.low, found.high, "wilson", hits)


def group_figure(name: str, parts: Sequence[Figure], *, by_size: bool) -> Figure:
    """Gives a group's figure: the mean of its tasks', each by its size or each alike.

    A mean by size of shares is the share of all questions. Else the tasks' errors, which their
    intervals tell, are put together as those of independent numbers.
    """
    n = sum(part.n for part in parts)
    if not parts or any(part.value is None for part in parts):
        return Figure(name, None, n)
    hits = [part.hits for part in parts if part.hits is not None]
    if by_size and len(hits) == len(parts):
        return _share(name, sum(hits), n)
    weights = [part.n / n if by_size else 1 / len(parts) for part in parts]
    value = sum(w * (part.value or 0) for w, part in zip(weights, parts, strict=True))
    reach = math.hypot(*(w * _reach(part) for w, part in zip(weights, parts, strict=True)))
    if math.isinf(reach):
        return Figure(name, value, n)
    low, high = value - reach, value + reach
    if len(hits) == len(parts):
        low, high = max(0.0, low), min(1.0, high)
    return Figure(name, value, n, low, high, "stderr")


def _reach(part: Figure) -> float:
    return math.inf if part.low is None or part.high is None else (part.high - part.low) / 2


def metrics_of(measured: Measured) -> tuple[Metric, ...]:
    """Gives a metric for each figure, such as ``hellaswag_acc_norm``, and accuracy by task.

    A group's tasks are slices of its figure: ``mmlu_acc`` of the slice ``mmlu_anatomy``. Accuracy
    is the share of questions that are right by their task's first figure, over all and of each
    slice ``task=arc_easy``: what two models are compared by, question by question. A task whose
    first figure is no such share, such as a perplexity, has none, nor has all then.
    """
    figures = tuple(
        metric
        for outcome in measured.outcomes
        for owner in (outcome, *outcome.members)
        for metric in _metrics(outcome.name, owner)
    )
    return figures + _accuracies(measured)


def _accuracies(measured: Measured) -> tuple[Metric, ...]:
    questions = measured.questions
    tasks = dict.fromkeys(name for question in questions for name in question.slices)
    graded = {f"task={name}" for name in _graded(measured.outcomes)}
    parts: dict[str, Sequence[Question]] = {"": questions} if graded.isdisjoint(tasks) else {}
    parts |= {t: [q for q in questions if t in q.slices] for t in tasks if t not in graded}
    return tuple(
        replace(
            _metric("accuracy", _share("", sum(q.correct for q in part), len(part))), slice=name
        )
        for name, part in parts.items()
    )


def _graded(outcomes: Sequence[Outcome]) -> set[str]:
    """Gives the tasks of whose questions none is right or wrong."""
    every = (task for outcome in outcomes for task in (outcome, *outcome.members))
    return {task.name for task in every if task.figures and task.figures[0].hits is None}


def _metrics(name: str, outcome: Outcome) -> Iterable[Metric]:
    part = "" if outcome.name == name else outcome.name
    for each in outcome.figures:
        yield replace(_metric(f"{name}_{each.name}", each), slice=part)


def _metric(name: str, figure: Figure) -> Metric:
    ends = (figure.low, figure.high)
    return Metric(name, figure.value, figure.n, *ends, method=figure.method)


def data_digest(questions: Sequence[Question]) -> Digest:
    """Gives the digest of all that was asked: which questions, shown how, with which answers.

    Two runs have the same one if and only if their figures can be compared.
    """
    asked = [(each.id, each.document, each.prompt, each.label) for each in questions]
    return digest_bytes(msgspec.json.encode(asked))
