"""What a data suite found."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.dataset import Source
from wherry.contracts.digest import Digest
from wherry.contracts.record import Record

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True)
class Expectation:
    """One expectation of the suite with what was observed."""

    type: str
    """Great Expectations' name, such as ``expect_column_values_to_not_be_null``."""
    column: str
    severity: Severity
    passed: bool
    expected: str
    """The limits, in words."""
    observed: str
    """What the data had, in words; never a raw value of the data."""
    unexpected_count: int = 0
    """Rows that broke the expectation."""
    note: str = ""
    """Why a team asks for this, or the exception that the check ended with."""
    low: float | None = None
    """The least that is allowed: of each row's value, or of `figure`; None without a limit."""
    high: float | None = None
    """The most that is allowed, alike."""
    mostly: float = 1.0
    """The share of rows that must hold it; of an expectation on each row."""
    checked_rows: int = 0
    """Rows that it looked at one by one; 0 for an expectation on the whole."""
    figure: float | None = None
    """The one number that was held against the limits; None for an expectation on each row."""


@dataclass(frozen=True)
class Quarantined:
    """A row that was set aside."""

    split: str
    line: int
    """Counted from 1."""
    reason: str


@dataclass(frozen=True)
class Column:
    """The distribution of one feature over one split, for a plot."""

    name: str
    split: str
    bins: tuple[str, ...]
    """Bin or label names."""
    counts: tuple[int, ...]


@dataclass(frozen=True)
class SetAside:
    """A row that could not be read; a line of ``quarantine.jsonl``."""

    file: str
    """Relative to the source."""
    line: int
    """Counted from 1; the row's number in a file that has no lines."""
    reason: str
    """What was wrong with it; never a text of the data."""


@dataclass(frozen=True)
class ReasonCount:
    """How many rows were set aside for one reason."""

    reason: str
    rows: int


@dataclass(frozen=True)
class Change:
    """One figure that moved since the data set was last accepted."""

    what: str
    """Such as ``rows of train``, ``label``, ``prompt_tokens``."""
    before: str
    now: str
    distance: float | None = None
    """Between two distributions: half the sum of the absolute differences of their shares, in
    [0, 1]; None where there is none."""


@dataclass(frozen=True)
class Since:
    """What changed since the last accepted version of the same data."""

    source: Source
    """Of the accepted version."""
    dataset_digest: Digest
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class ValidationReport(Record):
    """The verdict on one data set by one suite."""

    passed: bool
    """False if a critical expectation failed."""
    dataset_digest: Digest
    suite_digest: Digest
    rows: int
    expectations: tuple[Expectation, ...]
    quarantined: tuple[Quarantined, ...] = ()
    columns: tuple[Column, ...] = ()
    source: Source | None = None
    """Where the data set was taken from."""
    set_aside: tuple[ReasonCount, ...] = ()
    """Rows that could not be read, by reason, the most frequent first."""
    since: Since | None = None
    """None if no version of this data was accepted before, as far as is known here."""
    schema: Literal["wherry.validation/1"] = "wherry.validation/1"

    @property
    def failures(self) -> tuple[Expectation, ...]:
        """Critical expectations that failed."""
        return tuple(e for e in self.expectations if e.severity == "critical" and not e.passed)
