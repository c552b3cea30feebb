"""Data quality: what the suite asked, what the data had, how it is spread."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wherry.contracts.validation import Column, Expectation, Quarantined, ValidationReport
from wherry.report.evidence import Evidence
from wherry.report.plots.bars import BarPlot, Histogram, Part, bar_plot, histogram
from wherry.report.view import SPLITS, Badge, Fact, Key, Signpost, State
from wherry.report.words import MISSING, number, plural, sentence

_TITLES: Final = {
    "expect_column_values_to_not_be_null": "No missing values",
    "expect_column_values_to_be_unique": "No duplicates",
    "expect_column_values_to_be_in_set": "Only known values",
    "expect_column_distinct_values_to_be_in_set": "Only known values",
    "expect_column_distinct_values_to_equal_set": "All known values, no others",
    "expect_column_distinct_values_to_contain_set": "Every known value occurs",
    "expect_column_values_to_be_between": "Values in range",
    "expect_column_max_to_be_between": "Largest value in range",
    "expect_column_min_to_be_between": "Smallest value in range",
    "expect_column_mean_to_be_between": "Mean in range",
    "expect_column_value_lengths_to_be_between": "Lengths in range",
    "expect_column_kl_divergence_to_be_less_than": "Balanced",
    "expect_column_values_to_match_regex": "Of the expected form",
    "expect_column_values_to_not_match_regex": "Free of a forbidden form",
    "expect_table_row_count_to_be_between": "Enough rows",
    "expect_compound_columns_to_be_unique": "No duplicate rows",
}


@dataclass(frozen=True)
class Asked:
    """One expectation as a table row."""

    title: str
    type: str
    column: str
    expected: str
    observed: str
    severity: str
    result: Badge
    note: str


@dataclass(frozen=True)
class Cause:
    """Why rows were set aside, and how many."""

    reason: str
    count: int


@dataclass(frozen=True)
class DataSection:
    """What the template shows of the data."""

    signpost: Signpost
    facts: tuple[Fact, ...]
    asked: tuple[Asked, ...]
    keys: tuple[Key, ...]
    histograms: tuple[Histogram, ...]
    balances: tuple[BarPlot, ...]
    causes: tuple[Cause, ...]
    listed: tuple[Quarantined, ...]
    unlisted: int
    """Quarantined rows beyond those that are listed."""


def data_section(evidence: Evidence, quarantine_lines: int) -> DataSection:
    """Gives the data section; `quarantine_lines` rows at most are listed one by one."""
    report = evidence.validation
    balances, spreads = _by_kind(report.columns, evidence.dataset.labels)
    return DataSection(
        signpost=_signpost(report),
        facts=_facts(evidence),
        asked=tuple(_asked(expectation) for expectation in report.expectations),
        keys=tuple(Key(split, sentence(split)) for split in _splits(report.columns)),
        histograms=tuple(_histogram(name, columns) for name, columns in spreads.items()),
        balances=tuple(_balance(name, columns) for name, columns in balances.items()),
        causes=_causes(report.quarantined),
        listed=report.quarantined[:quarantine_lines],
        unlisted=max(0, len(report.quarantined) - quarantine_lines),
    )


def _signpost(report: ValidationReport) -> Signpost:
    passed = sum(expectation.passed for expectation in report.expectations)
    total = len(report.expectations)
    state: State = "bad" if not report.passed else "good" if passed == total else "warn"
    text = f"{plural(report.rows, 'row')}, {passed} of {total} checks passed"
    return Signpost("data", "Data", state, text)


def _facts(evidence: Evidence) -> tuple[Fact, ...]:
    dataset = evidence.dataset
    splits = (
        Fact(f"{sentence(split.name)} rows", f"{split.rows:,}", digest=split.digest)
        for split in dataset.splits
    )
    return (
        *splits,
        *([Fact("Labels", number(len(dataset.labels)))] if dataset.labels else ()),
        Fact("Set aside", plural(len(evidence.validation.quarantined), "row")),
        Fact("Licence", dataset.licence or MISSING),
    )


def _asked(expectation: Expectation) -> Asked:
    return Asked(
        title=_TITLES.get(expectation.type) or _plain(expectation.type),
        type=expectation.type,
        column=expectation.column,
        expected=expectation.expected or MISSING,
        observed=expectation.observed or MISSING,
        severity=expectation.severity,
        result=_result(expectation),
        note=expectation.note,
    )


def _plain(type_: str) -> str:
    return sentence(type_.removeprefix("expect_").replace("_", " "))


def _result(expectation: Expectation) -> Badge:
    if expectation.passed:
        return Badge("good", "Passed")
    if expectation.severity == "critical":
        return Badge("bad", "Failed")
    return Badge("warn", "Warned") if expectation.severity == "warning" else Badge("none", "Noted")


def _by_kind(
    columns: Sequence[Column], labels: Sequence[str]
) -> tuple[dict[str, list[Column]], dict[str, list[Column]]]:
    balances: dict[str, list[Column]] = {}
    spreads: dict[str, list[Column]] = {}
    known = set(labels)
    for column in columns:
        kind = balances if known and known & set(column.bins) else spreads
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


def _balance(name: str, columns: Sequence[Column]) -> BarPlot:
    counts = _counts(columns)
    ordered = sorted(counts.items(), key=lambda item: -sum(item[1].values()))
    rows = [(bin_, _parts(bin_, splits), f"{sum(splits.values()):,}") for bin_, splits in ordered]
    return bar_plot(
        f"balance-{name}",
        f"Rows by {name.replace('_', ' ')}",
        f"{len(rows)} values; {_range(counts)} rows each.",
        rows,
        axis=number,
    )


def _histogram(name: str, columns: Sequence[Column]) -> Histogram:
    counts = _counts(columns)
    most = max(counts, key=lambda bin_: sum(counts[bin_].values()), default="")
    return histogram(
        f"spread-{name}",
        f"Rows by {name.replace('_', ' ')}",
        f"Most rows fall into {most}; {_range(counts)} rows a column.",
        [(bin_, _parts(bin_, splits)) for bin_, splits in counts.items()],
    )


def _range(counts: dict[str, dict[str, int]]) -> str:
    totals = [sum(splits.values()) for splits in counts.values()] or [0]
    low, high = min(totals), max(totals)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _causes(quarantined: Sequence[Quarantined]) -> tuple[Cause, ...]:
    counted = Counter(row.reason for row in quarantined)
    return tuple(Cause(reason, count) for reason, count in counted.most_common())
