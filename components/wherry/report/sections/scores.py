"""Scores: each metric with its interval for the three models, and each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wherry.contracts.scores import Metric
from wherry.page.plots.dots import MOST_ROWS, Dot, DotPlot, dot_plot
from wherry.page.scales import scale_of
from wherry.page.view import Key, Signpost
from wherry.page.words import MISSING, interval, metric, percent, tick
from wherry.report.evidence import Evidence
from wherry.report.headline import Figure, figure, is_likelihood, told
from wherry.report.sections.verdict import model_name, summary

_CLASS: Final = ("class", "classes")


@dataclass(frozen=True)
class FigureRow:
    """One metric or class for all three models."""

    name: str
    n: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class SliceBlock:
    """One metric by class, as a table."""

    name: str
    rows: tuple[FigureRow, ...]


@dataclass(frozen=True)
class ScoresSection:
    """What the template shows of the scores."""

    signpost: Signpost
    keys: tuple[Key, ...]
    headlines: tuple[DotPlot, ...]
    figures: tuple[FigureRow, ...]
    by_class: DotPlot | None
    """F1 if it was measured, else the first metric by class."""
    slices: tuple[SliceBlock, ...]
    split: str
    n: int
    engines: str


def scores_section(evidence: Evidence) -> ScoresSection:
    """Gives the scores section: whatever shares and likelihoods were measured, by any model."""
    names, sliced = _names(evidence, sliced=False), _names(evidence, sliced=True)
    counts = [found.n for name in names if (found := evidence.quantized.find(name))]
    return ScoresSection(
        signpost=Signpost("scores", "Scores", "none", summary(evidence)),
        keys=tuple(Key(series, model_name(series, evidence)) for series, _ in evidence.models),
        headlines=tuple(
            _headline(evidence, f"score-{index}", name) for index, name in enumerate(names)
        ),
        figures=tuple(_figures(evidence, name, "", metric(name)) for name in names),
        by_class=_class_plot(evidence, _shares(evidence, sliced)),
        slices=tuple(_block(evidence, name) for name in sliced),
        split=evidence.quantized.split,
        n=max(counts, default=0),
        engines=_engines(evidence),
    )


def _names(evidence: Evidence, *, sliced: bool) -> list[str]:
    """Gives the names of all scores, over all rows or by slice, in their order."""
    return list(
        dict.fromkeys(
            found.name
            for _, scores in reversed(evidence.models)
            for found in scores.metrics
            if bool(found.slice) == sliced and (_is_share(found) or is_likelihood(found))
        )
    )


def _shares(evidence: Evidence, names: Sequence[str]) -> list[str]:
    units = {found.name: found.unit for _, scores in evidence.models for found in scores.metrics}
    return [name for name in names if not units[name]]


def _is_share(found: Metric) -> bool:
    return not found.unit and (found.value is None or 0 <= found.value <= 1)


def _headline(evidence: Evidence, id: str, name: str) -> DotPlot:
    rows = []
    for series, scores in evidence.models:
        found = scores.find(name)
        label = model_name(series, evidence)
        rows.append((label, _dots(series, label, found), told(found) if found else MISSING))
    summary = ", ".join(f"{label} {value}" for label, _, value in rows)
    about = f"{summary}; whiskers are 95% intervals."
    dots = [dot for _, drawn, _ in rows for dot in drawn]
    if not any(found and found.unit for found in _all(evidence, name)):
        return dot_plot(id, metric(name), about, rows)
    ends = [end for dot in dots for end in (dot.low, dot.value, dot.high) if end is not None]
    return dot_plot(id, metric(name), about, rows, scale=scale_of(ends), axis=tick)


def _all(evidence: Evidence, name: str, slice_: str = "") -> list[Metric | None]:
    return [scores.find(name, slice_) for _, scores in evidence.models]


def _dots(series: str, name: str, found: Metric | None) -> list[Dot]:
    if found is None or found.value is None:
        return []
    words = interval(found.low, found.high, found.unit)
    tip = f"{name}: {told(found)}" + (f" ({words})" if words else "")
    return [Dot(series, found.value, tip, found.low, found.high)]


def _class_plot(evidence: Evidence, names: Sequence[str]) -> DotPlot | None:
    if not names:
        return None
    name = "f1" if "f1" in names else names[0]
    slices = _sorted_slices(evidence, name)
    drawn = slices[-MOST_ROWS:]
    part, parts = ("group", "groups") if any("=" in each for each in slices) else _CLASS
    which = f"{len(slices)}" if drawn == slices else f"The lowest {len(drawn)} of {len(slices)}"
    return dot_plot(
        "by-class",
        f"{metric(name)} by {part}",
        f"{which} {parts}, sorted by the quantized file's {metric(name)}.",
        [_slice_row(evidence, name, slice_) for slice_ in drawn],
        row_height=22,
    )


def _block(evidence: Evidence, name: str) -> SliceBlock:
    slices = _sorted_slices(evidence, name)
    rows = tuple(_figures(evidence, name, slice_, slice_) for slice_ in slices)
    return SliceBlock(metric(name), rows)


def _sorted_slices(evidence: Evidence, name: str) -> list[str]:
    found = dict.fromkeys(
        m.slice
        for _, scores in reversed(evidence.models)
        for m in scores.metrics
        if m.name == name and m.slice
    )
    return sorted(found, key=lambda slice_: -_value(evidence, name, slice_))


def _value(evidence: Evidence, name: str, slice_: str) -> float:
    found = evidence.quantized.find(name, slice_)
    return -1.0 if found is None or found.value is None else found.value


def _slice_row(evidence: Evidence, name: str, slice_: str) -> tuple[str, Sequence[Dot], str]:
    dots: list[Dot] = []
    for series, scores in evidence.models:
        found = scores.find(name, slice_)
        drawn = _dots(series, f"{slice_}, {model_name(series, evidence)}", found)
        # Three whiskers on one line are a thicket: only what ships keeps its own.
        dots += drawn if series == "quantized" else [_bare(dot) for dot in drawn]
    last = evidence.quantized.find(name, slice_)
    return slice_, dots, percent(last.value if last else None, 0)


def _bare(dot: Dot) -> Dot:
    return Dot(dot.series, dot.value, dot.tip)


def _figures(evidence: Evidence, name: str, slice_: str, title: str) -> FigureRow:
    found = _all(evidence, name, slice_)
    rows = max((each.n for each in found if each), default=0)
    return FigureRow(title, rows, tuple(map(figure, found)))


def _engines(evidence: Evidence) -> str:
    used = (
        f"{model_name(series, evidence).lower()} by {scores.engine}"
        for series, scores in evidence.models
        if scores.engine
    )
    return ", ".join(used)
