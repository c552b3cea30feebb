"""Refuses arguments of a rule that ask for nothing, or for what no value can be.

Great Expectations lets a rule without limits pass, and one that forbids values which a column
cannot hold; limits the wrong way round fail only after all rows were read.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from wherry.validate.features import Storage

_LOW_AND_HIGH: Final = ("min_value", "max_value")
_ASKING: Final[Mapping[str, tuple[str, ...]]] = {
    "expect_column_kl_divergence_to_be_less_than": ("threshold",),
    "expect_column_quantile_values_to_be_between": ("quantile_ranges",),
    "expect_column_values_to_be_in_type_list": ("type_list",),
    "expect_column_values_to_match_regex": ("regex",),
}
"""Rules that pass whatever the data is without one of these, beside those with two limits."""
_LANGUAGES: Final = frozenset({"language", "completion_language"})
_LANGUAGE: Final = re.compile("[a-z]{2,3}")
"""ISO 639; ``und`` is its own for what nobody can tell."""


def refuse_odd_limits(kind: str, kwargs: Mapping[str, Any], columns: Mapping[str, Storage]) -> None:
    """Refuses what a rule's arguments cannot mean.

    Args:
        kind: the rule's type.
        kwargs: its arguments; their columns are known.
        columns: every column with what it holds.

    Raises:
        ValueError: naming the argument, its value and what was expected.
    """
    _refuse_nothing_asked(kind, kwargs)
    _refuse_odd_range(_LOW_AND_HIGH, kwargs.get("min_value"), kwargs.get("max_value"))
    if "quantile_ranges" in kwargs:
        _refuse_odd_quantiles(kwargs["quantile_ranges"])
    if isinstance(column := kwargs.get("column"), str) and "value_set" in kwargs:
        _refuse_odd_set(column, kwargs["value_set"], text=columns[column] == "text")
    for regex in _listed(kwargs.get("regex")) + _listed(kwargs.get("regex_list")):
        _refuse_odd_regex(regex)


def _refuse_nothing_asked(kind: str, kwargs: Mapping[str, Any]) -> None:
    asking = _ASKING.get(kind) or (_LOW_AND_HIGH if kind.endswith("_to_be_between") else ())
    if asking and all(kwargs.get(name) in (None, "") for name in asking):
        raise ValueError(f"it passes whatever the data is without {' or '.join(asking)}")


def _refuse_odd_range(names: tuple[str, str], low: object, high: object) -> None:
    for name, limit in zip(names, (low, high), strict=True):
        if limit is not None and not _is_number(limit):
            raise ValueError(f"{name} must be a number, got {limit!r}")
    if _is_number(low) and _is_number(high) and low > high:
        raise ValueError(f"{names[0]} {low:,} is above {names[1]} {high:,}")


def _refuse_odd_quantiles(ranges: object) -> None:
    match ranges:
        case {"quantiles": [*shares], "value_ranges": [*limits]} if len(shares) == len(limits):
            for share, pair in zip(shares, limits, strict=True):
                _refuse_odd_quantile(share, pair)
        case _:
            raise ValueError("quantile_ranges must have quantiles, and value_ranges for each")


def _refuse_odd_quantile(share: object, pair: object) -> None:
    if not (_is_number(share) and 0 <= share <= 1):
        raise ValueError(f"each of quantiles must be in [0, 1], got {share!r}")
    match pair:
        case [low, high] if (low, high) != (None, None):
            _refuse_odd_range(("the low end", "the high end"), low, high)
        case _:
            raise ValueError(f"each of value_ranges must be [LOW, HIGH], got {pair!r}")


def _refuse_odd_set(column: str, values: object, *, text: bool) -> None:
    """Refuses values that a column never has; YAML makes a boolean of `no`, a number of `1`."""
    for value in _listed(values):
        if isinstance(value, str) != text:
            what = 'texts: quote each, such as "no"' if text else "values without quotes"
            raise ValueError(f"value_set of {column} must be {what}, got {value!r}")
        if column in _LANGUAGES and not _LANGUAGE.fullmatch(str(value)):
            raise ValueError(f"value_set of {column} must be codes such as 'en', got {value!r}")


def _refuse_odd_regex(regex: object) -> None:
    try:
        re.compile(str(regex))
    except re.error as error:
        raise ValueError(f"regex {regex!r} does not compile: {error}") from error


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
