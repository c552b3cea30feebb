"""Turns two reports on versions of one data set into what changed between them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from wherry.contracts.dataset import Source
from wherry.contracts.validation import Change, Expectation, Since, ValidationReport
from wherry.page.data.checks import named

Bin = TypeVar("Bin")
Spans = Mapping[tuple[int, int], float]
"""Rows by bin; a bin is its first and its last whole number."""

_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")
_FEWEST_EDGES: Final = 4
"""With fewer edges in common, two histograms are compared as if rows were even in each bin."""
_NAMED: Final = frozenset({"label", "language"})
"""Features whose values are names even where they look like numbers."""
_MOST_NAMES: Final = 5
_NOWHERE: Final = Source(uri="", revision="", path="", checksum="")
_NOT_ASKED: Final = "not asked"


def since(before: ValidationReport, now: ValidationReport) -> Since:
    """Says what changed since a data set was last accepted.

    Args:
        before: the report on the accepted version.
        now: the report on the version at hand.

    Returns:
        The accepted version and every figure that moved, in words; nothing if none did. A
        distribution has moved if its distance, rounded, is above 0.

    Example::

        since(report, report).changes == ()
    """
    changes = (*_rows(before, now), *_shifts(before, now), *_checks(before, now))
    return Since(before.source or _NOWHERE, before.dataset_digest, changes)


def distance(before: Mapping[Bin, float], now: Mapping[Bin, float]) -> float:
    """Gives the total variation distance: half the sum of the differences of shares, in [0, 1].

    Example::

        distance({"ear": 1, "eye": 1}, {"ear": 2}) == 0.5
    """
    first, second = _shares(before), _shares(now)
    return sum(abs(second.get(b, 0.0) - first.get(b, 0.0)) for b in {**first, **second}) / 2


def _rows(before: ValidationReport, now: ValidationReport) -> Iterator[Change]:
    first, second = _rows_by_split(before), _rows_by_split(now)
    if len(first | second) != 1:
        yield from _moved("rows", before.rows, now.rows)
    for split in first | second:
        yield from _moved(f"rows of {split}", first.get(split, 0), second.get(split, 0))
    yield from _moved("rows set aside", _set_aside(before), _set_aside(now))


def _moved(what: str, before: int, now: int) -> Iterator[Change]:
    if before != now:
        yield Change(what, f"{before:,}", f"{now:,}")


def _rows_by_split(report: ValidationReport) -> dict[str, int]:
    # A column that is empty in some rows has fewer: the fullest one counts.
    found: dict[str, int] = {}
    for column in report.columns:
        found[column.split] = max(found.get(column.split, 0), sum(column.counts))
    return found


def _set_aside(report: ValidationReport) -> int:
    return sum(each.rows for each in report.set_aside)


def _shifts(before: ValidationReport, now: ValidationReport) -> Iterator[Change]:
    first, second = _distributions(before), _distributions(now)
    for name in (each for each in second if each in first):
        old, new = _spans(first[name]), _spans(second[name])
        if old is None or new is None or name in _NAMED:
            yield from _name_shift(name, first[name], second[name])
        else:
            yield from _length_shift(name, old, new)


def _distributions(report: ValidationReport) -> dict[str, Counter[str]]:
    """Gives each feature's rows by bin over all splits."""
    found: dict[str, Counter[str]] = {}
    for column in report.columns:
        counts = found.setdefault(column.name, Counter())
        counts.update(dict(zip(column.bins, column.counts, strict=True)))
    return found


def _name_shift(name: str, before: Mapping[str, int], now: Mapping[str, int]) -> Iterator[Change]:
    yield from _other_names(name, _names(before), _names(now))
    moved = round(distance(before, now), 2)
    if moved:
        first, second = _shares(before), _shares(now)
        most = max(
            sorted({**first, **second}),
            key=lambda each: abs(second.get(each, 0.0) - first.get(each, 0.0)),
        )
        old, new = (f"{most}: {_percent(shares.get(most, 0.0))}" for shares in (first, second))
        yield Change(name, old, new, moved)


def _names(counts: Mapping[str, int]) -> list[str]:
    # What stands in brackets is no name: `(others)`.
    return sorted(each for each, count in counts.items() if count and each[:1] != "(")


def _other_names(name: str, before: Sequence[str], now: Sequence[str]) -> Iterator[Change]:
    came = [each for each in now if each not in before]
    went = [each for each in before if each not in now]
    if came or went:
        told = [f"{len(now)}", *_listed("new", came), *_listed("gone", went)]
        yield Change(f"{name} values", f"{len(before)}", "; ".join(told))


def _listed(word: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"{word}: {', '.join(names[:_MOST_NAMES])}{more}"


def _length_shift(name: str, before: Spans, now: Spans) -> Iterator[Change]:
    moved = _length_distance(before, now)
    if moved:
        yield Change(name, f"median {_median(before)}", f"median {_median(now)}", moved)


def _shares(counts: Mapping[Bin, float]) -> dict[Bin, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else f"{100 * share:.0f}%"


def _spans(counts: Mapping[str, int]) -> dict[tuple[int, int], float] | None:
    """Reads bins as ranges of whole numbers, or gives None if one of them is a name."""
    found: dict[tuple[int, int], float] = {}
    for name, count in counts.items():
        read = _RANGE.fullmatch(name)
        if read is None:
            return None
        found[int(read[1]), int(read[2] or read[1])] = count
    return found


def _median(spans: Spans) -> str:
    """Gives the bin in which the middle row lies: its place within is not known."""
    left = sum(spans.values()) / 2
    for (first, last), count in sorted(spans.items()):
        left -= count
        if left <= 0:
            return str(first) if first == last else f"{first} to {last}"
    return "none"


def _length_distance(before: Spans, now: Spans) -> float:
    """Compares two histograms, perhaps of other bins.

    The edges that both have make the bins: rows stay where they were counted, so that no
    difference is of the binning's own making. Without enough of them a bin's rows are taken to
    be even in it, and the distance is known to a tenth alone.
    """
    shared = sorted(_edges(before) & _edges(now))
    if len(shared) >= _FEWEST_EDGES or before.keys() == now.keys():
        return round(distance(_merged(before, shared), _merged(now, shared)), 2)
    edges = sorted(_edges(before) | _edges(now))
    return round(distance(_evened(before, edges), _evened(now, edges)), 1)


def _edges(spans: Spans) -> set[int]:
    return {first for first, _ in spans} | {last + 1 for _, last in spans}


def _merged(spans: Spans, edges: Sequence[int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for (first, _), count in spans.items():
        place = sum(edge <= first for edge in edges)
        found[place] = found.get(place, 0.0) + count
    return found


def _evened(spans: Spans, edges: Sequence[int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for (first, last), count in spans.items():
        for edge, after in pairwise(edges):
            if first <= edge <= last:
                part = (min(after, last + 1) - edge) / (last + 1 - first)
                found[edge] = found.get(edge, 0.0) + count * part
    return found


def _checks(before: ValidationReport, now: ValidationReport) -> Iterator[Change]:
    if before.suite_digest != now.suite_digest:
        yield from _moved("checks in the suite", len(before.expectations), len(now.expectations))
    first, second = _verdicts(before), _verdicts(now)
    for key in {**first, **second}:
        old, new = first.get(key, _NOT_ASKED), second.get(key, _NOT_ASKED)
        if _has_failed(old) != _has_failed(new):
            yield Change(f"check: {key}", old, new)


def _verdicts(report: ValidationReport) -> dict[str, str]:
    """Gives what came of each check by its name; the worst of several of one name."""
    found: dict[str, str] = {}
    for each in report.expectations:
        if not each.passed or named(each) not in found:
            found[named(each)] = _verdict(each)
    return found


def _verdict(expectation: Expectation) -> str:
    if expectation.passed:
        return "held"
    rows = expectation.unexpected_count
    return f"failed in {rows:,} row{'' if rows == 1 else 's'}" if rows else "failed"


def _has_failed(verdict: str) -> bool:
    return verdict.startswith("failed")
