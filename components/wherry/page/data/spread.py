"""How the features of rows are spread, as plots: names as bars, ranges as histograms."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from wherry.contracts.validation import Column, Expectation
from wherry.page.plots.bars import BarPlot, Histogram, Part, bar_plot, histogram
from wherry.page.plots.frame import Tick
from wherry.page.view import SPLITS, Key
from wherry.page.words import plural, sentence, tick

_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")
_MOST_BARS: Final = 25
"""Further values of a feature are drawn as one bar."""
_FEWEST_BARS: Final = 10
_RARE: Final = 0.01
"""A value of a smaller share of rows gets a bar of its own only among the first ten."""
_BETWEEN: Final = "expect_column_values_to_be_between"


@dataclass(frozen=True)
class Spread:
    """The distributions of some features."""

    keys: tuple[Key, ...]
    """The splits."""
    histograms: tuple[Histogram, ...]
    constants: tuple[str, ...]
    """Features that are the same in every row, in words: a plot would be one block."""
    balances: tuple[BarPlot, ...]


def spread_of(
    columns: Sequence[Column],
    labels: Sequence[str] = (),
    expectations: Sequence[Expectation] = (),
) -> Spread:
    """Gives the plots of all features.

    Args:
        columns: one a feature and split.
        labels: the data set's label set, for labels that look like numbers.
        expectations: whose limits are drawn onto the histograms of their columns.
    """
    balances, spreads = _by_kind(columns, labels)
    constants = [name for name, found in spreads.items() if len(_counts(found)) == 1]
    return Spread(
        keys=tuple(Key(split, sentence(split)) for split in _splits(columns)),
        histograms=tuple(
            _histogram(f"spread-{index}", name, found, _limits(name, expectations))
            for index, (name, found) in enumerate(spreads.items())
            if name not in constants
        ),
        constants=tuple(_constant(name, spreads[name]) for name in constants),
        balances=tuple(
            _balance(f"balance-{index}", name, found)
            for index, (name, found) in enumerate(balances.items())
        ),
    )


def _by_kind(
    columns: Sequence[Column], labels: Sequence[str]
) -> tuple[dict[str, list[Column]], dict[str, list[Column]]]:
    balances: dict[str, list[Column]] = {}
    spreads: dict[str, list[Column]] = {}
    known = set(labels)
    for column in columns:
        named = known & set(column.bins) or not all(map(_RANGE.fullmatch, column.bins))
        kind = balances if named else spreads
        kind.setdefault(column.name, []).append(column)
    return balances, spreads


def _splits(columns: Sequence[Column]) -> list[str]:
    found = {column.split for column in columns}
    return [*(split for split in SPLITS if split in found), *sorted(found - set(SPLITS))]


def _counts(columns: Sequence[Column]) -> dict[str, dict[str, int]]:
    """Gives for each bin how many rows of each split fall into it."""
    order = {split: rank for rank, split in enumerate(_splits(columns))}
    counts: dict[str, dict[str, int]] = {}
    for column in sorted(columns, key=lambda column: order[column.split]):
        for name, count in zip(column.bins, column.counts, strict=True):
            counts.setdefault(name, {})[column.split] = count
    return counts


def _parts(name: str, splits: dict[str, int]) -> list[Part]:
    return [Part(split, count, f"{name}, {split}: {count:,}") for split, count in splits.items()]


def _balance(id: str, name: str, columns: Sequence[Column]) -> BarPlot:
    counts = _counts(columns)
    ordered = sorted(counts.items(), key=lambda item: -sum(item[1].values()))
    most = _bars(counts)
    shown = [*ordered[:most], *_rest(ordered[most:])]
    rows = [(bin_, _parts(bin_, splits), f"{sum(splits.values()):,}") for bin_, splits in shown]
    return bar_plot(
        id,
        f"Rows by {name.replace('_', ' ')}",
        f"{plural(len(counts), 'value')}; {_range(counts)} rows each.",
        rows,
        axis=tick,
    )


def _bars(counts: dict[str, dict[str, int]]) -> int:
    """Gives how many values deserve a bar: all that are not rare, and always some."""
    totals = [sum(splits.values()) for splits in counts.values()]
    common = sum(total >= _RARE * sum(totals) for total in totals)
    return min(_MOST_BARS, max(_FEWEST_BARS, common))


def _rest(counts: Sequence[tuple[str, dict[str, int]]]) -> Iterator[tuple[str, dict[str, int]]]:
    total: Counter[str] = Counter()
    for _, splits in counts:
        total.update(splits)
    if counts:
        yield f"({len(counts)} more)", dict(total)


def _histogram(
    id: str, name: str, columns: Sequence[Column], limits: tuple[float | None, float | None]
) -> Histogram:
    counts = _counts(columns)
    most = max(counts, key=lambda bin_: sum(counts[bin_].values()), default="")
    return histogram(
        id,
        f"Rows by {name.replace('_', ' ')}",
        f"Most rows fall into {most}; {_range(counts)} rows a column.{_allowed(*limits)}",
        [(bin_, _parts(bin_, splits)) for bin_, splits in counts.items()],
        limits=_marks(list(counts), *limits),
    )


def _limits(name: str, expectations: Sequence[Expectation]) -> tuple[float | None, float | None]:
    """Gives the tightest limits that any check puts on each row's value of a feature."""
    asked = [each for each in expectations if each.type == _BETWEEN and each.column == name]
    lows = [each.low for each in asked if each.low is not None]
    highs = [each.high for each in asked if each.high is not None]
    return max(lows, default=None), min(highs, default=None)


def _allowed(low: float | None, high: float | None) -> str:
    parts = [f"at least {tick(low)}"] if low is not None else []
    parts += [f"at most {tick(high)}"] if high is not None else []
    return f" Allowed: {', '.join(parts)}." if parts else ""


def _marks(bins: Sequence[str], low: float | None, high: float | None) -> tuple[Tick, ...]:
    """Gives the limits that lie between the first and the last bin, in percent of the width."""
    ranges = [_ends(bin_) for bin_ in bins]
    found = []
    for limit, inside in ((low, 0), (high, 1)):
        for index, (first, last) in enumerate(ranges):
            if limit is not None and first <= limit <= last:
                share = (limit + inside - first) / (last + 1 - first)
                found.append(Tick(round(100 * (index + share) / len(bins), 2), tick(limit)))
    return tuple(found)


def _ends(bin_: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(bin_)
    if found is None:
        raise ValueError(f"a bin of a histogram must be a range, got {bin_!r}")
    return int(found[1]), int(found[2] or found[1])


def _constant(name: str, columns: Sequence[Column]) -> str:
    return f"{sentence(name.replace('_', ' '))}: {next(iter(_counts(columns)))} in every row."


def _range(counts: dict[str, dict[str, int]]) -> str:
    totals = [sum(splits.values()) for splits in counts.values()] or [0]
    low, high = min(totals), max(totals)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
