"""Tells experiment trackers of a run: the recipe and each point of its curve, nothing else.

A tracker is told, never asked: whatever it raises is said once, and the run goes on without it.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Protocol

from wherry.contracts import Digest
from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import ExtraMissingError, WherryError

_MLFLOW: Final = {
    # A server that is not there would be waited for for minutes, and training with it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # https://mlflow.org/docs/latest/community/usage-tracking/
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Variables that MLflow reads when it is imported, where a person has not set them."""

Watch = Callable[[CurvePoint], None]
Recipe = Mapping[str, str | int | float | bool]


class Tracker(Protocol):
    """A place where people compare runs."""

    def point(self, point: CurvePoint) -> None:
        """Takes a point of the curve; a run that resumed may tell one again."""

    def end(self, *, well: bool) -> None:
        """Hears that the run ended, well or not."""


class Lenient:
    """A tracker that may fail: the run is worth more than its record elsewhere.

    Args:
        name: for the warning.
        begin: gives the tracker.
    """

    def __init__(self, name: str, begin: Callable[[], Tracker]) -> None:
        self._name = name
        self._own: Tracker | None = None
        try:
            self._own = begin()
        except WherryError:
            raise  # what a person has to correct before anything is learnt
        except Exception as error:
            self._give_up(error)

    def point(self, point: CurvePoint) -> None:
        """Takes a point, if the tracker works."""
        if self._own:
            try:
                self._own.point(point)
            except Exception as error:
                self._give_up(error)

    def end(self, *, well: bool) -> None:
        """Ends the tracker, if it works."""
        if self._own:
            try:
                self._own.end(well=well)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._own = None
        # The kind alone: the text of a connection's error may hold the address with a password.
        print(
            f"tune: warning: tracker {self._name} failed ({type(error).__name__}); "
            "the run goes on without it",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def tracked(
    names: Sequence[Literal["mlflow", "tensorboard"]], recipe: Recipe, run: Digest, curve: Path
) -> Iterator[Watch]:
    """Gives what tells all named trackers of a point.

    Args:
        names: the trackers.
        recipe: the run's whole settings.
        run: its identity: a killed run goes on in the same record.
        curve: the file of the loss curve; event files lie beside it.

    Raises:
        ExtraMissingError: if a tracker's package is not installed.
        SettingsError: if a tracker has no address.
    """
    ours = [Lenient(name, _BEGIN[name](recipe, run, curve)) for name in names]

    def watch(point: CurvePoint) -> None:
        for one in ours:
            one.point(point)

    well = False
    try:
        yield watch
        well = True
    finally:
        for one in ours:
            one.end(well=well)


def scalars(point: CurvePoint) -> dict[str, float]:
    """Gives what is plotted of a point, by the names that trackers show."""
    known = {
        "train_loss": point.train_loss,
        "eval_loss": point.eval_loss,
        "tokens": point.tokens,
        "tokens_per_second": point.tokens / point.seconds if point.seconds else None,
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def _mlflow(recipe: Recipe, run: Digest, curve: Path) -> Callable[[], Tracker]:  # noqa: ARG001 - one form
    for name, value in _MLFLOW.items():
        os.environ.setdefault(name, value)
    try:
        from wherry.tune.adapters.mlflow import MlflowRun
    except ModuleNotFoundError as error:
        raise _missing("mlflow", "mlflow-skinny", error) from error
    return lambda: MlflowRun(recipe, run)


def _tensorboard(recipe: Recipe, run: Digest, curve: Path) -> Callable[[], Tracker]:  # noqa: ARG001 - one form
    try:
        from wherry.tune.adapters.tensorboard import EventFiles
    except ModuleNotFoundError as error:
        raise _missing("tensorboard", "tensorboard", error) from error
    return lambda: EventFiles(recipe, curve.with_name(f"{curve.stem}.tensorboard"))


_BEGIN: Final = {"mlflow": _mlflow, "tensorboard": _tensorboard}


def _missing(name: str, package: str, error: ModuleNotFoundError) -> ExtraMissingError:
    return ExtraMissingError(
        f"trackers: {name} needs {error.name}, which is not installed.",
        remedy=f"Run: pip install {package}",
    )
