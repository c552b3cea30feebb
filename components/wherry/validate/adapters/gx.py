"""Holds a table against rules with Great Expectations, and closes its ways of passing unseen.

Great Expectations 1.24 lets data pass that it never looked at: it logs and drops a rule of an
unknown type, and a rule succeeds whose rows or values are all missing. Here the first is refused
and the second has failed.
"""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Final

import great_expectations as gx
import pandas as pd
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from wherry.contracts.errors import SettingsError
from wherry.validate.features import Table
from wherry.validate.settings import Rule
from wherry.validate.step import Outcome

_POSITION: Final = "wherry_position"
"""Where a result says which rule it belongs to: Great Expectations sorts and drops."""
_HASHES: Final = ("id", "prompt", "completion", "group")
_COLUMN_ARGUMENTS: Final = ("column", "column_A", "column_B", "column_list")


class GreatExpectations:
    """Checks rules on a table in memory, in one suite and one batch."""

    def lint(self, rules: Sequence[Rule]) -> None:
        """Refuses rules that Great Expectations does not know or whose arguments it refuses.

        Raises:
            SettingsError: naming the rule and what is wrong with it.
        """
        for number, rule in enumerate(rules, 1):
            try:
                _configured(rule, number).to_domain_obj()
            except Exception as error:  # each type has its own validators
                reason = " ".join(str(error).split())
                raise SettingsError(
                    f"Expectation {number} of the suite, {rule.type}: {reason}.",
                    remedy="Correct it: https://greatexpectations.io/expectations lists them.",
                ) from error

    def judge(self, table: Table, rules: Sequence[Rule], listed_rows: int) -> Sequence[Outcome]:
        """Gives one outcome a rule, in the same order.

        Args:
            table: one value a row in each column, ``split`` and ``line`` among them.
            rules: as `lint` let them pass.
            listed_rows: most bad rows that one outcome names.
        """
        frame = _frame(table)
        unseen = [_unseen(frame, rule) for rule in rules]
        seen = [n for n, reason in enumerate(unseen) if not reason]
        results = _results(frame, {n: rules[n] for n in seen}, listed_rows) if seen else {}
        return [
            _outcome(rule, results.get(n), unseen[n] or "Great Expectations gave no result.")
            for n, rule in enumerate(rules)
        ]


def _results(frame: pd.DataFrame, rules: Mapping[int, Rule], listed: int) -> dict[int, Any]:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("features")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(
        name="suite", expectations=[_configured(rule, n) for n, rule in rules.items()]
    )
    # A checkpoint would re-hash the frame, and cannot write the result of a quantile rule.
    found = batch.validate(
        suite,
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": listed,
            "unexpected_index_column_names": ["split", "line"],
        },
    )
    return {result.expectation_config.meta[_POSITION]: result for result in found.results}


def _configured(rule: Rule, position: int) -> Any:
    return ExpectationConfiguration(
        type=rule.type,
        kwargs=dict(rule.kwargs),
        severity=rule.severity,
        meta={_POSITION: position},
    )


def _frame(table: Table) -> pd.DataFrame:
    # Pandas makes floats of integers with gaps: then two hashes can become one.
    columns = {
        name: pd.array(values, dtype="Int64") if name in _HASHES else values
        for name, values in table.items()
    }
    return pd.DataFrame(columns)


def _unseen(frame: pd.DataFrame, rule: Rule) -> str:
    """Says why a rule would look at nothing, or gives an empty text."""
    if frame.empty:
        return "There is no row to check."
    condition = rule.kwargs.get("row_condition")
    try:
        rows = frame.query(condition) if condition else frame
    except Exception as error:  # a syntax of pandas' own
        return f"The row_condition cannot be used: {type(error).__name__}."
    if rows.empty:
        return "The row_condition selects no row."
    empty = [name for name in _columns(rule) if name in rows and rows[name].isna().all()]
    if empty and not rule.type.endswith("_null"):
        return f"The column {empty[0]} has no value to check."
    return ""


def _columns(rule: Rule) -> Iterable[str]:
    for name in _COLUMN_ARGUMENTS:
        value = rule.kwargs.get(name, ())
        yield from (value,) if isinstance(value, str) else value


def _outcome(rule: Rule, result: Any, otherwise: str) -> Outcome:
    if result is None:
        return Outcome(rule, passed=False, observed="nothing", fault=otherwise)
    if fault := _fault(result.exception_info or {}):
        return Outcome(rule, passed=False, observed="nothing", fault=fault)
    values = result.result or {}
    listed = values.get("partial_unexpected_index_list") or ()
    return Outcome(
        rule,
        passed=bool(result.success),
        observed=_in_words(values),
        unexpected=int(values.get("unexpected_count") or 0),
        rows=tuple((str(row["split"]), int(row["line"])) for row in listed),
    )


def _fault(info: Mapping[str, Any]) -> str:
    for one in (info, *(part for part in info.values() if isinstance(part, Mapping))):
        if one.get("raised_exception"):
            # The last line has the cause; what stands above it is a trail through the library.
            lines = str(one.get("exception_message") or "").strip().splitlines() or ["no reason"]
            return f"The check ended with an error: {lines[-1][:200]}."
    return ""


def _in_words(values: Mapping[str, Any]) -> str:
    """Says a result in numbers alone: a value of the data could be anything."""
    if values.get("element_count"):
        return f"{values.get('unexpected_count', 0):,} of {values['element_count']:,} rows broke it"
    observed = values.get("observed_value")
    if isinstance(observed, Mapping):
        observed = observed.get("values", ())
    if isinstance(observed, Sequence) and not isinstance(observed, str):
        return ", ".join(_number(value) for value in observed) or "nothing"
    return _number(observed) or f"{values.get('unexpected_count', 0):,} unexpected values"


def _number(value: object) -> str:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return f"{int(value):,}"
    return f"{float(value):,.4g}" if isinstance(value, Real) else ""
