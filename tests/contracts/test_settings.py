"""Settings are read strictly, at any depth."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError


@dataclass(frozen=True)
class Inner:
    size: int = 1
    mode: Literal["slow", "fast"] = "slow"


@dataclass(frozen=True)
class Outer:
    one: Inner = Inner()
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)


def test_nested_settings_are_read() -> None:
    raw = {"one": {"size": 2}, "many": [{"size": 3}], "named": {"a": {"size": 4}}, "free": {"x": 5}}
    assert read_settings(Outer, raw) == Outer(Inner(2), (Inner(3),), {"a": Inner(4)}, {"x": 5})


@pytest.mark.parametrize(
    "raw", [{"one": {"siz": 2}}, {"many": [{}, {"siz": 2}]}, {"named": {"a": {"siz": 2}}}]
)
def test_an_unknown_name_is_refused_at_any_depth(raw: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"unknown field 'siz', expected one of mode, size"):
        read_settings(Outer, raw)


def test_a_choice_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match=r"expected one of slow, fast"):
        read_settings(Outer, {"one": {"mode": "quick"}})
