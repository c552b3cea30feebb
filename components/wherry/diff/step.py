"""Turns counts of two versions of a data set into what changed between them.

No text of the data comes here: rows are numbers, and what is told are counts and shares.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, Protocol

from wherry.contracts import Dataset, Digest, Source
from wherry.contracts.dataset import SplitName
from wherry.contracts.record import Record
from wherry.diff.settings import DiffSettings

OTHERS: Final = "(others)"
LENGTHS: Final = ("prompt_characters", "completion_characters")
"""The lengths that are compared, in characters."""
SHARES: Final = ("label", "language")
"""The columns whose shares are compared."""
_ORDER: Final[tuple[SplitName, ...]] = ("train", "eval", "test")


@dataclass(frozen=True)
class Version:
    """One of the two versions."""

    source: Source
    digest: Digest
    rows: int


@dataclass(frozen=True)
class SplitRows:
    """What became of the rows of one split."""

    split: SplitName
    before: int
    after: int
    added: int
    """Rows that the earlier version does not have."""
    removed: int
    """Rows that the later version does not have."""
    changed: int
    """Rows of the same id with other content."""
    moved_in: int
    """Rows that stood in another split before."""


@dataclass(frozen=True)
class Quantiles:
    """Where a length lies: the value that a share of rows does not exceed."""

    p5: int
    p50: int
    p95: int
    most: int


@dataclass(frozen=True)
class LengthShift:
    """How a length moved."""

    feature: str
    split: SplitName
    before: Quantiles | None
    """None if there was no row."""
    after: Quantiles | None
    distance: float | None
    """Kolmogorov-Smirnov: the greatest difference of the two cumulative shares, in [0, 1]."""


@dataclass(frozen=True)
class Share:
    """How frequent one value is."""

    name: str
    before: float
    """Share of the rows that have a value, in [0, 1]."""
    after: float


@dataclass(frozen=True)
class ShareShift:
    """How the shares of a column's values moved."""

    feature: str
    split: SplitName
    distance: float | None
    """Total variation: half the sum of the absolute differences of the shares, in [0, 1], of all
    values, those without a name here too."""
    shares: tuple[Share, ...]
    """Every value, the one that moved most first; those that are not named together."""


@dataclass(frozen=True)
class DataDiff(Record):
    """What changed between two versions of a data set."""

    before: Version
    after: Version
    rows: tuple[SplitRows, ...]
    lengths: tuple[LengthShift, ...]
    shares: tuple[ShareShift, ...]
    schema: Literal["wherry.data-diff/1"] = "wherry.data-diff/1"

    @property
    def same(self) -> bool:
        """Whether no row was added, removed, changed or moved."""
        return not any(r.added or r.removed or r.changed or r.moved_in for r in self.rows)


Side = Literal["before", "after"]


class Counts(Protocol):
    """Two versions as numbers: what `compare` needs of a database."""

    def fates(self) -> Mapping[SplitName, tuple[int, int, int, int]]:
        """Gives how many rows of each split were added, removed, changed and moved in."""

    def counts(self, side: Side, column: str) -> Mapping[SplitName, Mapping[str | int, int]]:
        """Gives how many rows of each split have each value; rows without one do not count."""

    def private(self, names: Collection[str]) -> Collection[str]:
        """Gives those of some labels that must not be named."""


def compare(before: Dataset, after: Dataset, counts: Counts, settings: DiffSettings) -> DataDiff:
    """Says what changed between two versions.

    Args:
        before: the earlier version.
        after: the later one.
        counts: the rows of both.
        settings: how closely they are looked at.
    """
    there = {split.name for dataset in (before, after) for split in dataset.splits}
    splits = [name for name in _ORDER if name in there]
    return DataDiff(
        before=_version(before),
        after=_version(after),
        rows=_rows(before, after, splits, counts),
        lengths=_lengths(splits, counts),
        shares=_shares(splits, counts, settings),
    )


def kolmogorov_smirnov(before: Mapping[int, int], after: Mapping[int, int]) -> float | None:
    """Gives the greatest difference of two cumulative shares, from how often each value occurs.

    Example::

        >>> kolmogorov_smirnov({1: 2, 5: 2}, {5: 4})
        0.5
    """
    totals = sum(before.values()), sum(after.values())
    if not all(totals):
        return None
    low = high = 0
    widest = 0.0
    for value in sorted(before.keys() | after.keys()):
        low, high = low + before.get(value, 0), high + after.get(value, 0)
        widest = max(widest, abs(low / totals[0] - high / totals[1]))
    return widest


def total_variation(shares: Sequence[Share]) -> float:
    """Gives half the sum of the absolute differences of two distributions' shares."""
    return min(1.0, sum(abs(share.after - share.before) for share in shares) / 2)


def quantiles(counts: Mapping[int, int]) -> Quantiles | None:
    """Gives quantiles from how often each value occurs; None of nothing."""
    total = sum(counts.values())
    if not total:
        return None
    values = sorted(counts)
    seen = list(accumulate(counts[value] for value in values))
    p5, p50, p95 = (values[bisect_left(seen, share * total)] for share in (0.05, 0.5, 0.95))
    return Quantiles(p5, p50, p95, values[-1])


def _version(dataset: Dataset) -> Version:
    rows = sum(split.rows for split in dataset.splits)
    return Version(dataset.source, dataset.digest, rows)


def _rows(
    before: Dataset, after: Dataset, splits: Sequence[SplitName], counts: Counts
) -> tuple[SplitRows, ...]:
    fates = counts.fates()
    old, new = ({s.name: s.rows for s in dataset.splits} for dataset in (before, after))
    found = []
    for name in splits:
        added, removed, changed, moved_in = fates.get(name, (0, 0, 0, 0))
        sizes = old.get(name, 0), new.get(name, 0)
        found.append(SplitRows(name, *sizes, added, removed, changed, moved_in))
    return tuple(found)


def _lengths(splits: Sequence[SplitName], counts: Counts) -> tuple[LengthShift, ...]:
    shifts = []
    for feature in LENGTHS:
        old, new = counts.counts("before", feature), counts.counts("after", feature)
        for split in splits:
            a, b = _numbers(old.get(split, {})), _numbers(new.get(split, {}))
            distance = kolmogorov_smirnov(a, b)
            shifts.append(LengthShift(feature, split, quantiles(a), quantiles(b), distance))
    return tuple(shifts)


def _numbers(counts: Mapping[str | int, int]) -> dict[int, int]:
    return {int(value): count for value, count in counts.items()}


def _shares(
    splits: Sequence[SplitName], counts: Counts, settings: DiffSettings
) -> tuple[ShareShift, ...]:
    shifts = []
    for feature in SHARES:
        old, new = counts.counts("before", feature), counts.counts("after", feature)
        for split in splits:
            a, b = _named(old.get(split, {})), _named(new.get(split, {}))
            if a or b:
                names = _labels(a, b, counts, settings) if feature == "label" else {*a, *b}
                shifts.append(_share_shift(feature, split, a, b, names))
    return tuple(shifts)


def _named(counts: Mapping[str | int, int]) -> dict[str, int]:
    return {str(value): count for value, count in counts.items()}


def _labels(
    old: Mapping[str, int], new: Mapping[str, int], counts: Counts, settings: DiffSettings
) -> set[str]:
    """Gives the labels that may be named: those of some rows that look like nobody's own."""
    common = {
        name
        for name in {*old, *new}
        if max(old.get(name, 0), new.get(name, 0)) >= settings.fewest_rows
    }
    return common - set(counts.private(common))


def _share_shift(
    feature: str, split: SplitName, old: dict[str, int], new: dict[str, int], names: Collection[str]
) -> ShareShift:
    distance = total_variation(_both(_shares_of(old), _shares_of(new))) if old and new else None
    shares = _both(_grouped(old, names), _grouped(new, names))
    shares.sort(key=lambda share: (-abs(share.after - share.before), share.name))
    return ShareShift(feature, split, distance, tuple(shares))


def _shares_of(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def _grouped(counts: Mapping[str, int], names: Collection[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for name, share in _shares_of(counts).items():
        shown = name if name in names else OTHERS
        shares[shown] = shares.get(shown, 0) + share
    return shares


def _both(old: Mapping[str, float], new: Mapping[str, float]) -> list[Share]:
    return [Share(name, old.get(name, 0.0), new.get(name, 0.0)) for name in old.keys() | new.keys()]
