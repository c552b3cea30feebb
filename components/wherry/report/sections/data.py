"""Data quality: what the suite asked, what the data had, how it is spread."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wherry.contracts.validation import Column, Expectation, Quarantined, ValidationReport
from wherry.report.evidence import Evidence
from wherry.report.plots.bars import BarPlot, Histogram, Part, bar_plot, histogram
from wherry.report.view import SPLITS, Badge, Fact, Key, Signpost, State
from wherry.report.words import MISSING, clip, number, plural, sentence, tick

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
    "expect_column_quantile_values_to_be_between": "Spread as expected",
    "expect_column_unique_value_count_to_be_between": "Number of different values",
    "expect_table_row_count_to_be_between": "Enough rows",
    "expect_compound_columns_to_be_unique": "No duplicate rows",
}


_FEATURES: Final = {
    "contradicted": "No contradictions",
    "duplicate": "No duplicates",
    "garbled": "Readable text",
    "group_in_other_split": "No group in two splits",
    "label_answered": "Answers name their label",
    "label_balance": "Balanced labels",
    "label_known": "Every label known",
    "prompt_in_other_split": "No prompt in two splits",
    "roles": "Roles as expected",
}
"""What a check on a feature of the rows asks for, whatever its expectation is called."""
_EXPECTED_COLUMNS: Final = 90
"""A longer list of allowed values is clipped; the whole stays in its tooltip."""


@dataclass(frozen=True)
class Asked:
    """One expectation as a table row."""

    title: str
    type: str
    column: str
    expected: str
    expected_whole: str
    observed: str
    severity: str
    result: Badge
    note: str


@dataclass(frozen=True)
class Chip:
    """All checks of one title and one result, in a few words."""

    title: str
    columns: str
    """The columns that were checked, where the title does not say it."""
    times: int
    state: State


@dataclass(frozen=True)
class Cause:
    """Which checks rows failed, and how many rows."""

    reason: str
    count: int


@dataclass(frozen=True)
class DataSection:
    """What the template shows of the data."""

    all_passed: bool
    """Whether the table of checks may stay folded."""
    signpost: Signpost
    facts: tuple[Fact, ...]
    chips: tuple[Chip, ...]
    asked: tuple[Asked, ...]
    keys: tuple[Key, ...]
    histograms: tuple[Histogram, ...]
    constants: tuple[str, ...]
    """Features that are the same in every row, in words: a plot would be one block."""
    balances: tuple[BarPlot, ...]
    causes: tuple[Cause, ...]
    listed: tuple[Quarantined, ...]
    unlisted: int
    """Quarantined rows beyond those that are listed."""


def data_section(evidence: Evidence, quarantine_lines: int) -> DataSection:
    """Gives the data section; `quarantine_lines` rows at most are listed one by one."""
    report = evidence.validation
    balances, spreads = _by_kind(report.columns, evidence.dataset.labels)
    constants = [name for name, columns in spreads.items() if len(_counts(columns)) == 1]
    asked = tuple(_asked(each) for each in sorted(report.expectations, key=_rank))
    return DataSection(
        all_passed=all(each.passed for each in report.expectations),
        signpost=_signpost(report),
        facts=_facts(evidence),
        chips=_chips(asked),
        asked=asked,
        keys=tuple(Key(split, sentence(split)) for split in _splits(report.columns)),
        histograms=tuple(
            _histogram(f"spread-{index}", name, columns)
            for index, (name, columns) in enumerate(spreads.items())
            if name not in constants
        ),
        constants=tuple(_constant(name, spreads[name]) for name in constants),
        balances=tuple(
            _balance(f"balance-{index}", name, columns)
            for index, (name, columns) in enumerate(balances.items())
        ),
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
    dataset, faulty = evidence.dataset, len(evidence.validation.quarantined)
    splits = (
        Fact(f"{sentence(split.name)} rows", f"{split.rows:,}", digest=split.digest)
        for split in dataset.splits
    )
    return (
        *splits,
        *([Fact("Labels", number(len(dataset.labels)))] if dataset.labels else ()),
        Fact("Rows that failed a check", f"{faulty:,} listed" if faulty else "none"),
        Fact("Licence", dataset.licence or MISSING),
    )


def _rank(expectation: Expectation) -> int:
    """Puts what failed first, the gravest of it at the top."""
    return 3 if expectation.passed else ("critical", "warning", "info").index(expectation.severity)


def _asked(expectation: Expectation) -> Asked:
    return Asked(
        title=_title(expectation),
        type=expectation.type,
        column=expectation.column,
        expected=clip(expectation.expected, _EXPECTED_COLUMNS) or MISSING,
        expected_whole=expectation.expected,
        observed=expectation.observed or MISSING,
        severity=expectation.severity,
        result=_result(expectation),
        note=expectation.note,
    )


def _chips(asked: Sequence[Asked]) -> tuple[Chip, ...]:
    groups: dict[tuple[str, State], list[Asked]] = {}
    for each in asked:
        groups.setdefault((each.title, each.result.state), []).append(each)
    return tuple(
        Chip(title, _columns(group), len(group), state) for (title, state), group in groups.items()
    )


def _columns(group: Sequence[Asked]) -> str:
    names = dict.fromkeys(each.column for each in group if each.column not in _FEATURES)
    return ", ".join(name for name in names if name)


def _title(expectation: Expectation) -> str:
    plain = sentence(expectation.type.removeprefix("expect_").replace("_", " "))
    whole = not expectation.type.endswith("_null") and _FEATURES.get(expectation.column)
    return whole or _TITLES.get(expectation.type) or plain


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


def _balance(id: str, name: str, columns: Sequence[Column]) -> BarPlot:
    counts = _counts(columns)
    ordered = sorted(counts.items(), key=lambda item: -sum(item[1].values()))
    rows = [(bin_, _parts(bin_, splits), f"{sum(splits.values()):,}") for bin_, splits in ordered]
    return bar_plot(
        id,
        f"Rows by {name.replace('_', ' ')}",
        f"{len(rows)} values; {_range(counts)} rows each.",
        rows,
        axis=tick,
    )


def _histogram(id: str, name: str, columns: Sequence[Column]) -> Histogram:
    counts = _counts(columns)
    most = max(counts, key=lambda bin_: sum(counts[bin_].values()), default="")
    return histogram(
        id,
        f"Rows by {name.replace('_', ' ')}",
        f"Most rows fall into {most}; {_range(counts)} rows a column.",
        [(bin_, _parts(bin_, splits)) for bin_, splits in counts.items()],
    )


def _constant(name: str, columns: Sequence[Column]) -> str:
    return f"{sentence(name.replace('_', ' '))}: {next(iter(_counts(columns)))} in every row."


def _range(counts: dict[str, dict[str, int]]) -> str:
    totals = [sum(splits.values()) for splits in counts.values()] or [0]
    low, high = min(totals), max(totals)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _causes(quarantined: Sequence[Quarantined]) -> tuple[Cause, ...]:
    counted = Counter(row.reason for row in quarantined)
    return tuple(Cause(reason, count) for reason, count in counted.most_common())
