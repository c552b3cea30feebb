"""Tries recipes within a budget and tells how each went.

What is tried next stands behind `Study`, the tuning of one recipe behind `Trainer`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import DivergedError, MemoryShortError, SettingsError
from wherry.contracts.search import Trial, TrialState, Value
from wherry.progress import Report
from wherry.tune.search.settings import SearchSettings
from wherry.tune.settings import TuneSettings

Watch = Callable[[CurvePoint], None]
Trainer = Callable[[TuneSettings, Watch], float]
"""Tunes by a recipe, has every point of the curve watched, and gives the eval loss of the weights
that were kept. What the watch raises ends it."""
SAME: Final = "the same as trial"
"""Begins the reason of a trial that was not trained again."""


class Pruned(Exception):  # noqa: N818 - no error: a trial that is not worth its time
    """Raised by a watch: the trial is worse than the others."""


class OverBudget(Exception):  # noqa: N818 - no error: the stated end of a search
    """Raised by a watch: the time for all trials is used up."""


@dataclass(frozen=True)
class Proposal:
    """A recipe to try."""

    number: int
    values: dict[str, Value]
    seconds: float = 0.0
    """What it had taken already when it was killed."""


class Study(Protocol):
    """Remembers trials, also after a kill, and says what to try next."""

    def trials(self) -> Sequence[Trial]:
        """Gives all trials so far, in the order of their numbers."""

    def ask(self) -> Proposal:
        """Gives the unfinished trial, if there is one, or begins a new one."""

    def spent(self, number: int, seconds: float) -> None:
        """Remembers how long a trial has taken."""

    def measured(self, number: int, step: int, loss: float) -> bool:
        """Remembers an eval loss; says whether the trial is not worth finishing."""

    def tell(self, number: int, state: TrialState, loss: float | None, reason: str = "") -> None:
        """Ends a trial."""


def search(
    study: Study,
    train: Trainer,
    settings: SearchSettings,
    report: Report,
    clock: Callable[[], float],
) -> tuple[Trial, ...]:
    """Tries recipes until the trials or the minutes are used up.

    Args:
        study: what was tried before, and what is tried next.
        train: tunes by one recipe.
        settings: the space and the budget.
        report: told the trials done and the best loss.
        clock: seconds, from any origin.

    Returns:
        All trials of the study; the last is unfinished if the minutes were used up within it.
    """
    while (left := _seconds_left(study, settings)) > 0 and _ended(study) < settings.trials:
        one = _Attempt(study.ask(), study, clock, left)
        one.carry_out(train, settings)
        report.progress(_ended(study), settings.trials, _note(study))
    return tuple(study.trials())


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Gives the complete trial of the lowest eval loss, the first of equals."""
    done = [t for t in trials if t.state == "complete" and t.eval_loss is not None]
    return min(done, key=lambda t: t.eval_loss or 0.0, default=None)


class _Attempt:
    """One trial under way."""

    def __init__(
        self, asked: Proposal, study: Study, clock: Callable[[], float], left: float
    ) -> None:
        self._asked, self._study, self._clock, self._left = asked, study, clock, left
        self._began = clock()

    def carry_out(self, train: Trainer, settings: SearchSettings) -> None:
        """Tunes by the recipe; whatever else it raises ends the search, the trial unfinished."""
        if (same := self._twin()) is not None:
            self._tell(same.state, same.eval_loss, f"{SAME} {same.number}")
            return
        with suppress(OverBudget):
            try:
                loss = train(settings.recipe_of(self._asked.values), self._watch)
            except Pruned:
                self._tell("pruned")
            except DivergedError as error:
                self._tell("diverged", reason=error.message)
            except (MemoryShortError, SettingsError) as error:
                self._tell("failed", reason=error.message)
            else:
                self._tell("complete", loss)

    def _twin(self) -> Trial | None:
        """Finds an ended trial of the very same recipe, whose result would be the same."""
        ended = (t for t in self._study.trials() if t.state != "unfinished")
        return next((t for t in ended if t.settings == self._asked.values), None)

    @property
    def _seconds(self) -> float:
        return self._asked.seconds + self._clock() - self._began

    def _tell(self, state: TrialState, loss: float | None = None, reason: str = "") -> None:
        self._study.spent(self._asked.number, self._seconds)
        self._study.tell(self._asked.number, state, loss, reason)

    def _watch(self, point: CurvePoint) -> None:
        self._study.spent(self._asked.number, self._seconds)
        loss, number = point.eval_loss, self._asked.number
        if loss is not None and self._study.measured(number, point.step, loss):
            raise Pruned
        if self._clock() - self._began >= self._left:
            raise OverBudget


def _seconds_left(study: Study, settings: SearchSettings) -> float:
    return 60 * settings.minutes - sum(trial.seconds for trial in study.trials())


def _ended(study: Study) -> int:
    return sum(trial.state != "unfinished" for trial in study.trials())


def _note(study: Study) -> str:
    best = best_of(study.trials())
    return f"best eval loss {best.eval_loss:.3f}" if best else ""
