"""Turns a table of features and a suite of expectations into a report on the data."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from wherry.contracts import (
    Dataset,
    Digest,
    Expectation,
    Quarantined,
    ValidationReport,
    digest_bytes,
    read_settings,
)
from wherry.contracts.errors import SettingsError, ValidationError
from wherry.contracts.validation import Column
from wherry.validate.features import COLUMNS, Table
from wherry.validate.settings import Rule, Suite, ValidateSettings

_ROW_COUNT: Final = "expect_table_row_count_to_be_between"
_MOST_LABELS: Final = 50
"""Labels that a distribution shows; the rest are counted together."""
_OTHERS: Final = "(others)"
_FEWEST_ROWS: Final = 3
"""A label of fewer rows is counted among the others: it may be a text that slipped in."""
_SAID: Final = frozenset(
    {
        "column",
        "condition_parser",
        "max_value",
        "min_value",
        "mostly",
        "quantile_ranges",
        "row_condition",
        "value_set",
    }
)
"""Arguments that `in_words` has words for."""


@dataclass(frozen=True)
class Outcome:
    """What a judge says of one rule."""

    rule: Rule
    passed: bool
    observed: str
    """In words and numbers; never a value of the data."""
    unexpected: int = 0
    """Rows that broke the rule."""
    rows: tuple[tuple[str, int], ...] = ()
    """Split and line of some of them."""
    fault: str = ""
    """Why the check could not be made; then it has not passed."""


class Judge(Protocol):
    """Holds a table against rules: what `validate` needs of Great Expectations."""

    def lint(self, rules: Sequence[Rule]) -> None:
        """Refuses rules that it cannot check.

        Raises:
            SettingsError: naming the rule and what is wrong with it.
        """

    def judge(self, table: Table, rules: Sequence[Rule], listed_rows: int) -> Sequence[Outcome]:
        """Gives one outcome a rule, in the same order; a check that ends badly has failed."""


def validate(
    table: Table, dataset: Dataset, rules: Sequence[Rule], judge: Judge, settings: ValidateSettings
) -> ValidationReport:
    """Judges a data set by a suite that `rules_of` gave.

    Args:
        table: the features of every row, as `wherry.validate.features.table` gives them.
        dataset: whose rows they are.
        rules: at least one.
        judge: what checks them.
        settings: the suite they came from, and how much the report lists.

    Returns:
        The report; `passed` is False if a critical expectation failed.

    Raises:
        RuntimeError: if the judge lost a rule.
    """
    outcomes = judge.judge(table, rules, settings.listed_rows)
    if not rules or [outcome.rule for outcome in outcomes] != list(rules):
        raise RuntimeError(f"{len(rules)} rules went to the judge, {len(outcomes)} came back")
    expectations = tuple(_expectation(outcome) for outcome in outcomes)
    return ValidationReport(
        passed=all(e.passed for e in expectations if e.severity == "critical"),
        dataset_digest=dataset.digest,
        suite_digest=suite_digest(settings.suite),
        rows=len(table["line"]),
        expectations=expectations,
        quarantined=_bad_rows(outcomes, settings.listed_rows),
        columns=(*_lengths(table, settings.bins), *_label_counts(table, dataset)),
    )


def rules_of(suite: dict[str, Any], judge: Judge) -> tuple[Rule, ...]:
    """Reads a suite, and refuses one that could pass data without looking at it.

    Args:
        suite: a `Suite` as plain values.
        judge: asked whether it knows every rule.

    Raises:
        SettingsError: if the suite is empty, asks for no critical row minimum, or
            holds a rule, a column or an argument that nobody knows.
    """
    read = read_settings(Suite, suite, where="the suite")
    rules = tuple(
        read_settings(Rule, raw, where=f"expectation {number} of the suite")
        for number, raw in enumerate(read.expectations, 1)
    )
    if not any(map(_is_row_minimum, rules)):
        raise SettingsError(
            f"The suite {read.name!r} has no critical row minimum: an empty data set would pass.",
            remedy=f"Add {_ROW_COUNT} with min_value of 1 or more.",
        )
    for rule in rules:
        _refuse_unknown_column(rule)
    judge.lint(rules)
    return rules


def suite_digest(suite: dict[str, Any]) -> Digest:
    """Gives a suite's identity: the hash of its canonical JSON."""
    return digest_bytes(json.dumps(suite, sort_keys=True, separators=(",", ":")).encode())


def refuse_bad_data(report: ValidationReport, where: str) -> None:
    """Stops the run if the report says that the data is not fit.

    Args:
        report: the verdict.
        where: the file in which it lies.

    Raises:
        ValidationError: naming every critical expectation that failed.
    """
    if not report.passed:
        failed = "; ".join(
            f"{e.type}{f' on {e.column}' if e.column else ''}: expected {e.expected}, "
            f"observed {e.observed}"
            for e in report.failures
        )
        raise ValidationError(
            f"{len(report.failures)} of {len(report.expectations)} expectations failed: {failed}.",
            remedy=f"Correct the data, or the suite if it asks too much. The report: {where}",
        )


def in_words(kwargs: dict[str, Any]) -> str:
    """Says a rule's arguments as people would.

    Example::

        >>> in_words({"column": "prompt_tokens", "max_value": 512, "mostly": 0.99})
        'at most 512, in 99% of rows'
    """
    rest = {key: value for key, value in kwargs.items() if key not in _SAID}
    parts = [_limits(kwargs), *(f"{key} {value}" for key, value in rest.items())]
    if "quantile_ranges" in kwargs:
        parts.append(_quantiles(kwargs["quantile_ranges"]))
    if "mostly" in kwargs:
        parts.append(f"in {100 * kwargs['mostly']:.4g}% of rows")
    if "row_condition" in kwargs:
        parts.append(f"where {kwargs['row_condition']}")
    return ", ".join(part for part in parts if part)


def _limits(kwargs: dict[str, Any]) -> str:
    if "value_set" in kwargs:
        values = [
            str(value).lower() if value in (True, False) else str(value)
            for value in kwargs["value_set"]
        ]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    return _range(kwargs.get("min_value"), kwargs.get("max_value"))


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:,}" if low == high else f"between {low:,} and {high:,}"
    if low is not None:
        return f"at least {low:,}"
    return "" if high is None else f"at most {high:,}"


def _quantiles(ranges: dict[str, Any]) -> str:
    pairs = zip(ranges["quantiles"], ranges["value_ranges"], strict=True)
    return "; ".join(f"{100 * share:.4g}% quantile {_range(*limits)}" for share, limits in pairs)


def _is_row_minimum(rule: Rule) -> bool:
    low = rule.kwargs.get("min_value")
    return (
        rule.type == _ROW_COUNT
        and rule.severity == "critical"
        and isinstance(low, int | float)
        and low >= 1
    )


def _refuse_unknown_column(rule: Rule) -> None:
    column = rule.kwargs.get("column")
    if column is not None and column not in COLUMNS:
        raise SettingsError(
            f"{rule.type}: unknown column {column!r}, expected one of {', '.join(COLUMNS)}.",
            remedy="Correct the suite.",
        )


def _expectation(outcome: Outcome) -> Expectation:
    rule = outcome.rule
    return Expectation(
        type=rule.type,
        column=str(rule.kwargs.get("column", "")),
        severity=rule.severity,
        passed=outcome.passed and not outcome.fault,
        expected=in_words(rule.kwargs) or _told_by_name(rule),
        observed=outcome.observed,
        unexpected_count=outcome.unexpected,
        note=" ".join(part for part in (rule.notes.strip(), outcome.fault) if part),
    )


def _told_by_name(rule: Rule) -> str:
    words = rule.type.removeprefix("expect_column_").removeprefix("expect_")
    plain = words.replace("_", " ").removeprefix("values to ")
    return plain.removeprefix("be ").replace("not be ", "not ")


def _bad_rows(outcomes: Sequence[Outcome], most: int) -> tuple[Quarantined, ...]:
    reasons: dict[tuple[str, int], list[str]] = {}
    for outcome in outcomes:
        if not outcome.passed:
            column = outcome.rule.kwargs.get("column", "")
            reason = f"{column}: expected {_expectation(outcome).expected}"
            for row in outcome.rows:
                reasons.setdefault(row, []).append(reason)
    return tuple(
        Quarantined(split, line, "; ".join(found))
        for (split, line), found in list(reasons.items())[:most]
    )


def _lengths(table: Table, bins: int) -> list[Column]:
    return [
        _histogram(name, split, table, bins)
        for name in ("prompt_tokens", "completion_tokens")
        for split in dict.fromkeys(table["split"])
    ]


def _histogram(name: str, split: str, table: Table, bins: int) -> Column:
    low, high = min(table[name], default=0), max(table[name], default=0)
    width = (high - low) // bins + 1
    own = (v for v, s in zip(table[name], table["split"], strict=True) if s == split)
    found = Counter((value - low) // width for value in own)
    used = range((high - low) // width + 1)
    starts = [low + number * width for number in used]
    names = [str(start) if width == 1 else f"{start}-{start + width - 1}" for start in starts]
    return Column(name, split, tuple(names), tuple(found[number] for number in used))


def _label_counts(table: Table, dataset: Dataset) -> list[Column]:
    common = {label for label, n in Counter(table["label"]).items() if n >= _FEWEST_ROWS}
    shown = tuple(label for label in dataset.labels if label in common)[:_MOST_LABELS]
    columns = []
    for split in dict.fromkeys(table["split"]) if shown else ():
        own = (v for v, s in zip(table["label"], table["split"], strict=True) if s == split)
        found = Counter(label if label in shown else _OTHERS for label in own)
        names = (*shown, _OTHERS) if found[_OTHERS] else shown
        columns.append(Column("label", split, names, tuple(found[name] for name in names)))
    return columns
