import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.page import words

NBSP, MINUS = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.percent(0.7142), "71.4%"),
        (words.percent(1.0), "100.0%"),
        (words.points(0.693), f"+69.3{NBSP}points"),
        (words.points(-0.005), f"{MINUS}0.5{NBSP}points"),
        (words.points(-0.00001), f"±0.0{NBSP}points"),
        (words.number(2100), "2,100"),
        (words.number(66.83), "66.8"),
        (words.number(-3), f"{MINUS}3"),
        (words.number(4.9e-6, 2), "4.9\N{MULTIPLICATION SIGN}10⁻⁶"),
        (words.number(1e-4, 2), "1\N{MULTIPLICATION SIGN}10⁻⁴"),
        (words.number(0.0023, 2), "0.0023"),
        (words.tick(7.5), "7.5"),
        (words.tick(1_250_000.0), "1,250,000"),
        (words.tick(-0.0025), f"{MINUS}0.0025"),
        (words.size(144_811_392), "145 MB"),
        (words.size(0), "0 bytes"),
        (words.size(999), "999 bytes"),
        (words.size(1.5e9), "1.50 GB"),
        (words.duration(42), "42 s"),
        (words.duration(151.3), "2 min 31 s"),
        (words.duration(7260), "2 h 1 min"),
        (words.quantity(66.8, "tokens/s"), "66.8 tokens/s"),
        (words.quantity(0.02, ""), "2.0%"),
        (words.quantity(-0.004, ""), f"{MINUS}0.4%"),
        (words.quantity(15.8, ""), "15.8"),
        (words.measured("kl", 0.02, ""), "0.0200"),
        (words.measured("accuracy", 0.02, ""), "2.0%"),
        (words.interval(0.67, 0.755), "67.0\N{EN DASH}75.5%"),
        (words.interval(63.1, 70.2, "tokens/s"), "63.1 to 70.2 tokens/s"),
        (words.interval(None, 0.5), ""),
        (words.metric("macro_f1"), "Macro-F1"),
        (words.metric("toxic_share"), "Toxic share"),
        (words.plural(1, "row"), "1 row"),
        (words.plural(2100, "row"), "2,100 rows"),
        (words.short("sha256:0123456789abcdef"), "0123456789ab"),
        (words.moment("2026-11-21T22:41:07Z"), "2026-11-21 22:41 UTC"),
        (words.moment("2026-11-21T22:41:07+02:00"), "2026-11-21 20:41 UTC"),
        (words.moment("yesterday"), "yesterday"),
        (words.clip("congenital", 18), "congenital"),
        (words.clip("a very long name of a class", 10), "a very lo…"),
        (words.clip("感染症と寄生虫症の章", 10), "感染症と…"),
    ],
)
def test_numbers_and_names_read_as_a_person_writes_them(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_known_is_a_dash(value: float | None) -> None:
    said = (
        words.percent(value),
        words.points(value),
        words.number(value),
        words.size(value),
        words.duration(value),
        words.quantity(value, "ms"),
        words.measured("kl", value, ""),
    )
    assert set(said) == {words.MISSING}


@given(st.floats(-1e18, 1e18, allow_nan=False))
def test_no_number_is_too_odd_to_say(value: float) -> None:
    assert words.number(value)
    assert words.size(value)
    assert words.quantity(value, "")


@given(st.text(max_size=60), st.integers(2, 20))
def test_clipping_keeps_within_its_columns(text: str, columns: int) -> None:
    assert words.width(words.clip(text, columns)) <= columns


@pytest.mark.parametrize("value", [1.8e306, -1.8e306, float("inf"), float("nan"), None])
def test_a_share_that_is_no_finite_percentage_is_missing(value: float | None) -> None:
    assert words.percent(value) == words.points(value) == words.MISSING


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, größer, 日本", "plain, größer, 日本"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("half \ud83d", "half \\ud83d"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_what_would_steer_a_terminal_is_shown(text: str, seen: str) -> None:
    assert words.visible(text) == seen
    words.visible(text).encode()
