"""Of a thousand 95% intervals, between 930 and 970 hold what they should."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from wherry.evaluate.estimates import Draws, Estimate, Floats, quantile, share
from wherry.evaluate.measures.classes import classes
from wherry.evaluate.measures.likelihood import TERMS, perplexity
from wherry.evaluate.measures.measure import Measure, mean
from wherry.evaluate.paired.statistics import mcnemar, paired_bootstrap
from wherry.evaluate.predictions import Prediction

pytestmark = pytest.mark.slow

TRIALS = 1000
LABELS = ("a", "b", "c")
ANSWERED = np.array([[0.80, 0.15, 0.05], [0.10, 0.60, 0.30], [0.05, 0.05, 0.90]])
"""The share of each answer, by true class."""


def covered(trial: Callable[[int], tuple[float | None, float | None]], truth: float) -> float:
    hits = 0
    for number in range(TRIALS):
        low, high = trial(number)
        assert low is not None and high is not None
        hits += low <= truth <= high
    return hits / TRIALS


@pytest.mark.parametrize(("n", "p"), [(50, 0.7), (100, 0.9), (315, 0.62), (1000, 0.5)])
def test_a_share_lies_in_wilsons_interval(n: int, p: float) -> None:
    random = np.random.default_rng(n)
    estimate: Callable[[int], Estimate] = cache(lambda hits: share(hits, n))

    def trial(number: int) -> tuple[float | None, float | None]:
        found = estimate(int(random.binomial(n, p)))
        return found.low, found.high

    assert 0.93 <= covered(trial, p) <= 0.97


@pytest.mark.parametrize(
    ("n", "cells"), [(100, (0.6, 0.1, 0.15, 0.15)), (315, (0.5, 0.1, 0.1, 0.3))]
)
def test_the_difference_of_two_shares_of_the_same_rows_lies_in_newcombes_interval(
    n: int, cells: tuple[float, ...]
) -> None:
    random = np.random.default_rng(n)

    def trial(number: int) -> tuple[float, float]:
        both, first, second, neither = random.multinomial(n, cells)
        champion = [True] * (both + first) + [False] * (second + neither)
        challenger = [True] * both + [False] * first + [True] * second + [False] * neither
        found = mcnemar(champion, challenger)
        return found.low, found.high

    assert 0.93 <= covered(trial, cells[2] - cells[1]) <= 0.97


def _labelled(random: np.random.Generator, n: int) -> list[Prediction]:
    truth = random.integers(0, 3, n)
    guess = (random.random(n)[:, None] > ANSWERED.cumsum(axis=1)[truth]).sum(axis=1)
    return [_judged(LABELS[true], LABELS[said]) for true, said in zip(truth, guess, strict=True)]


@cache
def _judged(label: str, answer: str) -> Prediction:
    return Prediction("r", label, answer, "", label == answer)


def _macro_f1() -> float:
    right = np.diag(ANSWERED)
    each: Floats = 2 * right / (1 + ANSWERED.sum(axis=0))
    return float(each.mean())


def _scored(random: np.random.Generator, n: int) -> list[Prediction]:
    """Token F1 as it comes: many zeros, many ones, and halves between."""
    values = random.choice([0.0, 0.5, 2 / 3, 1.0], n, p=[0.3, 0.2, 0.1, 0.4])
    return [Prediction("r", "", "", "", False, terms={"token_f1": (v,)}) for v in values.tolist()]


def _likely(random: np.random.Generator, n: int) -> list[Prediction]:
    """Texts of 1 to 20 tokens, each of them 2 nats in the mean."""
    tokens = random.integers(1, 21, n)
    nats = random.gamma(tokens, 2.0)
    terms = zip(nats.tolist(), tokens.tolist(), strict=True)
    return [Prediction("r", "", "", "", False, terms={TERMS: (a, b, 4 * b)}) for a, b in terms]


@pytest.mark.parametrize(
    ("measure", "make", "n", "truth"),
    [
        (mean("token_f1"), _scored, 60, 0.2 * 0.5 + 0.1 * 2 / 3 + 0.4),
        (classes(LABELS, ["macro_f1"]), _labelled, 60, _macro_f1()),
        (classes(LABELS, ["macro_f1"]), _labelled, 300, _macro_f1()),
        (perplexity(), _likely, 100, float(np.exp(2.0))),
    ],
    ids=["mean", "macro F1 of 60", "macro F1 of 300", "perplexity"],
)
def test_what_is_no_share_lies_in_its_bootstrap_interval(
    measure: Measure,
    make: Callable[[np.random.Generator, int], list[Prediction]],
    n: int,
    truth: float,
) -> None:
    random = np.random.default_rng(3)

    def trial(number: int) -> tuple[float | None, float | None]:
        (found,) = measure.metrics(make(random, n), Draws(500, number))
        assert found.method == "bca"
        return found.low, found.high

    assert 0.93 <= covered(trial, truth) <= 0.97


def test_the_paired_bootstrap_finds_nothing_where_there_is_nothing() -> None:
    """The interval covers no difference, and the test cries wolf one time in twenty."""
    random = np.random.default_rng(5)
    false_alarms = 0

    def trial(number: int) -> tuple[float, float]:
        nonlocal false_alarms
        ease = random.random(80)
        sides = [np.clip(ease + random.normal(0, 0.3, 80), 0, 1) for _ in range(2)]
        tables = [np.stack([side, np.ones(80)], axis=1) for side in sides]
        (found,) = paired_bootstrap(*tables, lambda s: s[:, :1] / s[:, 1:], Draws(500, number))
        assert found is not None
        false_alarms += found.p_value < 0.05
        return found.low, found.high

    assert 0.93 <= covered(trial, 0.0) <= 0.97
    assert 0.03 <= false_alarms / TRIALS <= 0.07


def test_a_95th_percentile_lies_between_its_order_statistics() -> None:
    random = np.random.default_rng(9)
    truth = -np.log(0.05)

    def trial(number: int) -> tuple[float | None, float | None]:
        found = quantile(random.exponential(1.0, 200).tolist(), 0.95)
        return found.low, found.high

    # Order statistics are never narrower than asked.
    assert 0.94 <= covered(trial, float(truth)) <= 0.98


def test_the_end_of_a_percentile_beyond_the_largest_value_is_unknown() -> None:
    found = quantile([float(n) for n in range(20)], 0.95)
    assert found.value == pytest.approx(18.05)
    assert found.low is not None
    assert found.high is None
