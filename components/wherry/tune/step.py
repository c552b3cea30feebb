"""Trains a learner on examples, and records how its loss falls.

The model itself stands behind `Learner`, what survives a kill behind `Checkpoints`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import DivergedError, PreemptedError
from wherry.progress import Report
from wherry.tune.batches import eval_steps, plan, rate_at
from wherry.tune.examples import Example
from wherry.tune.settings import TuneSettings

CURVE_POINTS: Final = 40
"""About as many points as a loss curve shows, whatever the number of steps."""
WINDOW: Final = 10
"""Steps over which the loss is averaged before it counts as diverged."""


class Learner(Protocol):
    """A model in training."""

    def learn(self, batch: Sequence[Example], rate: float) -> float:
        """Takes one optimizer step.

        Args:
            batch: rows of similar length.
            rate: the learning rate.

        Returns:
            The batch's mean loss before the step; of cross-entropy in nats a token.
        """

    def loss(self, batch: Sequence[Example]) -> float:
        """Gives that mean without learning from it."""

    def keep(self) -> None:
        """Remembers the weights as the best so far."""

    def restore(self) -> None:
        """Goes back to the weights that `keep` remembered."""

    def save_state(self, folder: Path) -> None:
        """Writes all that the next step depends on: weights, optimizer, random states."""

    def load_state(self, folder: Path) -> None:
        """Goes on where `save_state` left."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come: what a checkpoint holds besides the learner's state."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """Of everything so far, without what a kill lost."""
    learning: float = 0.0
    """Of learning alone."""
    points: tuple[CurvePoint, ...] = ()
    recent: tuple[tuple[float, int], ...] = ()
    """Loss and weight of each step since the last point."""
    first: tuple[float, ...] = ()
    """The losses of the first steps."""
    last: tuple[float, ...] = ()
    """The losses of the last steps."""
    best: float | None = None
    """The lowest eval loss."""
    best_step: int = 0
    waited: int = 0
    """Measurements since then."""


class Checkpoints(Protocol):
    """What survives a kill."""

    def resume(self, learner: Learner) -> Progress | None:
        """Brings the learner to the last whole checkpoint of the same run, if there is one."""

    def save(self, progress: Progress, learner: Learner) -> None:
        """Keeps a checkpoint, whole or not at all."""

    def leaving(self) -> bool:
        """Whether the machine is wanted back: the run saves a checkpoint and ends."""


class NoCheckpoints:
    """Keeps nothing."""

    def resume(self, learner: Learner) -> Progress | None:  # noqa: ARG002 - the Protocol's form
        """Starts anew."""
        return None

    def save(self, progress: Progress, learner: Learner) -> None:
        """Does nothing."""

    def leaving(self) -> bool:
        """Goes on to the end: nothing could be saved."""
        return False


@dataclass(frozen=True)
class Course:
    """How a tuning run went."""

    points: tuple[CurvePoint, ...]
    tokens_per_second: float
    """Of learning alone."""
    seconds: float
    """Of everything."""
    steps: int
    """Optimizer steps done; fewer than planned if it stopped early."""
    kept_step: int
    """The step whose weights were kept."""
    resumed_at: int = 0
    """The step of the checkpoint that it went on from; 0 if it started anew."""


def tune(
    train: Sequence[Example],
    held_out: Sequence[Example],
    learner: Learner,
    settings: TuneSettings,
    report: Report,
    clock: Callable[[], float],
    checkpoints: Checkpoints | None = None,
    watch: Callable[[CurvePoint], None] | None = None,
) -> Course:
    """Trains a learner on all rows and records how its loss falls.

    Args:
        train: the rows to learn from.
        held_out: the rows to measure the eval loss on; may be empty.
        learner: the model.
        settings: the recipe.
        report: told tokens per second, the loss and the time left.
        clock: seconds, from any origin.
        checkpoints: where a killed run goes on from; None to start anew.
        watch: told every point of the curve when it is measured; what it raises ends the run.

    Raises:
        DivergedError: at the first loss that is not a number, or when the loss has risen to a
            multiple of where it began.
        PreemptedError: if the machine was wanted back; a checkpoint is saved.
    """
    batches = plan([e.tokens for e in train], settings.batch_size, settings.epochs, settings.seed)
    run = _Run(held_out, learner, settings, len(batches), clock, watch or _unwatched)
    run.resume(checkpoints := checkpoints or NoCheckpoints())
    run.measure(run.step)
    for step, batch in enumerate(batches[run.step :], start=run.step + 1):
        run.learn(step, [train[i] for i in batch])
        run.measure(step)
        report.progress(step, len(batches), run.note(step))
        if run.hopeless:
            break
        leaving = checkpoints.leaving()
        if leaving or (settings.checkpoint_every and step % settings.checkpoint_every == 0):
            checkpoints.save(run.progress, learner)
        if leaving:
            raise _preempted(step, len(batches))
    return run.finish()


@dataclass
class _Run:
    """The state of a run between its steps."""

    held_out: Sequence[Example]
    learner: Learner
    settings: TuneSettings
    steps: int
    clock: Callable[[], float]
    watch: Callable[[CurvePoint], None]
    step: int = 0
    tokens: int = 0
    learning: float = 0.0
    points: list[CurvePoint] = field(default_factory=list)
    _recent: list[tuple[float, int]] = field(default_factory=list)
    _first: list[float] = field(default_factory=list)
    _last: list[float] = field(default_factory=list)
    _best: float | None = None
    _best_step: int = 0
    _waited: int = 0
    _resumed_at: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._eval_at = eval_steps(self.steps, self.settings.eval_points if self.held_out else 0)
        self._point_every = max(1, self.steps // CURVE_POINTS)

    def resume(self, checkpoints: Checkpoints) -> None:
        """Takes over what a killed run had reached."""
        if (found := checkpoints.resume(self.learner)) is None:
            return
        self.step = self._resumed_at = found.step
        self.tokens, self.learning = found.tokens, found.learning
        self.points, self._recent = list(found.points), list(found.recent)
        self._first, self._last = list(found.first), list(found.last)
        self._best, self._best_step, self._waited = found.best, found.best_step, found.waited
        self._began -= found.seconds

    @property
    def progress(self) -> Progress:
        return Progress(
            step=self.step,
            tokens=self.tokens,
            seconds=self.clock() - self._began,
            learning=self.learning,
            points=tuple(self.points),
            recent=tuple(self._recent),
            first=tuple(self._first),
            last=tuple(self._last),
            best=self._best,
            best_step=self._best_step,
            waited=self._waited,
        )

    def learn(self, step: int, batch: Sequence[Example]) -> None:
        started = self.clock()
        loss = self.learner.learn(batch, rate_at(step, self.steps, self.settings))
        self.learning += self.clock() - started
        self.step = step
        self._check(loss)
        self.tokens += sum(example.tokens for example in batch)
        self._recent.append((loss, _weight(batch)))

    def measure(self, step: int) -> None:
        """Adds a point to the curve, where one is due."""
        if self.points and self.points[-1].step == step:
            return  # the checkpoint that we went on from has it
        due = step in self._eval_at
        if not due and (step == 0 or (step % self._point_every and step != self.steps)):
            return
        eval_loss = self._eval_loss() if due else None
        seconds = self.clock() - self._began
        self.points.append(CurvePoint(step, self.tokens, seconds, self._train_loss(), eval_loss))
        self._recent.clear()
        self.watch(self.points[-1])

    def note(self, step: int) -> str:
        left = self.learning / step * (self.steps - step)
        return f"{self.tokens_per_second:.0f} tok/s, loss {self._last[-1]:.2f}, {left:.0f} s left"

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.learning if self.learning else 0.0

    @property
    def hopeless(self) -> bool:
        """Whether the eval loss has not fallen for as long as the recipe waits."""
        return 0 < self.settings.patience <= self._waited

    def finish(self) -> Course:
        """Goes back to the best weights, if the recipe says so, and tells how it went."""
        kept = self.step
        if self.settings.keep_best and self._best is not None and self._best_step != self.step:
            self.learner.restore()
            kept = self._best_step
        seconds = self.clock() - self._began
        return Course(
            tuple(self.points), self.tokens_per_second, seconds, self.step, kept, self._resumed_at
        )

    def _train_loss(self) -> float | None:
        return _mean(self._recent) if self._recent else None

    def _eval_loss(self) -> float:
        rows = sorted(self.held_out, key=lambda example: example.tokens)
        size = self.settings.batch_size
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        mean = _mean([(self.learner.loss(b), _weight(b)) for b in batches])
        self._refuse_no_number(mean)
        self._judge(mean)
        return mean

    def _judge(self, loss: float) -> None:
        if self._best is None or loss < self._best:
            self._best, self._best_step, self._waited = loss, self.step, 0
            if self.settings.keep_best:
                self.learner.keep()
        else:
            self._waited += 1

    def _check(self, loss: float) -> None:
        self._refuse_no_number(loss)
        if len(self._first) < WINDOW:
            self._first.append(loss)
        self._last = [*self._last[-WINDOW + 1 :], loss]
        began, now = sum(self._first) / len(self._first), sum(self._last) / len(self._last)
        if self.step >= 2 * WINDOW and now > self.settings.diverged_at * began:
            raise DivergedError(
                f"The loss has risen from {began:.3g} to {now:.3g} at step {self.step} of "
                f"{self.steps}.",
                remedy=_slower(self.settings),
            )

    def _refuse_no_number(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"The loss is {loss} at step {self.step} of {self.steps}.",
                remedy=_slower(self.settings),
            )


def _unwatched(point: CurvePoint) -> None:
    """Does nothing."""


def _preempted(step: int, steps: int) -> PreemptedError:
    return PreemptedError(
        f"The machine was wanted back at step {step} of {steps}.",
        remedy="A checkpoint is saved: the same command goes on from it.",
    )


def _slower(settings: TuneSettings) -> str:
    return (
        f"Lower learning_rate in the tune settings; it is now {settings.learning_rate:g}. "
        "A longer warmup or a smaller clip_norm helps too."
    )


def _weight(batch: Sequence[Example]) -> int:
    """Gives what a batch's mean loss stands for: completion tokens, or pairs of answers."""
    return sum(1 if example.rejected else len(example.completion) for example in batch)


def _mean(losses: Sequence[tuple[float, int]]) -> float:
    """Gives the mean of losses weighted by their tokens."""
    return sum(loss * n for loss, n in losses) / sum(n for _, n in losses)
