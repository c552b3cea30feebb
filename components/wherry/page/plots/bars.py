"""Bars: horizontal ones for named things, a histogram for ranges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from wherry.page.plots.frame import LABEL_COLUMNS, Frame, Tick, room, ticks, ticks_up
from wherry.page.scales import Scale, scale_of
from wherry.page.words import clip, tick

_LABELS_PIXELS: Final = 270


@dataclass(frozen=True)
class Part:
    """A part of a bar: how much of one series."""

    series: str
    value: float
    tip: str


@dataclass(frozen=True)
class Segment:
    """A part in its place."""

    series: str
    tip: str
    start: float
    """Percent from the left, or pixels from the top."""
    length: float


@dataclass(frozen=True)
class BarRow:
    """One horizontal bar."""

    label: str
    full: str
    y: float
    segments: tuple[Segment, ...]
    value: str


@dataclass(frozen=True)
class BarPlot:
    """Horizontal bars over one shared axis."""

    frame: Frame
    rows: tuple[BarRow, ...]
    thickness: float
    """Of a bar, in pixels."""


@dataclass(frozen=True)
class Stack:
    """One column of a histogram."""

    at: float
    """Its left edge, in percent."""
    width: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Histogram:
    """Columns side by side."""

    frame: Frame
    stacks: tuple[Stack, ...]
    limits: tuple[Tick, ...] = ()
    """Lines that stand for what is allowed, in percent."""


def bar_plot(
    id: str,
    title: str,
    description: str,
    rows: Sequence[tuple[str, Sequence[Part], str]],
    *,
    row_height: float = 20,
    axis: Callable[[float], str] | None = None,
    label_columns: int = LABEL_COLUMNS,
) -> BarPlot:
    """Lays out rows of ``(label, parts, value)`` over an axis that begins at 0.

    Args:
        id: unique on the page.
        title: of the plot.
        description: what it shows, in a sentence.
        rows: from the top.
        row_height: in pixels.
        axis: gives a tick's text; None draws no ticks.
        label_columns: room for a row's label; a longer one is clipped.
    """
    totals = [sum(part.value for part in parts) for _, parts, _ in rows]
    scale = Scale(0.0, max([*totals, 1e-12]))
    frame = Frame(
        id,
        title,
        description,
        height=len(rows) * row_height,
        left=room((label for label, _, _ in rows), most=label_columns),
        right=room((value for _, _, value in rows), gap=12, least=20),
        x_ticks=ticks(scale, axis, 3) if axis else (),
    )
    placed = (
        _row(row, (index + 0.5) * row_height, scale, label_columns)
        for index, row in enumerate(rows)
    )
    return BarPlot(frame, tuple(placed), thickness=round(row_height * 0.6))


def histogram(
    id: str,
    title: str,
    description: str,
    columns: Sequence[tuple[str, Sequence[Part]]],
    *,
    height: float = 168,
    limits: tuple[Tick, ...] = (),
) -> Histogram:
    """Lays out columns of ``(label, parts)``, each part standing on the one before.

    Args:
        id: unique on the page.
        title: of the plot.
        description: what it shows, in a sentence.
        columns: from the left.
        height: in pixels.
        limits: lines to draw across it, in percent from the left.
    """
    scale = scale_of((sum(part.value for part in parts) for _, parts in columns), include=(0.0,))
    width = 100 / max(1, len(columns))
    y_ticks = ticks_up(scale, height, tick)
    frame = Frame(
        id,
        title,
        description,
        height=height,
        left=room((mark.text for mark in y_ticks), gap=12),
        right=16,
        x_ticks=_labels([label for label, _ in columns]),
        y_ticks=y_ticks,
    )
    stacks = (
        Stack(
            round(index * width + width * 0.06, 2),
            round(width * 0.88, 2),
            _stacked(parts, scale, height),
        )
        for index, (_, parts) in enumerate(columns)
    )
    return Histogram(frame, tuple(stacks), limits)


def _row(
    row: tuple[str, Sequence[Part], str], y: float, scale: Scale, label_columns: int
) -> BarRow:
    label, parts, value = row
    return BarRow(clip(label, label_columns), label, y, _placed(parts, scale), value)


def _placed(parts: Sequence[Part], scale: Scale) -> tuple[Segment, ...]:
    ends = [scale.at(end) for end in accumulate(part.value for part in parts)]
    return tuple(
        Segment(part.series, part.tip, start, round(end - start, 2))
        for part, start, end in zip(parts, [0.0, *ends], ends, strict=False)
    )


def _stacked(parts: Sequence[Part], scale: Scale, height: float) -> tuple[Segment, ...]:
    flat = _placed(parts, scale)
    return tuple(
        Segment(
            segment.series,
            segment.tip,
            round(height * (1 - (segment.start + segment.length) / 100), 2),
            round(height * segment.length / 100, 2),
        )
        for segment in flat
    )


def _labels(names: Sequence[str]) -> tuple[Tick, ...]:
    # At 400 pixels some 270 are left for a histogram's labels.
    widest = room(names, gap=12, least=36)
    every = -(-len(names) // max(2, int(_LABELS_PIXELS // widest)))
    return tuple(
        Tick(round(100 * (index + 0.5) / len(names), 2), name)
        for index, name in enumerate(names)
        if index % every == 0
    )
