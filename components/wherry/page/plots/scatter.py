"""Named points over two measured axes: what one gets for what it costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wherry.page.plots.frame import Frame, room, ticks, ticks_up, up
from wherry.page.scales import scale_of

_FAR_RIGHT = 70
"""Percent; a name to the right of a point beyond it would leave the plot."""


@dataclass(frozen=True)
class Point:
    """One thing that was measured twice."""

    series: str
    name: str
    x: float
    y: float
    tip: str


@dataclass(frozen=True)
class Spot:
    """A point in its place."""

    series: str
    name: str
    tip: str
    x: float
    """Percent."""
    y: float
    """Pixels from the top."""
    left: bool
    """Whether its name stands to its left."""


@dataclass(frozen=True)
class ScatterPlot:
    """Points in a frame."""

    frame: Frame
    spots: tuple[Spot, ...]


def scatter_plot(
    id: str,
    title: str,
    description: str,
    points: Sequence[Point],
    *,
    x_axis: Callable[[float], str],
    y_axis: Callable[[float], str],
    height: float = 220,
) -> ScatterPlot:
    """Lays out points; both axes hold all of them and end on ticks.

    Args:
        id: unique on the page.
        title: of the plot.
        description: what it shows, in a sentence.
        points: in any order; those at one place keep all their names.
        x_axis: gives a tick's text.
        y_axis: the same up.
        height: in pixels.
    """
    across, upward = scale_of(point.x for point in points), scale_of(point.y for point in points)
    y_ticks = ticks_up(upward, height, y_axis)
    frame = Frame(
        id,
        title,
        description,
        height=height,
        left=room((tick.text for tick in y_ticks), gap=12),
        right=16,
        x_ticks=ticks(across, x_axis, 4),
        y_ticks=y_ticks,
    )
    spots = (
        Spot(
            point.series,
            point.name,
            point.tip,
            across.at(point.x),
            up(upward, height, point.y),
            across.at(point.x) > _FAR_RIGHT,
        )
        for point in points
    )
    return ScatterPlot(frame, tuple(spots))
