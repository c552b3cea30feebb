"""Sizes and speeds: what the shipped file costs, beside the models that it came from."""

from dataclasses import dataclass
from typing import Final

from wherry.page.plots.bars import BarPlot, Part, bar_plot
from wherry.page.view import Signpost
from wherry.page.words import MISSING, interval, is_known, metric, quantity
from wherry.report.evidence import Evidence
from wherry.report.headline import is_likelihood
from wherry.report.sections.verdict import model_name

_BETTER: Final = {
    "size": "smaller is better",
    "peak_memory": "less is better",
    "decode_speed": "more is better",
    "first_token": "sooner is better",
}


@dataclass(frozen=True)
class Tile:
    """One cost: the shipped file's number, and bars for all that were measured."""

    name: str
    value: str
    better: str
    """Which way is better, or empty."""
    interval: str
    plot: BarPlot | None
    """None if no other model was measured."""


@dataclass(frozen=True)
class SpeedSection:
    """What the template shows of sizes and speeds."""

    signpost: Signpost
    tiles: tuple[Tile, ...]


def speed_section(evidence: Evidence) -> SpeedSection:
    """Gives the section: every metric that was measured on runs and covers all rows."""
    names = dict.fromkeys(
        found.name
        for _, scores in reversed(evidence.models)
        for found in scores.metrics
        if found.unit and not found.slice and not is_likelihood(found)
    )
    tiles = tuple(_tile(evidence, f"cost-{index}", name) for index, name in enumerate(names))
    known = [tile.value for tile in tiles if tile.value != MISSING]
    text = ", ".join(known[:3]) or "not measured"
    return SpeedSection(Signpost("speed", "Size and speed", "none", text), tiles)


def _tile(evidence: Evidence, id: str, name: str) -> Tile:
    found = evidence.quantized.find(name)
    value = quantity(found.value, found.unit) if found else MISSING
    within = interval(found.low, found.high, found.unit) if found else ""
    return Tile(metric(name), value, _BETTER.get(name, ""), within, _plot(evidence, id, name))


def _plot(evidence: Evidence, id: str, name: str) -> BarPlot | None:
    rows = []
    for series, scores in evidence.models:
        found = scores.find(name)
        if found is not None and is_known(found.value):
            label = model_name(series, evidence).partition(" ")[0]
            text = quantity(found.value, found.unit)
            rows.append((label, [Part(series, found.value, f"{label}: {text}")], text))
    if len(rows) < 2:
        return None
    summary = ", ".join(f"{label} {text}" for label, _, text in rows)
    return bar_plot(id, metric(name), f"{summary}.", rows, row_height=20)
