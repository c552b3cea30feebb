"""Rows that failed a check or could not be read: how many for which reason, and where."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wherry.contracts.validation import Quarantined, ReasonCount


@dataclass(frozen=True)
class Cause:
    """A reason, and how many rows."""

    reason: str
    count: int


@dataclass(frozen=True)
class Faults:
    """Rows that failed a check."""

    causes: tuple[Cause, ...]
    """The most frequent first."""
    listed: tuple[Quarantined, ...]
    unlisted: int
    """Rows beyond those that are listed."""


def faults_of(rows: Sequence[Quarantined], most: int) -> Faults:
    """Counts rows by reason; `most` of them at most are listed one by one."""
    return Faults(_counted(row.reason for row in rows), tuple(rows[:most]), max(0, len(rows) - most))


def set_aside_causes(counts: Sequence[ReasonCount]) -> tuple[Cause, ...]:
    """Gives the reasons for which rows could not be read, the most frequent first."""
    ordered = sorted(counts, key=lambda each: -each.rows)
    return tuple(Cause(each.reason, each.rows) for each in ordered)


def _counted(reasons: Iterable[str]) -> tuple[Cause, ...]:
    return tuple(Cause(reason, count) for reason, count in Counter(reasons).most_common())
