"""Every slice of a share for both models, with intervals."""

from dataclasses import dataclass

from wherry.page.plots.dots import MOST_ROWS, Dot, DotPlot, dot_plot
from wherry.page.view import Key, Signpost
from wherry.page.words import interval, metric, percent, plural
from wherry.report.versus.evidence import Side, Versus

SERIES = ("base", "quantized")
"""The marks of champion and challenger."""


@dataclass(frozen=True)
class PartsSection:
    """What the template shows of classes and groups."""

    signpost: Signpost
    keys: tuple[Key, ...]
    plots: tuple[DotPlot, ...]
    """One a metric."""


def parts_section(versus: Versus) -> PartsSection:
    """Gives the section: each metric that is a share and was taken by slice."""
    names = dict.fromkeys(
        found.name for found in versus.challenger.scores.metrics if found.slice and not found.unit
    )
    plots = tuple(_plot(versus, f"part-{index}", name) for index, name in enumerate(names))
    count = max((len(plot.rows) for plot in plots), default=0)
    sides = zip(SERIES, (versus.champion, versus.challenger), strict=True)
    return PartsSection(
        signpost=Signpost("parts", "By class and group", "none", plural(count, "part")),
        keys=tuple(Key(series, side.title) for series, side in sides),
        plots=plots,
    )


def _plot(versus: Versus, id: str, name: str) -> DotPlot:
    slices = [
        found.slice
        for found in versus.challenger.scores.metrics
        if found.name == name and found.slice
    ]
    moved = sorted(slices, key=lambda slice_: _movement(versus, name, slice_))[-MOST_ROWS:]
    rows = [
        (slice_, _dots(versus, name, slice_), _value(versus, name, slice_))
        for slice_ in slices
        if slice_ in moved
    ]
    title = f"{metric(name)} by class or group"
    if len(rows) < len(slices):
        title += f"; the {len(rows)} of {len(slices)} that differ most"
    return dot_plot(id, title, "Whiskers are 95% intervals.", rows, row_height=26, apart=9)


def _movement(versus: Versus, name: str, slice_: str) -> float:
    one, two = (side.scores.find(name, slice_) for side in (versus.champion, versus.challenger))
    if one is None or two is None or one.value is None or two.value is None:
        return 0.0
    return abs(two.value - one.value)


def _dots(versus: Versus, name: str, slice_: str) -> list[Dot]:
    sides = zip(SERIES, (versus.champion, versus.challenger), strict=True)
    dots = (_dot(series, side, name, slice_) for series, side in sides)
    return [dot for dot in dots if dot]


def _dot(series: str, side: Side, name: str, slice_: str) -> Dot | None:
    found = side.scores.find(name, slice_)
    if found is None or found.value is None:
        return None
    tip = f"{slice_}, {side.title}: {percent(found.value)} ({interval(found.low, found.high)})"
    return Dot(series, found.value, tip, found.low, found.high)


def _value(versus: Versus, name: str, slice_: str) -> str:
    found = versus.challenger.scores.find(name, slice_)
    return percent(found.value if found else None, 0)
