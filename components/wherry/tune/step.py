"""Turns chat rows into training batches, and training batches into a loss curve.

The model itself stands behind `Learner`, its tokenizer and chat template behind `ChatTokenizer`.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from wherry.contracts import Message, Row
from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import DataError, DivergedError, TemplateError
from wherry.progress import Report
from wherry.tune.settings import TuneSettings

CURVE_POINTS: Final = 40
"""About as many points as a loss curve shows, whatever the number of steps."""
BUCKET: Final = 8
"""Batches are cut from this many batches' rows sorted by length: little padding, much mixing."""


class ChatTokenizer(Protocol):
    """A model's chat template and tokenizer."""

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        """Renders a conversation; `open_turn` opens the assistant's turn at its end."""

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a rendered text, none added."""

    def ends_turn(self, token: int) -> bool:
        """Whether the model stops when it gives this token."""


@dataclass(frozen=True)
class Example:
    """One row as tokens."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    """What the loss is taken on: the answer and the token that ends the turn."""

    @property
    def tokens(self) -> int:
        """The row's length."""
        return len(self.prompt) + len(self.completion)


class Learner(Protocol):
    """A model in training."""

    def learn(self, batch: Sequence[Example], rate: float) -> float:
        """Takes one optimizer step.

        Args:
            batch: rows of similar length.
            rate: the learning rate.

        Returns:
            The mean cross-entropy over the completion tokens before the step, in nats.
        """

    def loss(self, batch: Sequence[Example]) -> float:
        """Gives that mean without learning from it."""


@dataclass(frozen=True)
class Course:
    """How a tuning run went."""

    points: tuple[CurvePoint, ...]
    tokens_per_second: float
    """Of learning alone."""
    seconds: float
    """Of everything."""


def encode(
    rows: Iterable[Row], tokenizer: ChatTokenizer, max_length: int
) -> tuple[tuple[Example, ...], int]:
    """Turns rows into tokens.

    Args:
        rows: conversations that end with the assistant's turn.
        tokenizer: the model's own.
        max_length: in tokens.

    Returns:
        The examples, and how many rows were longer than `max_length` and left out.

    Raises:
        TemplateError: if the template does not tell where the answer begins or ends.
        DataError: if no row is left.
    """
    examples = [encode_row(row, tokenizer) for row in rows]
    kept = tuple(example for example in examples if example.tokens <= max_length)
    if not kept:
        raise DataError(
            f"None of {len(examples)} rows has at most {max_length} tokens.",
            remedy="Raise max_length in the tune settings, or add rows.",
        )
    return kept, len(examples) - len(kept)


def encode_row(row: Row, tokenizer: ChatTokenizer) -> Example:
    """Turns one row into tokens, and finds its completion through the template itself.

    The prompt is rendered as it is when the model is served, the turn opened; what the whole
    conversation has beyond it is the completion, up to the token that ends the turn.

    Raises:
        TemplateError: if the prompt is no beginning of the whole, or nothing ends the turn.
    """
    prompt = tokenizer.render(row.prompt, open_turn=True)
    whole = tokenizer.render(row.messages, open_turn=False)
    if not whole.startswith(prompt):
        raise TemplateError(
            f"Row {row.id!r}: the rendered prompt is no beginning of the rendered conversation, "
            "so where the answer begins is unknown.",
            remedy="Use a chat template that only appends turns.",
        )
    completion = _until_end(tokenizer.encode(whole[len(prompt) :]), tokenizer)
    if not completion:
        raise TemplateError(
            f"Row {row.id!r}: the chat template ends the assistant's turn with no token that the "
            "model stops at: the tuned model would never stop.",
            remedy="Set the tokenizer's eos_token to the token that ends a turn.",
        )
    return Example(tuple(tokenizer.encode(prompt)), completion)


def _until_end(tokens: Sequence[int], tokenizer: ChatTokenizer) -> tuple[int, ...]:
    for position, token in enumerate(tokens, start=1):
        if tokenizer.ends_turn(token):
            return tuple(tokens[:position])
    return ()


def shared_prefix(examples: Sequence[Example]) -> int:
    """Gives how many first tokens all prompts share, short of any prompt's last token.

    A system message and the template's opening are the same in every row: a learner computes
    them once a batch.
    """
    first = examples[0].prompt
    longest = min(len(example.prompt) for example in examples) - 1
    for position in range(longest):
        if any(example.prompt[position] != first[position] for example in examples):
            return position
    return longest


def plan(lengths: Sequence[int], batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """Gives the rows of every batch, all epochs in turn, each batch of rows of similar length."""
    order = random.Random(seed)  # noqa: S311 - a shuffle, no secret
    return [batch for _ in range(epochs) for batch in _epoch(lengths, batch_size, order)]


def _epoch(lengths: Sequence[int], batch_size: int, order: random.Random) -> list[list[int]]:
    rows = list(range(len(lengths)))
    order.shuffle(rows)
    batches: list[list[int]] = []
    for start in range(0, len(rows), batch_size * BUCKET):
        bucket = sorted(rows[start : start + batch_size * BUCKET], key=lengths.__getitem__)
        cut = [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
        order.shuffle(cut)
        batches += cut
    return batches


def rate_at(step: int, steps: int, settings: TuneSettings) -> float:
    """Gives the learning rate of a step, counted from 1: a linear rise, then half a cosine."""
    rise = max(1, round(steps * settings.warmup))
    if step <= rise:
        return settings.learning_rate * step / rise
    done = (step - rise) / (steps - rise + 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def eval_steps(steps: int, points: int) -> frozenset[int]:
    """Gives the steps after which the eval loss is measured; 0 is before the first."""
    if points < 2:
        return frozenset([steps][:points])
    return frozenset(round(steps * i / (points - 1)) for i in range(points))


def tune(
    train: Sequence[Example],
    held_out: Sequence[Example],
    learner: Learner,
    settings: TuneSettings,
    report: Report,
    clock: Callable[[], float],
) -> Course:
    """Trains a learner on all rows and records how its loss falls.

    Args:
        train: the rows to learn from.
        held_out: the rows to measure the eval loss on; may be empty.
        learner: the model.
        settings: the recipe.
        report: told tokens per second, the loss and the time left.
        clock: seconds, from any origin.

    Raises:
        DivergedError: at the first loss that is not a number.
    """
    batches = plan([e.tokens for e in train], settings.batch_size, settings.epochs, settings.seed)
    run = _Run(held_out, learner, settings, len(batches), clock)
    run.measure(0)
    for step, batch in enumerate(batches, start=1):
        run.learn(step, [train[i] for i in batch])
        run.measure(step)
        report.progress(step, len(batches), run.note(step))
    return Course(tuple(run.points), run.tokens_per_second, clock() - run.began)


@dataclass
class _Run:
    """The state of a run between its steps."""

    held_out: Sequence[Example]
    learner: Learner
    settings: TuneSettings
    steps: int
    clock: Callable[[], float]
    points: list[CurvePoint] = field(default_factory=list)
    tokens: int = 0
    learning: float = 0.0
    """Seconds spent in learning alone."""
    _recent: list[tuple[float, int]] = field(default_factory=list)
    _loss: float = math.nan

    def __post_init__(self) -> None:
        self.began = self.clock()
        self._eval_at = eval_steps(self.steps, self.settings.eval_points if self.held_out else 0)
        self._point_every = max(1, self.steps // CURVE_POINTS)

    def learn(self, step: int, batch: Sequence[Example]) -> None:
        started = self.clock()
        loss = self.learner.learn(batch, rate_at(step, self.steps, self.settings))
        self.learning += self.clock() - started
        self._check(step, loss)
        self._loss = loss
        self.tokens += sum(example.tokens for example in batch)
        self._recent.append((loss, sum(len(example.completion) for example in batch)))

    def measure(self, step: int) -> None:
        """Adds a point to the curve, where one is due."""
        due = step in self._eval_at
        if not due and (step == 0 or (step % self._point_every and step != self.steps)):
            return
        eval_loss = self._eval_loss(step) if due else None
        seconds = self.clock() - self.began
        self.points.append(CurvePoint(step, self.tokens, seconds, self._train_loss(), eval_loss))
        self._recent.clear()

    def note(self, step: int) -> str:
        left = self.learning / step * (self.steps - step)
        return f"{self.tokens_per_second:.0f} tok/s, loss {self._loss:.2f}, {left:.0f} s left"

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.learning if self.learning else 0.0

    def _train_loss(self) -> float | None:
        return _mean(self._recent) if self._recent else None

    def _eval_loss(self, step: int) -> float:
        rows = sorted(self.held_out, key=lambda example: example.tokens)
        size = self.settings.batch_size
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        losses = [(self.learner.loss(b), sum(len(e.completion) for e in b)) for b in batches]
        self._check(step, mean := _mean(losses))
        return mean

    def _check(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"The loss is {loss} at step {step} of {self.steps}.",
                remedy="Lower learning_rate in the tune settings; it is now "
                f"{self.settings.learning_rate:g}.",
            )


def _mean(losses: Sequence[tuple[float, int]]) -> float:
    """Gives the mean of losses weighted by their tokens."""
    return sum(loss * n for loss, n in losses) / sum(n for _, n in losses)
