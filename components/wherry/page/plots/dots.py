"""Dots with whiskers: a value and its 95% interval for each of several series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from wherry.page.plots.frame import LABEL_COLUMNS, Frame, room, ticks
from wherry.page.scales import Scale
from wherry.page.words import clip, percent

SHARE = Scale(0.0, 1.0)
"""The axis of everything that is a share."""

MOST_ROWS: Final = 60
"""Rows that a person still looks through; of more, a table tells all."""


@dataclass(frozen=True)
class Dot:
    """A value to draw, with its interval if it has one."""

    series: str
    value: float
    tip: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Mark:
    """A dot in its place."""

    series: str
    tip: str
    at: float
    start: float | None
    """Where the whisker begins, in percent; None without one."""
    end: float | None
    shift: float = 0.0
    """Pixels below the row's middle, where several whiskers would cover each other."""


@dataclass(frozen=True)
class DotRow:
    """One line of the plot."""

    label: str
    full: str
    """The label unclipped."""
    y: float
    marks: tuple[Mark, ...]
    value: str
    """Set at the end of the row."""
    start: float
    """Where the leftmost dot is: a thin line joins it to the rightmost."""
    end: float


@dataclass(frozen=True)
class DotPlot:
    """Rows of dots over one shared axis."""

    frame: Frame
    rows: tuple[DotRow, ...]


def dot_plot(
    id: str,
    title: str,
    description: str,
    rows: Sequence[tuple[str, Sequence[Dot], str]],
    *,
    row_height: float = 24,
    scale: Scale = SHARE,
    axis: Callable[[float], str] = lambda share: percent(share, 0),
    steps: int = 4,
    apart: float = 0.0,
) -> DotPlot:
    """Lays out rows of ``(label, dots, value)`` over one axis.

    Args:
        id: unique on the page.
        title: of the plot.
        description: what it shows, in a sentence.
        rows: from the top.
        row_height: in pixels.
        scale: of the axis; shares from 0 to 1 if left out.
        axis: gives a tick's text.
        steps: how many the axis has, about.
        apart: pixels between the dots of one row, down the page; 0 sets them on one line.
    """
    frame = Frame(
        id,
        title,
        description,
        height=len(rows) * row_height,
        left=room(label for label, _, _ in rows),
        right=room((value for _, _, value in rows), gap=12, least=20),
        x_ticks=ticks(scale, axis, steps),
    )
    placed = (_row(row, (index + 0.5) * row_height, scale, apart) for index, row in enumerate(rows))
    return DotPlot(frame, tuple(placed))


def _row(row: tuple[str, Sequence[Dot], str], y: float, scale: Scale, apart: float) -> DotRow:
    label, dots, value = row
    places = [scale.at(dot.value) for dot in dots] or [0.0]
    return DotRow(
        label=clip(label, LABEL_COLUMNS),
        full=label,
        y=y,
        marks=tuple(
            _mark(dot, scale, apart * (index - (len(dots) - 1) / 2))
            for index, dot in enumerate(dots)
        ),
        value=value,
        start=min(places),
        end=max(places),
    )


def _mark(dot: Dot, scale: Scale, shift: float) -> Mark:
    ends = (dot.low, dot.high)
    start, end = (None if end is None else scale.at(end) for end in ends)
    return Mark(dot.series, dot.tip, scale.at(dot.value), start, end, shift)
