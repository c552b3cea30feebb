"""Estimates against published values, hand-made cases and a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.evaluate.estimates import Estimate, f1, median, share


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


def test_f1_of_a_case_counted_by_hand() -> None:
    truth = [0, 0, 1, 1, 2]
    guess = [0, 1, 1, 1, -1]
    each, macro = f1(truth, guess, 4, resamples=200, seed=0)
    # Class 0: 1 right of 2 true and 1 guessed; class 1: 2 of 2 and 3; class 2: 0 of 1 and 0.
    assert [found.value for found in each] == [pytest.approx(2 / 3), pytest.approx(0.8), 0.0, None]
    assert macro.value == pytest.approx((2 / 3 + 0.8 + 0) / 3)


def test_a_class_that_is_guessed_but_never_true_counts_as_zero() -> None:
    each, macro = f1([0, 0], [0, 1], 2, resamples=100, seed=0)
    assert each[1].value == 0.0
    assert macro.value == pytest.approx((2 / 3 + 0) / 2)


def test_a_class_that_is_nowhere_is_left_out_of_the_mean() -> None:
    each, macro = f1([0, 1], [0, 1], 5, resamples=100, seed=0)
    assert each[2:] == [Estimate()] * 3
    assert macro == Estimate(1.0, 1.0, 1.0)


def test_f1_of_no_rows_is_unknown() -> None:
    assert f1([], [], 2, resamples=100, seed=0) == ([Estimate(), Estimate()], Estimate())


def test_f1_intervals_follow_the_seed_alone() -> None:
    truth, guess = [0, 1, 2] * 20, [0, 1, 1] * 20
    first, again, other = (f1(truth, guess, 3, resamples=300, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_f1_intervals_are_those_of_rows_drawn_one_by_one() -> None:
    random = np.random.default_rng(7)
    truth = random.integers(0, 3, 90)
    guess = np.where(random.random(90) < 0.7, truth, random.integers(-1, 3, 90))
    _, macro = f1(truth.tolist(), guess.tolist(), 3, resamples=4000, seed=0)
    drawn = []
    for _ in range(4000):
        rows = random.integers(0, 90, 90)
        drawn.append(_plain_macro_f1(truth[rows], guess[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert macro.value == pytest.approx(_plain_macro_f1(truth, guess))
    assert (macro.low, macro.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def _plain_macro_f1(truth: np.ndarray, guess: np.ndarray) -> float:
    scores = []
    for number in range(3):
        right = int(((truth == number) & (guess == number)).sum())
        wrong = int(((truth == number) != (guess == number)).sum())
        if right + wrong:
            scores.append(2 * right / (2 * right + wrong))
    return float(np.mean(scores))


def test_median_and_its_interval() -> None:
    found = median([5.0, 1.0, 3.0], resamples=500, seed=0)
    assert (found.value, found.low, found.high) == (3.0, 1.0, 5.0)
    assert median([], resamples=500, seed=0) == Estimate()
