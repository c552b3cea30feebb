"""Turns a model's answers to a data split into scores with 95% intervals."""

import math
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol

from wherry.contracts import Digest, Message, Metric, ModelRef, Row
from wherry.contracts.errors import DataError, TemplateError
from wherry.evaluate import estimates
from wherry.progress import Report


@dataclass(frozen=True)
class Answer:
    """What a model said to one prompt."""

    text: str
    """The greedy answer up to the end of the turn, without special tokens, not stripped."""
    label_scores: tuple[float, ...]
    """One a label, in the labels' order: log P(label | prompt), see `Answerer.answer`."""


class Answerer(Protocol):
    """A loaded model that answers prompts; one adapter an engine.

    An adapter is made with what it needs, such as
    ``TransformersAnswerer(base, adapter, max_new_tokens=8, batch_size=8, threads=0)``
    (``adapter=None`` for the base itself, ``threads=0`` for all), and loads the model there.
    """

    @property
    def engine(self) -> str:
        """What runs the model: ``transformers`` or ``llama.cpp``."""

    @property
    def template_digest(self) -> Digest:
        """`digest_bytes` of the UTF-8 text of the chat template that it renders with."""

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        """Answers every prompt, greedily, and scores every label as its answer.

        A prompt is rendered with the model's own chat template and opened for the
        assistant's turn (``add_generation_prompt``). A label's score is the sum over its
        tokens (tokenized as the start of that turn, no special tokens added, no end of turn)
        of log-softmax over the whole vocabulary, in nats. A label of one token thus costs
        nothing: it is read off the prefill that the free answer starts from.

        Args:
            prompts: conversations that end before the assistant's turn.
            labels: the label set, or empty if only the free answers are wanted.
            report: told the rows that are done, as ``report.progress(done, len(prompts))``.

        Returns:
            One answer a prompt, in the prompts' order whatever order they ran in.

        Raises:
            DataError: if a prompt and its answer do not fit the model's context, or one
                label's tokens begin another's, so that their scores cannot be compared.
        """


@dataclass(frozen=True)
class Speed:
    """What a file costs to run, measured in a process of its own."""

    first_token: tuple[float, ...]
    """Milliseconds from request to first token, one a run, nothing cached."""
    decode_speed: tuple[float, ...]
    """Tokens a second after the first, one a run."""
    peak_memory: int | None
    """Largest resident memory of that process in bytes; None where it cannot be read."""


@dataclass(frozen=True)
class Prediction:
    """What a model said to one row; a line of the predictions file."""

    id: str
    label: str
    answer: str
    """The free answer, as it came."""
    label_pick: str
    """The label of highest probability; empty without labels."""
    correct: bool
    """Whether the normalised answer is the label, or without labels the completion."""


def refuse_ambiguous(labels: Sequence[str], tokens: Sequence[Sequence[int]]) -> None:
    """Refuses labels whose scores cannot be compared: one's tokens begin another's.

    Args:
        labels: the label set.
        tokens: each label's tokens.

    Raises:
        DataError: naming the two labels.
    """
    for one, other in permutations(range(len(labels)), 2):
        if tuple(tokens[other][: len(tokens[one])]) == tuple(tokens[one]):
            raise DataError(
                f"The tokens of label {labels[one]!r} begin those of {labels[other]!r}, so the "
                "first is never less probable.",
                remedy="Reword one of them.",
            )


def normalise(text: str) -> str:
    """Gives what counts of an answer: case, outer punctuation and spacing do not.

    Example::

        normalise(" Heart. ")  # "heart"
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.strip(string.punctuation + " ")


def predict(
    rows: Sequence[Row], answers: Sequence[Answer], labels: Sequence[str]
) -> list[Prediction]:
    """Judges each answer by its row.

    Raises:
        DataError: if a row's label is not in the label set.
    """
    return [_judged(row, answer, labels) for row, answer in zip(rows, answers, strict=True)]


def _judged(row: Row, answer: Answer, labels: Sequence[str]) -> Prediction:
    if labels and row.label not in labels:
        raise DataError(
            f"Row {row.id} has the label {row.label!r}, which is not in the label set.",
            remedy="Correct the row or the labels and ingest again.",
        )
    wanted = row.label or row.completion
    return Prediction(
        id=row.id,
        label=row.label,
        answer=answer.text,
        label_pick=_most_probable(answer, labels),
        correct=normalise(answer.text) == normalise(wanted),
    )


def _most_probable(answer: Answer, labels: Sequence[str]) -> str:
    # A score that is not a number is no preference; max() would take it for one.
    if not labels or any(math.isnan(score) for score in answer.label_scores):
        return ""
    scored = zip(answer.label_scores, labels, strict=True)
    return max(scored, key=lambda pair: pair[0])[1]


def quality(
    rows: Sequence[Row],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> tuple[Metric, ...]:
    """Gives accuracy, exact match and, with labels, F1 and accuracy by label.

    Args:
        rows: the split.
        predictions: one a row, from `predict`.
        labels: the label set, or empty for free text.
        resamples: of the bootstrap behind F1's intervals.
        seed: of the bootstrap.
    """
    pairs = list(zip(rows, predictions, strict=True))
    metrics = [
        _share("accuracy", [made.correct for made in predictions]),
        _share("exact_match", [made.answer == row.completion for row, made in pairs]),
    ]
    if labels:
        picked = [made.label_pick == made.label for made in predictions]
        metrics += [_share("label_accuracy", picked)]
        metrics += _f1(predictions, labels, resamples, seed)
        for label in labels:
            own = [made.correct for made in predictions if made.label == label]
            metrics += [_share("accuracy", own, label)]
    return tuple(metrics)


def _share(name: str, hits: Sequence[bool], slice_: str = "") -> Metric:
    found = estimates.share(sum(hits), len(hits))
    return _metric(name, found, len(hits), slice=slice_, method="wilson")


def _f1(
    predictions: Sequence[Prediction], labels: Sequence[str], resamples: int, seed: int
) -> list[Metric]:
    number = {normalise(label): index for index, label in enumerate(labels)}
    if len(number) < len(labels):
        raise DataError(
            "Two labels are the same but for case or punctuation.", remedy="Reword one of them."
        )
    truth = [number[normalise(made.label)] for made in predictions]
    guess = [number.get(normalise(made.answer), -1) for made in predictions]
    each, macro = estimates.f1(truth, guess, len(labels), resamples=resamples, seed=seed)
    return [_metric("macro_f1", macro, len(predictions), method="bootstrap")] + [
        _metric("f1", found, truth.count(index), slice=labels[index], method="bootstrap")
        for index, found in enumerate(each)
    ]


def costs(size: int, speed: Speed | None, *, resamples: int, seed: int) -> tuple[Metric, ...]:
    """Gives what a model costs to keep and, if it was measured, to run.

    Args:
        size: of the weights, in bytes.
        speed: what was measured, or None.
        resamples: of the bootstrap behind the medians' intervals.
        seed: of the bootstrap.
    """
    metrics = [Metric("size", size, 1, unit="bytes")]
    if speed is None:
        return tuple(metrics)
    metrics += [Metric("peak_memory", speed.peak_memory, 1, unit="bytes")]
    for name, runs, unit in (
        ("decode_speed", speed.decode_speed, "tokens/s"),
        ("first_token", speed.first_token, "ms"),
    ):
        found = estimates.median(runs, resamples=resamples, seed=seed)
        metrics += [_metric(name, found, len(runs), unit=unit, method="bootstrap")]
    return tuple(metrics)


def _metric(name: str, found: estimates.Estimate, n: int, **more: str) -> Metric:
    return Metric(name, found.value, n, found.low, found.high, **more)


def check_template(answerer: Answerer, model: ModelRef) -> None:
    """Refuses a model that renders with another chat template than it was trained with.

    Raises:
        TemplateError: naming both digests.
    """
    if answerer.template_digest != model.template_digest:
        raise TemplateError(
            f"{model.name} ({model.format}) renders with a chat template of digest "
            f"{answerer.template_digest}, expected {model.template_digest}.",
            remedy="Quantize again from the base that the model was tuned on.",
        )
