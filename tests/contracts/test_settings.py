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


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"one": {"size": "60%"}}, r"`\$\.one\.size`, where one\.size is '60%'"),
        ({"free": {"a": 1, "b": "1e9"}}, r"where free\.b is '1e9'"),
        ({"many": [{"size": 1}, {"size": True}]}, r"where many\.1\.size is True"),
        ({"named": {"x": {"size": 2}, "y": {"size": None}}}, r"where named\.y\.size is None"),
        ({"one": []}, r"`\$\.one`, where one is \[\]"),
        ({"free": {"long": "x" * 500}}, r"where free\.long is 'x{10,40}\.\.\.x+'\."),
    ],
)
def test_a_value_of_another_type_is_named_with_its_place(raw: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read_settings(Outer, raw)


@pytest.mark.parametrize("raw", ['{"one": {"size": 1, "size": 2}}', '{"one": {}, "one": {}}'])
def test_a_key_that_is_given_twice_is_refused_for_one_of_them_would_be_lost(raw: str) -> None:
    with pytest.raises(SettingsError, match=r"the key '(size|one)' is given twice"):
        read_settings(Outer, raw)
