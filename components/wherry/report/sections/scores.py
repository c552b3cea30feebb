"""Scores: each metric with its interval for the three models, and each class."""

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.contracts.scores import Metric
from wherry.page.plots.dots import Dot, DotPlot, dot_plot
from wherry.page.view import Key, Signpost
from wherry.page.words import MISSING, interval, metric, percent
from wherry.report.evidence import Evidence
from wherry.report.sections.verdict import gain, model_name


@dataclass(frozen=True)
class Figure:
    """A value with its interval, as a table cell."""

    value: str
    interval: str


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
    """Gives the scores section: whatever shares were measured, by any model."""
    names, sliced = _names(evidence, sliced=False), _names(evidence, sliced=True)
    counts = [found.n for name in names if (found := evidence.quantized.find(name))]
    return ScoresSection(
        signpost=_signpost(evidence),
        keys=tuple(Key(series, model_name(series, evidence)) for series, _ in evidence.models),
        headlines=tuple(
            _headline(evidence, f"score-{index}", name) for index, name in enumerate(names)
        ),
        figures=tuple(_figures(evidence, name, "", metric(name)) for name in names),
        by_class=_class_plot(evidence, sliced),
        slices=tuple(_block(evidence, name) for name in sliced),
        split=evidence.quantized.split,
        n=max(counts, default=0),
        engines=_engines(evidence),
    )


def _signpost(evidence: Evidence) -> Signpost:
    found = evidence.quantized.find("accuracy")
    share = percent(found.value if found else None)
    return Signpost("scores", "Scores", "none", f"{share} accuracy, {gain(evidence)}")


def _names(evidence: Evidence, *, sliced: bool) -> list[str]:
    """Gives the names of all shares, over all rows or by slice, in their order."""
    return list(
        dict.fromkeys(
            found.name
            for _, scores in reversed(evidence.models)
            for found in scores.metrics
            if not found.unit and bool(found.slice) == sliced and _is_share(found)
        )
    )


def _is_share(found: Metric) -> bool:
    return found.value is None or 0 <= found.value <= 1


def _headline(evidence: Evidence, id: str, name: str) -> DotPlot:
    rows = []
    for series, scores in evidence.models:
        found = scores.find(name)
        label = model_name(series, evidence)
        rows.append((label, _dots(series, label, found), percent(found.value if found else None)))
    summary = ", ".join(f"{label} {value}" for label, _, value in rows)
    return dot_plot(id, metric(name), f"{summary}; whiskers are 95% intervals.", rows)


def _dots(series: str, name: str, found: Metric | None) -> list[Dot]:
    if found is None or found.value is None:
        return []
    words = interval(found.low, found.high)
    tip = f"{name}: {percent(found.value)}" + (f" ({words})" if words else "")
    return [Dot(series, found.value, tip, found.low, found.high)]


def _class_plot(evidence: Evidence, names: Sequence[str]) -> DotPlot | None:
    if not names:
        return None
    name = "f1" if "f1" in names else names[0]
    rows = [_slice_row(evidence, name, slice_) for slice_ in _sorted_slices(evidence, name)]
    return dot_plot(
        "by-class",
        f"{metric(name)} by class",
        f"{len(rows)} classes, sorted by the quantized file's {metric(name)}.",
        rows,
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
    found = [scores.find(name, slice_) for _, scores in evidence.models]
    figures = (
        Figure(percent(each.value), interval(each.low, each.high)) if each else Figure(MISSING, "")
        for each in found
    )
    return FigureRow(title, max((each.n for each in found if each), default=0), tuple(figures))


def _engines(evidence: Evidence) -> str:
    used = (
        f"{model_name(series, evidence).lower()} by {scores.engine}"
        for series, scores in evidence.models
        if scores.engine
    )
    return ", ".join(used)
