"""Writes a run as TensorBoard's event files."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from wherry.contracts.curve import CurvePoint
from wherry.tune.trackers import Recipe, scalars


class EventFiles:
    """A folder of event files; see `wherry.tune.trackers.Tracker`.

    Args:
        recipe: the run's settings.
        folder: made if it is not there.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._recipe = recipe
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def point(self, point: CurvePoint) -> None:
        """Takes a point; the first one hides what a killed run had written from there on."""
        writer = self._writer = self._writer or self._opened(point.step)
        for name, value in scalars(point).items():
            writer.add_scalar(name, value, point.step)
        writer.flush()

    def end(self, *, well: bool) -> None:  # noqa: ARG002 - event files know no end
        """Closes the file."""
        if self._writer:
            self._writer.close()

    def _opened(self, step: int) -> SummaryWriter:
        writer = SummaryWriter(str(self._folder), purge_step=step)
        rows = "".join(f"| {name} | {value} |\n" for name, value in self._recipe.items())
        writer.add_text("recipe", f"| setting | value |\n|---|---|\n{rows}", step)
        return writer
