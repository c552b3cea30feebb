"""Named points over two measured axes: what one gets for what it costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from wherry.page.plots.frame import Frame, room, ticks, ticks_up, up
from wherry.page.scales import scale_of

_FAR_RIGHT: Final = 70
"""Percent; a name to the right of a point beyond it would leave the plot."""
_WIDTHS: Final = (250, 420)
"""Pixels that a plot is wide, on a telephone and on a desk."""
_LETTER: Final = 7.2
_MARK: Final = 6
"""Pixels from a mark's middle to its edge."""
_GAP: Final = 10
"""Pixels from a mark's middle to its name."""
_LINE: Final = 13
"""Pixels from one name to the next below it."""
_SHIFTS: Final = (0, *(sign * _LINE * lines for lines in range(1, 5) for sign in (-1, 1)))
"""Pixels that a name may be moved by, the least first."""


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
    shift: int = 0
    """Pixels that its name is moved down by, to clear those of others."""


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
        points: in any order; the names of those that lie near each other are moved apart.
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
    spots = [
        Spot(
            point.series,
            point.name,
            point.tip,
            across.at(point.x),
            up(upward, height, point.y),
            across.at(point.x) > _FAR_RIGHT,
        )
        for point in points
    ]
    return ScatterPlot(frame, tuple(_apart(spots, height)))


@dataclass(frozen=True)
class _Box:
    """What a mark or a name covers, in pixels."""

    left: float
    right: float
    middle: float

    def hits(self, other: "_Box") -> bool:
        """Says whether two cover one place."""
        beside = self.right <= other.left or other.right <= self.left
        return not beside and abs(self.middle - other.middle) < _LINE


def _apart(spots: Sequence[Spot], height: float) -> list[Spot]:
    """Moves names, one after another, to where they cover neither a mark nor another name."""
    taken = {wide: [_mark(spot, wide) for spot in spots] for wide in _WIDTHS}
    moved = []
    for spot in spots:
        moved.append(next((way for way in _ways(spot, height) if _is_free(way, taken)), spot))
        for wide, boxes in taken.items():
            boxes.append(_name(moved[-1], wide))
    return moved


def _ways(spot: Spot, height: float) -> Iterator[Spot]:
    """Gives where a name may stand, what moves it least first: up, down, on the other side."""
    for shift in _SHIFTS:
        for left in (spot.left, not spot.left):
            if 0 <= spot.y + shift <= height:
                yield replace(spot, left=left, shift=shift)


def _is_free(way: Spot, taken: Mapping[int, Sequence[_Box]]) -> bool:
    names = {wide: _name(way, wide) for wide in taken}
    inside = all(name.left >= 0 and name.right <= wide for wide, name in names.items())
    return inside and not any(names[wide].hits(box) for wide in taken for box in taken[wide])


def _mark(spot: Spot, wide: int) -> _Box:
    middle = spot.x / 100 * wide
    return _Box(middle - _MARK, middle + _MARK, spot.y)


def _name(spot: Spot, wide: int) -> _Box:
    long, middle = _LETTER * len(spot.name), spot.x / 100 * wide
    near = middle - _GAP if spot.left else middle + _GAP
    first, last = (near - long, near) if spot.left else (near, near + long)
    return _Box(first, last, spot.y + spot.shift)
