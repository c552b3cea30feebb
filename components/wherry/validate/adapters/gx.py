"""Holds a table against rules with Great Expectations, and closes its ways of passing unseen.

Great Expectations 1.24 lets data pass that it never looked at: it logs and drops a rule of an
unknown type, and a rule succeeds whose rows or values are all missing. Here the first is refused
and the second has failed.

It wants all rows in one pandas frame, and copies them for each rule. Here it sees no more than a
rule's own columns. What a rule says of a value by itself, it is asked once for each different
value; what it says of rows that agree in a key, once for each part of the keys; and the counts
are added up. Only a rule on a whole column, such as a mean, gets the whole column.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from numbers import Integral, Real
from typing import Any, Final, Literal, NamedTuple

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.registry import get_expectation_impl

from wherry.contracts.errors import SettingsError
from wherry.validate.features import FeatureTable
from wherry.validate.features.frames import FRAME_ROWS, Frame, Frames
from wherry.validate.settings import Rule
from wherry.validate.step import Outcome, columns_of, condition_columns, named_columns

_POSITION: Final = "wherry_position"
"""Where a result says which rule it belongs to: Great Expectations sorts and drops."""
_CORE: Final = "great_expectations.expectations.core."
_OFF_LIMITS: Final = re.compile(
    "expect_table_column|expect_table_row_count_to_equal_other|expect_column_to_exist"
    "|expect_column_type_to_be|expect_query|unexpected_rows"
)
"""Rules on the form of the table, which is Wherry's own, and rules in SQL."""
_OF_A_RUN: Final = frozenset(
    {"batch_id", "catch_exceptions", "include_config", "meta", "result_format", "windows"}
)
"""Arguments that say how a check is run and not what it asks: they could hide its result."""

_NULL_RULES: Final = frozenset(
    {"expect_column_values_to_be_null", "expect_column_values_to_not_be_null"}
)
"""What these say of a row follows from whether it has a value."""
_VALUE_RULES: Final = _NULL_RULES | {
    f"expect_column_{name}"
    for name in (
        "value_lengths_to_be_between",
        "value_lengths_to_equal",
        "values_to_be_between",
        "values_to_be_dateutil_parseable",
        "values_to_be_in_set",
        "values_to_be_json_parseable",
        "values_to_match_json_schema",
        "values_to_match_like_pattern",
        "values_to_match_like_pattern_list",
        "values_to_match_regex",
        "values_to_match_regex_list",
        "values_to_match_strftime_format",
        "values_to_not_be_in_set",
        "values_to_not_match_like_pattern",
        "values_to_not_match_like_pattern_list",
        "values_to_not_match_regex",
        "values_to_not_match_regex_list",
    )
}
"""What these say of a row follows from its value alone."""
_KEY_RULES: Final = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_values_to_be_unique",
        "expect_compound_columns_to_be_unique",
        "expect_multicolumn_sum_to_equal",
        "expect_multicolumn_values_to_be_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)
"""What these say of a row follows from the rows that have the same values."""
_SET_RULES: Final = frozenset(
    f"expect_column_{name}"
    for name in (
        "distinct_values_to_be_in_set",
        "distinct_values_to_contain_set",
        "distinct_values_to_equal_set",
        "max_to_be_between",
        "min_to_be_between",
        "unique_value_count_to_be_between",
    )
)
"""What these say follows from the values that occur, however often."""
_CONDITION: Final = ("row_condition", "condition_parser")
_COUNT_RULES: Final = frozenset(
    {"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"}
)
_AGGREGATES: Final = re.compile(
    "_(mean|median|stdev|sum|quantile_values|proportion_of)_|divergence"
)
"""Of the rest, those that neither depend on the rows' order nor name rows."""


class View(NamedTuple):
    """How rules see the table: rules of one view share its frames."""

    form: Literal["records", "rows", "set", "count", "whole", "ordered"]
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    """What rows of one frame agree in, or the column of which only nulls count."""


@dataclass
class _Tally:
    """What was seen of one rule so far."""

    rule: Rule
    view: View
    rows: int = 0
    """Rows that its condition selects."""
    valued: dict[str, int] = field(default_factory=dict)
    """Of those, rows or records with a value, by column."""
    elements: int = 0
    missing: int = 0
    unexpected: int = 0
    bad: list[int] = field(default_factory=list)
    """Positions of the first bad rows, or of the first rows of bad records."""
    result: Any = None
    """The last result of Great Expectations."""
    fault: str = ""


class _Check:
    """Asks Great Expectations about data frames, one after another."""

    def __init__(self, listed_rows: int) -> None:
        self.listed_rows = listed_rows
        # One context for all: each makes a folder of its own.
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        asset = context.data_sources.add_pandas("memory").add_dataframe_asset("features")
        self._definition = asset.add_batch_definition_whole_dataframe("all")

    def __call__(
        self, frame: pd.DataFrame, rules: Mapping[int, Rule], *, every_index: bool
    ) -> dict[int, Any]:
        """Gives results by the rules' keys; a rule that was dropped has none."""
        batch = self._definition.get_batch({"dataframe": frame})
        suite = gx.ExpectationSuite(
            name="suite", expectations=[_configured(rule, n) for n, rule in rules.items()]
        )
        form = {
            "result_format": "COMPLETE" if every_index else "SUMMARY",
            "partial_unexpected_count": 0 if every_index else self.listed_rows,
        }
        try:
            # A checkpoint would re-hash the frame, and cannot write what a quantile rule gives.
            found = batch.validate(suite, result_format=form)
        except Exception:  # whatever it is, and whatever it quotes: these rules have no result
            alone = [{number: rule} for number, rule in rules.items()] if len(rules) > 1 else []
            results = [self(frame, one, every_index=every_index) for one in alone]
            return {number: result for one in results for number, result in one.items()}
        return {result.expectation_config.meta[_POSITION]: result for result in found.results}


class GreatExpectations:
    """Checks rules on a table of features, little of which is in memory at a time.

    Args:
        frame_rows: about the most rows that a rule sees at once, but for whole columns.
    """

    def __init__(self, frame_rows: int = FRAME_ROWS) -> None:
        self._frame_rows = frame_rows

    def lint(self, rules: Sequence[Rule]) -> None:
        """Refuses rules that Great Expectations does not know or whose arguments it refuses.

        Raises:
            SettingsError: naming the rule and what is wrong with it.
        """
        for number, rule in enumerate(rules, 1):
            try:
                _refuse_odd(rule)
                _configured(rule, number).to_domain_obj()
            except Exception as error:  # each type has its own validators
                reason = " ".join(str(error).split())
                raise SettingsError(
                    f"Expectation {number} of the suite, {rule.type}: {reason}.",
                    remedy="Correct it: https://greatexpectations.io/expectations lists them.",
                ) from error

    def judge(
        self, table: FeatureTable, rules: Sequence[Rule], listed_rows: int
    ) -> Sequence[Outcome]:
        """Gives one outcome a rule, in the same order.

        Args:
            table: the features; the columns that the rules name among them.
            rules: as `lint` let them pass.
            listed_rows: most bad rows that one outcome names.
        """
        tallies = [_Tally(rule, _view(rule), fault=_not_measured(table, rule)) for rule in rules]
        views: dict[View, list[_Tally]] = {}
        for tally in tallies:
            if not tally.fault:
                views.setdefault(tally.view, []).append(tally)
        check = _Check(listed_rows)
        with Frames.opened(table, self._frame_rows) as frames:
            for view, asked in views.items():
                for frame in _frames(frames, view):
                    _look(frame, asked, check)
            return [_outcome(tally, frames, check) for tally in tallies]


def _refuse_odd(rule: Rule) -> None:
    if _OFF_LIMITS.match(rule.type):
        raise ValueError("it asks about the form of a table; ask about the values of a column")
    if odd := sorted(_OF_A_RUN & set(rule.kwargs)):
        raise ValueError(f"{odd[0]} is not an argument that a suite may have")
    if not get_expectation_impl(rule.type).__module__.startswith(_CORE):
        raise ValueError("it is none of Great Expectations' own")


def _configured(rule: Rule, position: int) -> Any:
    return ExpectationConfiguration(
        type=rule.type,
        kwargs=dict(rule.kwargs),
        severity=rule.severity,
        meta={_POSITION: position},
    )


def _not_measured(table: FeatureTable, rule: Rule) -> str:
    missing = [name for name in columns_of([rule]) if name not in table.columns]
    return f"The column {missing[0]} was not measured." if missing else ""


def _view(rule: Rule) -> View:
    own, all_columns = named_columns(rule), columns_of([rule])
    if rule.type in _COUNT_RULES:
        return View("count", condition_columns(rule))
    if rule.type in _SET_RULES:
        return View("set", all_columns)
    if rule.type in _VALUE_RULES:
        return View("records", all_columns, own if rule.type in _NULL_RULES else ())
    if rule.type in _KEY_RULES:
        return View("rows", all_columns, own)
    return View("whole" if _AGGREGATES.search(rule.type) else "ordered", all_columns)


def _frames(frames: Frames, view: View) -> Iterable[Frame]:
    if view.form == "records" or (view.form == "count" and view.columns):
        return frames.records(view.columns, *view.key)
    if view.form == "rows":
        return frames.rows(view.columns, view.key)
    if view.form == "set":
        return [frames.different(view.columns)]
    return [frames.whole(view.columns, ordered=view.form == "ordered")]


def _look(frame: Frame, asked: Sequence[_Tally], check: _Check) -> None:
    """Asks Great Expectations about one frame, and adds what it says to the tallies."""
    form = asked[0].view.form
    selected = {number: _selected(frame, tally) for number, tally in enumerate(asked)}
    seen = [number for number, index in selected.items() if len(index)]
    if form == "count" or not seen:
        return
    rules = {number: asked[number].rule for number in seen}
    found = check(frame.data, rules, every_index=form == "records")
    for number in seen:
        tally, result = asked[number], found.get(number)
        tally.fault = tally.fault or _fault(result, tally.rule)
        if result is not None and not tally.fault:
            tally.result = result
            values = result.result or {}
            if form == "records":
                _add_records(tally, frame, selected[number], values)
            else:
                _add_rows(tally, frame, values)
            tally.bad = sorted(tally.bad)[: check.listed_rows]


def _selected(frame: Frame, tally: _Tally) -> pd.Index:
    """Gives the rows that a rule's condition selects, and counts those with a value."""
    condition = tally.rule.kwargs.get("row_condition")
    try:
        rows = frame.data.query(condition) if condition else frame.data
    except Exception as error:  # a syntax of pandas' own
        tally.fault = f"The row_condition cannot be used: {type(error).__name__}."
        return frame.data.index[:0]
    tally.rows += int((frame.weight[rows.index] if condition else frame.weight).sum())
    for name in named_columns(tally.rule):
        tally.valued[name] = tally.valued.get(name, 0) + int(rows[name].notna().sum())
    return rows.index


def _add_records(tally: _Tally, frame: Frame, index: pd.Index, values: Mapping[str, Any]) -> None:
    """Adds a result on different values: each counts as often as it occurs."""
    (column,) = named_columns(tally.rule)
    null = frame.data[column].isna().to_numpy()[index]
    if tally.rule.type in _NULL_RULES:
        null[:] = False  # these judge every row
    bad = np.array(values.get("unexpected_index_list") or (), dtype=np.int64)
    tally.elements += int(frame.weight[index].sum())
    tally.missing += int(frame.weight[index][null].sum())
    tally.unexpected += int(frame.weight[bad].sum())
    tally.bad += frame.first[bad].tolist()


def _add_rows(tally: _Tally, frame: Frame, values: Mapping[str, Any]) -> None:
    """Adds a result on rows, or on a whole column."""
    tally.elements += int(values.get("element_count") or 0)
    tally.missing += int(values.get("missing_count") or 0)
    tally.unexpected += int(values.get("unexpected_count") or 0)
    bad = np.array(values.get("partial_unexpected_index_list") or (), dtype=np.int64)
    tally.bad += frame.first[bad].tolist()


def _outcome(tally: _Tally, frames: Frames, check: _Check) -> Outcome:
    if tally.view.form == "count" and not tally.fault:
        _judge_count(tally, check)
    if fault := tally.fault or _unseen(tally, frames):
        return Outcome(tally.rule, passed=False, observed="nothing", fault=fault)
    passed = _passed(tally)
    rows = () if passed else _bad_rows(tally, frames, check.listed_rows)
    return Outcome(
        tally.rule,
        passed,
        _in_words(tally),
        tally.unexpected,
        rows,
        checked=tally.elements,
        figure=None if tally.elements else _figure(tally),
    )


def _figure(tally: _Tally) -> float | None:
    value = (tally.result.result or {}).get("observed_value")
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        return None
    return float(value)


def _judge_count(tally: _Tally, check: _Check) -> None:
    """Asks about a number of rows: they need no columns, for the condition has been applied."""
    kwargs = {k: v for k, v in tally.rule.kwargs.items() if k not in _CONDITION}
    rule = replace(tally.rule, kwargs=kwargs)
    rows = pd.DataFrame(index=pd.RangeIndex(tally.rows))
    tally.result = check(rows, {0: rule}, every_index=False).get(0)
    tally.fault = _fault(tally.result, rule)


def _unseen(tally: _Tally, frames: Frames) -> str:
    """Says why a rule has looked at nothing, or gives an empty text."""
    if not frames.table.rows:
        return "There is no row to check."
    if not tally.rows:
        return "The row_condition selects no row."
    empty = [name for name, count in tally.valued.items() if not count]
    if empty and tally.rule.type not in _NULL_RULES:
        return f"The column {empty[0]} has no value to check."
    return ""


def _passed(tally: _Tally) -> bool:
    """Gives the verdict on added counts, as Great Expectations gives it on one frame.

    Its formula is `_mostly_success` in
    https://github.com/great-expectations/great_expectations/blob/1.24.1/great_expectations/expectations/expectation.py.
    """
    if tally.view.form not in ("records", "rows"):
        return bool(tally.result.success)
    judged = float(tally.elements - tally.missing)
    good = judged - float(tally.unexpected)
    return judged > 0 and good / judged >= float(tally.rule.kwargs.get("mostly", 1))


def _bad_rows(tally: _Tally, frames: Frames, listed: int) -> tuple[tuple[str, int], ...]:
    bad: Sequence[int] = tally.bad
    if tally.view.form == "records":
        bad = frames.alike(bad, listed, tally.view.columns, *tally.view.key)
    lines = frames.lines(bad)
    return tuple(lines[position] for position in bad)


def _fault(result: Any, rule: Rule) -> str:
    """Says why a check gave no verdict; never with a value of the data."""
    if result is None:
        return "Great Expectations gave no result."
    info = result.exception_info or {}
    for one in (info, *(part for part in info.values() if isinstance(part, Mapping))):
        if one.get("raised_exception"):
            return f"The check ended with {_named(one)}{_hint(rule)}."
    return ""


def _named(info: Mapping[str, Any]) -> str:
    # The message may quote a value; the last line of the trail has the exception's name.
    lines = str(info.get("exception_traceback") or "").strip().splitlines() or [""]
    found = re.match(r"[A-Za-z_][\w.]*(?=:|$)", lines[-1])
    return f"the error {found[0].rpartition('.')[2]}" if found else "an error"


def _hint(rule: Rule) -> str:
    columns = ", ".join(columns_of([rule]))
    return f"; does it suit the values of {columns}?" if columns else ""


def _in_words(tally: _Tally) -> str:
    """Says a result in numbers alone: a value of the data could be anything."""
    if tally.elements:
        return f"{tally.unexpected:,} of {tally.elements:,} rows broke it"
    values = tally.result.result or {}
    observed = values.get("observed_value")
    if isinstance(observed, Mapping):
        observed = observed.get("values", ())
    if isinstance(observed, Sequence) and not isinstance(observed, str):
        return ", ".join(filter(None, map(_number, observed))) or "other values"
    return _number(observed) or f"{values.get('unexpected_count', 0):,} unexpected values"


def _number(value: object) -> str:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return f"{int(value):,}"
    return f"{float(value):,.4g}" if isinstance(value, Real) else ""
