"""What all plots share: a title, room for labels, and ticks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from wherry.page.scales import Axis
from wherry.page.words import width

LABEL_COLUMNS: Final = 18
"""Longer row labels are clipped; the full one stays in the mark's tooltip."""
_COLUMN_PIXELS: Final = 7.2
"""The mean width of a letter at the 12 pixels that labels are set in, with some reserve."""


@dataclass(frozen=True)
class Tick:
    """A place on an axis with its text."""

    at: float
    """Percent of the width, or pixels from the top."""
    text: str


@dataclass(frozen=True)
class Frame:
    """The box that a plot stands in."""

    id: str
    """Unique on the page: the title's and description's ids are made from it."""
    title: str
    description: str
    """What the plot shows, in a sentence, for those who do not see it."""
    height: float
    """Of the plot area, in pixels."""
    left: float
    """Room for row labels or the y axis, in pixels."""
    right: float
    """Room for the values at the end of rows, in pixels."""
    x_ticks: tuple[Tick, ...] = ()
    y_ticks: tuple[Tick, ...] = ()


def ticks(scale: Axis, text: Callable[[float], str], count: int = 5) -> tuple[Tick, ...]:
    """Gives the ticks of an axis that runs across."""
    return tuple(Tick(scale.at(value), text(value)) for value in scale.ticks(count))


def ticks_up(scale: Axis, height: float, text: Callable[[float], str]) -> tuple[Tick, ...]:
    """Gives the ticks of an axis that runs up."""
    return tuple(Tick(up(scale, height, value), text(value)) for value in scale.ticks())


def up(scale: Axis, height: float, value: float) -> float:
    """Gives the pixels from the top for a value on an axis that runs up."""
    return round(height * (1 - scale.at(value) / 100), 2)


def room(
    texts: Iterable[str], *, gap: float = 18, least: float = 0, most: int = LABEL_COLUMNS
) -> float:
    """Gives the pixels that the widest text takes, clipped to `most` columns, with a gap."""
    columns = max((min(width(text), most) for text in texts), default=0)
    return max(least, round(columns * _COLUMN_PIXELS + gap))
