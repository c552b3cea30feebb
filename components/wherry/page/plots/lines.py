"""Lines over two axes: the loss curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from wherry.page.plots.frame import Frame, Tick, room, ticks, ticks_up, up
from wherry.page.scales import Axis, LogScale, log_scale_of, scale_of
from wherry.page.words import tick

DECADE: Final = 10.0
"""From this ratio of the largest to the smallest value on, a linear axis shows the first alone."""


@dataclass(frozen=True)
class Line:
    """Points to join, in the order of x."""

    series: str
    xs: Sequence[float]
    ys: Sequence[float]
    tips: Sequence[str] = field(default=())
    """One a point if its points are marked; empty for a bare line."""


@dataclass(frozen=True)
class Point:
    """A marked point in its place."""

    series: str
    x: float
    y: float
    tip: str


@dataclass(frozen=True)
class Path:
    """A joined line: x in percent and y in pixels, as SVG path data."""

    series: str
    data: str


@dataclass(frozen=True)
class LinePlot:
    """Lines and marked points over two axes."""

    frame: Frame
    logarithmic: bool
    """Whether the y axis is."""
    paths: tuple[Path, ...]
    points: tuple[Point, ...]


def line_plot(
    id: str,
    title: str,
    description: str,
    lines: Sequence[Line],
    *,
    x_text: Callable[[float], str] = tick,
    height: float = 240,
) -> LinePlot:
    """Lays out lines over axes that begin at 0; y is logarithmic if it spans a decade or more."""
    xs = scale_of((x for line in lines for x in line.xs), include=(0.0,))
    ys = _y_axis([y for line in lines for y in line.ys])
    y_ticks = ticks_up(ys, height, tick)
    frame = Frame(
        id,
        title,
        description,
        height=height,
        left=room((mark.text for mark in y_ticks), gap=12),
        right=22,
        x_ticks=_unique(ticks(xs, x_text)),
        y_ticks=y_ticks,
    )
    return LinePlot(
        frame,
        isinstance(ys, LogScale),
        tuple(Path(line.series, _path(line, xs, ys, height)) for line in lines if line.xs),
        tuple(point for line in lines for point in _points(line, xs, ys, height)),
    )


def _y_axis(values: Sequence[float]) -> Axis:
    if values and min(values) > 0 and max(values) >= DECADE * min(values):
        return log_scale_of(values)
    return scale_of(values, include=(0.0,))


def _path(line: Line, xs: Axis, ys: Axis, height: float) -> str:
    places = (f"{xs.at(x):g} {up(ys, height, y):g}" for x, y in zip(line.xs, line.ys, strict=True))
    return "M" + "L".join(places)


def _points(line: Line, xs: Axis, ys: Axis, height: float) -> list[Point]:
    return [
        Point(line.series, xs.at(x), up(ys, height, y), tip)
        for x, y, tip in zip(line.xs, line.ys, line.tips, strict=False)
    ]


def _unique(marks: Sequence[Tick]) -> tuple[Tick, ...]:
    # A run of two steps has ticks at 0, 0.5, 1: whole steps alone are worth a text.
    return tuple({mark.text: mark for mark in marks}.values())
