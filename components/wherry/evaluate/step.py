"""Turns a model's answers to a data split into scores with 95% intervals."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Protocol

from wherry.contracts import Digest, Message, Metric, ModelRef, Row
from wherry.contracts.errors import DataError, TemplateError
from wherry.evaluate import estimates
from wherry.evaluate.answers import normalise as normalise
from wherry.evaluate.estimates import Draws
from wherry.evaluate.journal import Journal
from wherry.evaluate.likelihoods import likelihoods
from wherry.evaluate.measures.choice import Chosen
from wherry.evaluate.measures.likelihood import TERMS, likelihood_terms
from wherry.evaluate.measures.measure import Measure, Terms
from wherry.evaluate.predictions import Answer as Answer
from wherry.evaluate.predictions import Likelihood as Likelihood
from wherry.evaluate.predictions import Prediction as Prediction
from wherry.evaluate.raw.step import RawModel
from wherry.evaluate.slices import Slicing
from wherry.progress import Report


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


def label_tokens(
    encode: Callable[[str], Sequence[int]], opened: str, labels: Sequence[str]
) -> list[tuple[int, ...]]:
    """Tokenizes each label where it will stand, for a tokenizer may look to the left.

    Args:
        encode: turns a rendered text into tokens.
        opened: a rendered prompt; what it ends with is that of all prompts.
        labels: the label set.

    Raises:
        DataError: if a label has no tokens of its own there, or those that begin another's.
    """
    start = tuple(encode(opened))
    tokens = []
    for label in labels:
        whole = tuple(encode(opened + label))
        if whole[: len(start)] != start or len(whole) == len(start):
            raise DataError(
                f"The label {label!r} has no tokens of its own after the prompt.",
                remedy="Reword it.",
            )
        tokens.append(whole[len(start) :])
    _refuse_ambiguous(labels, tokens)
    return tokens


def _refuse_ambiguous(labels: Sequence[str], tokens: Sequence[Sequence[int]]) -> None:
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
                remedy="Reword one of them, or name measures without label_accuracy and "
                "calibration_error.",
            )


@dataclass(frozen=True)
class Exam:
    """Rows, and what is wanted of the answers to them."""

    rows: Sequence[Row]
    labels: Sequence[str]
    chosen: Chosen
    slicing: Slicing = Slicing(())  # noqa: RUF009  # frozen

    @cached_property
    def names(self) -> frozenset[str]:
        """What answers are held against: the labels as `normalise` has them."""
        return frozenset(map(normalise, self.labels))

    def part(self, start: int, end: int) -> "Exam":
        """Gives the same of some of the rows."""
        return Exam(self.rows[start:end], self.labels, self.chosen, self.slicing)


@dataclass(frozen=True)
class Model:
    """A model in the forms that it is asked in; None where that is not wanted."""

    answerer: Answerer | None
    raw: RawModel | None = None
    """The same model, asked in tokens, for the probabilities of the references."""

    @property
    def engine(self) -> str:
        """What runs the model."""
        return next(form.engine for form in (self.answerer, self.raw) if form)


def examine(
    exam: Exam, model: Model, journal: Journal, part: int, report: Report
) -> list[Prediction]:
    """Asks a model every row, some rows at a time, and keeps what it said as it comes.

    Rows are always asked in the same parts, whatever was kept by a killed run: an engine that
    answers a batch alike each time then ends with the very same predictions.

    Args:
        exam: what is asked.
        model: in the forms that the exam's measures need.
        journal: where what was made is kept, and what a killed run made.
        part: rows asked before they are kept.
        report: told the rows that are done.

    Raises:
        DataError: if a row's label is not in the label set.
    """
    _refuse_unknown_labels(exam)
    journal.cut(_usable(journal.kept, exam.rows, part))
    made = list(journal.kept)
    for start in range(len(made), len(exam.rows), part):
        asked = exam.part(start, start + part)
        told = _Stretch(report, start, len(asked.rows), len(exam.rows))
        made += (new := _examined(asked, model, told))
        journal.keep(new)
    return made


def _refuse_unknown_labels(exam: Exam) -> None:
    """Refuses before hours are spent on the other rows."""
    for row in exam.rows if exam.labels else ():
        if row.label not in exam.labels:
            raise DataError(
                f"Row {row.id} has the label {row.label!r}, which is not in the label set.",
                remedy="Correct the row or the labels and ingest again.",
            )


def _usable(kept: Sequence[Prediction], rows: Sequence[Row], part: int) -> int:
    """Gives how many first predictions are of whole parts of these rows."""
    if len(kept) > len(rows) or any(one.id != row.id for one, row in zip(kept, rows, strict=False)):
        return 0
    return len(kept) if len(kept) == len(rows) else len(kept) // part * part


@dataclass(frozen=True)
class _Stretch:
    """Reports the progress of some rows as that of all."""

    report: Report
    start: float
    """Rows done before."""
    rows: float
    """Of this stretch."""
    total: int
    """Of the whole exam."""

    def halves(self) -> tuple["_Stretch", "_Stretch"]:
        """Gives two, for rows that are gone through twice."""
        first = replace(self, rows=self.rows / 2)
        return first, replace(first, start=self.start + first.rows)

    def progress(self, done: float, total: float, note: str = "") -> None:
        behind = self.start + self.rows * (done / total if total else 1)
        self.report.progress(behind, self.total, note or "rows answered")

    def verdict(self, text: str) -> None:
        self.report.verdict(text)


def _examined(exam: Exam, model: Model, told: _Stretch) -> list[Prediction]:
    first, second = told.halves() if model.raw and model.answerer else (told, told)
    scored = likelihoods(model.raw, exam.rows, first) if model.raw else ()
    answers: Sequence[Answer] = [Answer("", ())] * len(exam.rows)
    if model.answerer:
        labels = exam.labels if exam.chosen.label_scores else ()
        answers = model.answerer.answer([row.prompt for row in exam.rows], labels, second)
    return predict(exam, answers, scored)


def predict(
    exam: Exam, answers: Sequence[Answer], likelihoods: Sequence[Likelihood] = ()
) -> list[Prediction]:
    """Judges each answer by its row.

    Args:
        exam: the rows and what is wanted of the answers.
        answers: one a row.
        likelihoods: of the references, one a row; or none.
    """
    scored: Sequence[Likelihood | None] = likelihoods or [None] * len(answers)
    return [_judged(exam, *each) for each in zip(exam.rows, answers, scored, strict=True)]


def _judged(exam: Exam, row: Row, answer: Answer, scored: Likelihood | None) -> Prediction:
    pick, confidence = _most_probable(answer, exam.labels)
    return Prediction(
        id=row.id,
        label=row.label,
        answer=answer.text,
        label_pick=pick,
        correct=_is_right(answer.text, row, exam.names),
        exact=answer.text == row.completion,
        confidence=confidence,
        slices=exam.slicing.of(row),
        terms=_terms(exam.chosen, answer.text, row.completion, scored),
    )


def _is_right(answer: str, row: Row, names: Collection[str]) -> bool:
    """Says whether an answer is the row's label, or its last turn where that is no class's name."""
    said = normalise(answer)
    if said in names:
        return said == normalise(row.label)
    return said == normalise(row.completion or row.label)


def _terms(
    chosen: Chosen, answer: str, reference: str, scored: Likelihood | None
) -> Mapping[str, tuple[float, ...]]:
    terms: dict[str, Terms] = {n: take(answer, reference) for n, take in chosen.terms.items()}
    # A model whose weights are broken finds a text NaN probable: JSON has no word for that.
    if scored is not None and math.isfinite(scored.nats):
        terms[TERMS] = likelihood_terms(scored, reference)
    return {name: tuple(map(float, found)) for name, found in terms.items()}


def _most_probable(answer: Answer, labels: Sequence[str]) -> tuple[str, float | None]:
    """Gives the label of the best score, and its share of the probability of all labels."""
    scores = answer.label_scores
    # A score that is not a number is no preference; max() would take it for one.
    if not labels or not scores or any(math.isnan(score) for score in scores):
        return "", None
    best, pick = max(zip(scores, labels, strict=True), key=lambda pair: pair[0])
    if not all(map(math.isfinite, scores)):
        return pick, None
    # Six digits: an engine's rounding in the last bit is nothing that anyone should see.
    return pick, round(1 / sum(math.exp(score - best) for score in scores), 6)


def quality(
    predictions: Sequence[Prediction],
    measures: Sequence[Measure],
    labels: Sequence[str],
    slicing: Slicing,
    draws: Draws,
) -> tuple[Metric, ...]:
    """Counts predictions by every measure, over all rows and over each slice.

    Args:
        predictions: one a row, from `predict`.
        measures: what is counted.
        labels: the label set, or empty for free text.
        slicing: which slices have scores of their own.
        draws: of the bootstrap behind intervals.
    """
    metrics = [one for measure in measures for one in measure.metrics(predictions, draws)]
    for slice_, rows, of_class in _slices(predictions, labels, slicing):
        for measure in measures:
            if not (of_class and measure.whole):
                metrics += measure.metrics(rows, draws, slice_)
    return tuple(metrics)


def _slices(
    predictions: Sequence[Prediction], labels: Sequence[str], slicing: Slicing
) -> Iterator[tuple[str, list[Prediction], bool]]:
    """Gives each slice's name, its predictions, and whether it is one class."""
    for label in labels if "label" in slicing.by else ():
        yield label, [made for made in predictions if made.label == label], True
    for name in slicing.named([made.slices for made in predictions]):
        yield name, [made for made in predictions if name in made.slices], False


def costs(size: int, speed: Speed | None, draws: Draws) -> tuple[Metric, ...]:
    """Gives what a model costs to keep and, if it was measured, to run.

    Args:
        size: of the weights, in bytes.
        speed: what was measured, or None.
        draws: of the bootstrap behind the medians' intervals.
    """
    metrics = [Metric("size", size, 1, unit="bytes")]
    if speed is None:
        return tuple(metrics)
    metrics += [Metric("peak_memory", speed.peak_memory, 1, unit="bytes")]
    return (
        *metrics,
        _median("decode_speed", speed.decode_speed, "tokens/s", draws),
        _median("first_token", speed.first_token, "ms", draws),
        *_slowest("first_token", speed.first_token),
    )


def latencies(runs: Sequence[float]) -> tuple[Metric, ...]:
    """Gives how long whole answers took, as whoever asked saw it.

    Args:
        runs: milliseconds, one an answer.
    """
    return _quantile("latency", runs, 0.5), *_slowest("latency", runs)


def _slowest(name: str, runs: Sequence[float]) -> tuple[Metric, ...]:
    """Gives the 95th percentile of runs enough."""
    if len(runs) < estimates.FEWEST_FOR_P95:
        return ()
    return (_quantile(f"{name}_p95", runs, 0.95),)


def _quantile(name: str, runs: Sequence[float], at: float) -> Metric:
    found = estimates.quantile(runs, at)
    ends = (found.low, found.high)
    return Metric(name, found.value, len(runs), *ends, unit="ms", method="binomial")


def _median(name: str, runs: Sequence[float], unit: str, draws: Draws) -> Metric:
    found = estimates.median(runs, draws)
    ends = (found.low, found.high)
    return Metric(name, found.value, len(runs), *ends, unit=unit, method="bootstrap")


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
