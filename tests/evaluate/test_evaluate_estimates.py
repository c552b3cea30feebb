"""Estimates against published values, hand-made cases and a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.evaluate.estimates import Draws, Estimate, median, resample, share
from wherry.evaluate.measures.measure import divided


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion" (1998),
        # table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_share_has_the_published_wilson_interval(
    hits: int, n: int, low: float, high: float
) -> None:
    found = share(hits, n)
    assert found.value == pytest.approx(hits / n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_share_of_nothing_is_unknown() -> None:
    assert share(0, 0) == Estimate()


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_lies_in_its_interval_within_zero_and_one(case: tuple[int, int]) -> None:
    found = share(*case)
    assert found.value is not None and found.low is not None and found.high is not None
    assert -1e-12 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1 + 1e-12


def test_median_and_its_interval() -> None:
    found = median([5.0, 1.0, 3.0], Draws(500, 0))
    assert (found.value, found.low, found.high) == (3.0, 1.0, 5.0)
    assert median([], Draws(500, 0)) == Estimate()


def test_of_one_value_there_is_no_interval() -> None:
    assert median([5.0], Draws(500, 0)) == Estimate(5.0)
    assert _mean([3.0]) == Estimate(3.0)
    two = _mean([3.0, 5.0])
    assert (two.low, two.value, two.high) == (3.0, 4.0, 5.0)


def _mean(values: list[float]) -> Estimate:
    rows = np.array([(value, 1.0) for value in values])
    return resample(
        rows, lambda sums: divided(sums[:, :1], sums[:, 1:]), Draws(500, 0)
    ).estimates()[0]
