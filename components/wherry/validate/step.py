"""Turns a table of features and a suite of expectations into a report on the data."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from wherry.contracts import (
    Digest,
    Expectation,
    Quarantined,
    ReasonCount,
    SetAside,
    Source,
    ValidationReport,
    digest_bytes,
    read_settings,
)
from wherry.contracts.errors import SettingsError, ValidationError
from wherry.contracts.validation import Column
from wherry.validate.conditions import columns_of_condition
from wherry.validate.features import FeatureTable, Storage
from wherry.validate.limits import refuse_odd_limits
from wherry.validate.settings import Rule, Suite, ValidateSettings

_ROW_COUNT: Final = "expect_table_row_count_to_be_between"
_COLUMN_ARGUMENTS: Final = ("column", "column_A", "column_B", "column_list")
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
_SETS: Final = {
    "expect_column_distinct_values_to_contain_set": "all of",
    "expect_column_distinct_values_to_equal_set": "exactly",
    "expect_column_values_to_not_be_in_set": "none of",
}
"""What a set of values is for, but where each value must be one of it."""


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
    checked: int = 0
    """Rows that were looked at one by one; 0 for a rule on the whole."""
    figure: float | None = None
    """The one number that was held against limits; None for a rule on each row."""


class Judge(Protocol):
    """Holds a table against rules: what `validate` needs of Great Expectations."""

    def lint(self, rules: Sequence[Rule]) -> None:
        """Refuses rules that it cannot check.

        Raises:
            SettingsError: naming the rule and what is wrong with it.
        """

    def judge(
        self, table: FeatureTable, rules: Sequence[Rule], listed_rows: int
    ) -> Sequence[Outcome]:
        """Gives one outcome a rule, in the same order; a check that ends badly has failed."""


class Accepted(Protocol):
    """Remembers the last report on each data set that let it pass."""

    def last(self, source: Source) -> ValidationReport | None:
        """Gives the last one on the data of a source, or None if none is known here."""

    def keep(self, report: ValidationReport) -> None:
        """Remembers one."""


def validate(
    table: FeatureTable,
    rules: Sequence[Rule],
    judge: Judge,
    settings: ValidateSettings,
    *,
    dataset_digest: Digest,
    source: Source,
    distributions: Sequence[Column] = (),
    set_aside: Iterable[SetAside] = (),
) -> ValidationReport:
    """Judges a data set by a suite that `rules_of` gave.

    Args:
        table: the features of every row, those that the rules name among them.
        rules: at least one.
        judge: what checks them.
        settings: the suite they came from, and how much the report lists.
        dataset_digest: whose rows they are.
        source: where those were taken from.
        distributions: for the report's plots.
        set_aside: the rows that could not be read.

    Returns:
        The report; `passed` is False if a critical expectation failed.

    Raises:
        RuntimeError: if the judge lost a rule.
    """
    outcomes = judge.judge(table, rules, settings.listed_rows)
    if not rules or [outcome.rule for outcome in outcomes] != list(rules):
        raise RuntimeError(f"{len(rules)} rules went to the judge, {len(outcomes)} came back")
    expectations = tuple(_expectation(outcome) for outcome in outcomes)
    reasons = Counter(row.reason for row in set_aside).most_common()
    return ValidationReport(
        passed=all(e.passed for e in expectations if e.severity == "critical"),
        dataset_digest=dataset_digest,
        suite_digest=suite_digest(settings.suite),
        rows=table.rows,
        expectations=expectations,
        quarantined=_bad_rows(outcomes, settings.listed_rows),
        columns=tuple(distributions),
        source=source,
        set_aside=tuple(ReasonCount(reason, rows) for reason, rows in reasons),
    )


def rules_of(
    suite: dict[str, Any], judge: Judge, columns: Mapping[str, Storage]
) -> tuple[Rule, ...]:
    """Reads a suite, and refuses one that could pass data without looking at it.

    Args:
        suite: a `Suite` as plain values.
        judge: asked whether it knows every rule.
        columns: those that a rule may use, with what each holds.

    Raises:
        SettingsError: if the suite is empty, asks for no critical row minimum, or holds a rule,
            a column or an argument that nobody knows, or limits that nothing can keep or break.
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
    _refuse_each(rules, lambda rule: _refuse_odd(rule, columns))
    judge.lint(rules)
    # Only now: a limit whose name is misspelt is told as such, not as one that is missing.
    _refuse_each(rules, lambda rule: refuse_odd_limits(rule.type, rule.kwargs, columns))
    return rules


def named_columns(rule: Rule) -> tuple[str, ...]:
    """Gives the columns that a rule asks about, without those of its condition."""
    given = (rule.kwargs.get(name, ()) for name in _COLUMN_ARGUMENTS)
    names = (name for one in given for name in ([one] if isinstance(one, str) else one))
    return tuple(dict.fromkeys(names))


def condition_columns(rule: Rule) -> tuple[str, ...]:
    """Gives the columns that a rule's ``row_condition`` looks at."""
    condition = rule.kwargs.get("row_condition")
    return tuple(sorted(columns_of_condition(condition))) if condition else ()


def columns_of(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Gives every column that must be measured to judge some rules."""
    names = (name for rule in rules for name in (*named_columns(rule), *condition_columns(rule)))
    return tuple(dict.fromkeys(names))


def suite_digest(suite: dict[str, Any]) -> Digest:
    """Gives a suite's identity: the hash of its canonical JSON."""
    # In `meta` YAML makes a date of what is written like one.
    text = json.dumps(suite, sort_keys=True, separators=(",", ":"), default=str)
    return digest_bytes(text.encode())


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


def in_words(kwargs: dict[str, Any], kind: str = "") -> str:
    """Says a rule's arguments as people would.

    Args:
        kwargs: the arguments.
        kind: the rule's type, which tells what a set of values is for.

    Example::

        >>> in_words({"column": "prompt_tokens", "max_value": 512, "mostly": 0.99})
        'at most 512, in 99% of rows'
    """
    rest = {key: value for key, value in kwargs.items() if key not in _SAID}
    parts = [_limits(kwargs, kind), *(f"{key} {value}" for key, value in rest.items())]
    if "quantile_ranges" in kwargs:
        parts.append(_quantiles(kwargs["quantile_ranges"]))
    if "mostly" in kwargs:
        parts.append(f"in {100 * kwargs['mostly']:.4g}% of rows")
    if "row_condition" in kwargs:
        parts.append(f"where {kwargs['row_condition']}")
    return ", ".join(part for part in parts if part)


def _limits(kwargs: dict[str, Any], kind: str) -> str:
    if "value_set" in kwargs:
        values = [
            str(value).lower() if value in (True, False) else str(value)
            for value in kwargs["value_set"]
        ]
        meant = _SETS.get(kind, "" if len(values) == 1 else "one of")
        return f"{meant} {', '.join(values)}".strip()
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


def _refuse_each(rules: Sequence[Rule], refuse: Callable[[Rule], None]) -> None:
    for number, rule in enumerate(rules, 1):
        try:
            refuse(rule)
        except ValueError as error:
            raise SettingsError(
                f"Expectation {number} of the suite, {rule.type}: {error}.",
                remedy="Correct the suite.",
            ) from error


def _refuse_odd(rule: Rule, columns: Mapping[str, Storage]) -> None:
    """Refuses what would make a rule pass unseen, or fail only after all rows were read."""
    _refuse_odd_columns(rule)
    for name in columns_of([rule]):
        if name not in columns:
            raise ValueError(f"unknown column {name!r}, expected one of {', '.join(columns)}")
    if rule.kwargs.get("row_condition") and rule.kwargs.get("condition_parser") != "pandas":
        raise ValueError("a row_condition needs condition_parser: pandas")
    mostly = rule.kwargs.get("mostly", 1)
    if isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 < mostly <= 1:
        raise ValueError(f"mostly must be in (0, 1], got {mostly!r}")
    _refuse_odd_value("kwargs", rule.kwargs)


def _refuse_odd_columns(rule: Rule) -> None:
    for argument in _COLUMN_ARGUMENTS:
        given = rule.kwargs.get(argument, "")
        listed = given if isinstance(given, list) and argument == "column_list" else [given]
        if not all(isinstance(name, str) for name in listed):
            raise ValueError(f"{argument} must name columns, got {given}")
    if not isinstance(rule.kwargs.get("row_condition", ""), str):
        raise ValueError("row_condition must be a text")


def _refuse_odd_value(name: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if isinstance(value, list | dict) and not value and name != "kwargs":
        raise ValueError(f"{name} must not be empty")
    if isinstance(value, dict):
        for key, part in value.items():
            _refuse_odd_value(str(key), part)
    if isinstance(value, list):
        for part in value:
            _refuse_odd_value(name, part)


def _expectation(outcome: Outcome) -> Expectation:
    rule = outcome.rule
    return Expectation(
        type=rule.type,
        column=str(rule.kwargs.get("column", "")),
        severity=rule.severity,
        passed=outcome.passed and not outcome.fault,
        expected=in_words(rule.kwargs, rule.type) or _told_by_name(rule),
        observed=outcome.observed,
        unexpected_count=outcome.unexpected,
        note=" ".join(part for part in (rule.notes.strip(), outcome.fault) if part),
        low=_limit(rule, "min_value"),
        high=_limit(rule, "max_value"),
        mostly=rule.kwargs.get("mostly", 1.0),
        checked_rows=outcome.checked,
        figure=outcome.figure,
    )


def _limit(rule: Rule, name: str) -> float | None:
    # A limit may be a date too, which no plot has an axis for.
    value = rule.kwargs.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


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
