"""Tests of two models on the same rows: McNemar's, and the paired bootstrap."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wherry.evaluate import estimates
from wherry.evaluate.estimates import Draws, Floats

FEWEST_ROWS: Final = 20
"""Of fewer rows a bootstrap sees too little spread: of 5 it calls 15% of equal models different."""


@dataclass(frozen=True)
class Difference:
    """How far the challenger is from the champion."""

    champion: float
    challenger: float
    difference: float
    """Challenger minus champion."""
    low: float
    """Lower end of its 95% interval."""
    high: float
    p_value: float
    """Two-sided."""


def mcnemar(champion: Sequence[bool], challenger: Sequence[bool]) -> Difference:
    """Tests two shares of the same rows by the rows that one alone has right.

    The exact test: McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages" (1947), with the binomial distribution. The interval is method
    10 of Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data" (1998).

    Example::

        mcnemar([True] * 20, [True] * 15 + [False] * 5).p_value  # 0.0625

    Args:
        champion: whether it has each row right; one row at least.
        challenger: the same, in the same order.
    """
    from scipy.stats import binomtest  # takes a second to import

    pairs = list(zip(champion, challenger, strict=True))
    both, first = pairs.count((True, True)), pairs.count((True, False))
    second, neither = pairs.count((False, True)), pairs.count((False, False))
    discordant = first + second
    p_value = float(binomtest(second, discordant).pvalue) if discordant else 1.0
    n = len(pairs)
    low, high = _newcombe(both, first, second, neither)
    shares = ((both + first) / n, (both + second) / n)
    return Difference(*shares, (second - first) / n, low, high, p_value)


def _newcombe(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    n = both + first + second + neither
    ours, theirs = both + second, both + first
    difference = (ours - theirs) / n
    below, above = _reach(ours, n), _reach(theirs, n)
    like = _likeness(both, first, second, neither)
    return (
        difference - _joined(below[0], above[1], like),
        difference + _joined(below[1], above[0], like),
    )


def _reach(hits: int, n: int) -> tuple[float, float]:
    """Gives how far the Wilson interval reaches below and above a share."""
    found = estimates.share(hits, n)
    assert found.value is not None and found.low is not None and found.high is not None  # noqa: S101  # n is above 0
    return found.value - found.low, found.high - found.value


def _joined(one: float, other: float, like: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * like * one * other + other**2))


def _likeness(both: int, first: int, second: int, neither: int) -> float:
    """Gives the correlation of the two, moved towards 0 as Newcombe has it."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    product = float(both * neither - first * second)
    if product > 0:
        product = max(0.0, product - (both + first + second + neither) / 2)
    return product / math.sqrt(margins)


def paired_bootstrap(
    champion: Floats, challenger: Floats, values: Callable[[Floats], Floats], draws: Draws
) -> list[Difference | None]:
    """Tests numbers that are functions of sums over rows, by drawing pairs of rows anew.

    Koehn, "Statistical significance tests for machine translation evaluation" (2004), with the
    BCa interval; two-sided, and never 0: one more draw on the other side is always thought of.

    Args:
        champion: what each row adds, shape [rows, terms].
        challenger: the same rows, in the same order.
        values: sums, shape [draws, terms], to numbers, shape [draws, numbers].
        draws: of the bootstrap.

    Returns:
        One a number; None where it is undefined, in any draw too, or stands on fewer rows than
        `FEWEST_ROWS`.
    """
    terms = champion.shape[1]

    def differences(sums: Floats) -> Floats:
        return values(sums[:, terms:]) - values(sums[:, :terms])

    found = estimates.resample(np.hstack([champion, challenger]), differences, draws)
    ends = [values(side.sum(axis=0)[None, :])[0] for side in (champion, challenger)]
    rows = contributing(champion, challenger, values)
    return [
        _difference(float(ends[0][k]), float(ends[1][k]), found.drawn[:, k], estimate)
        if rows[k] >= FEWEST_ROWS
        else None
        for k, estimate in enumerate(found.estimates())
    ]


def contributing(
    champion: Floats, challenger: Floats, values: Callable[[Floats], Floats]
) -> NDArray[np.int64]:
    """Counts the rows that each number stands on: those that alone define it of either model.

    Those of F1 of a class are the rows that have it as their label or as an answer.

    Args:
        champion: what each row adds, shape [rows, terms].
        challenger: the same rows, in the same order.
        values: as in `paired_bootstrap`.

    Returns:
        Shape [numbers].
    """
    known = ~np.isnan(values(champion)) | ~np.isnan(values(challenger))
    return np.asarray(known.sum(axis=0), dtype=np.int64)


def _difference(
    champion: float, challenger: float, drawn: Floats, found: estimates.Estimate
) -> Difference | None:
    # Draws without the number are no evidence for it: what it is there, nobody knows.
    if np.isnan(drawn).any() or found.value is None or found.low is None or found.high is None:
        return None
    # Sums in another order differ in their last bits: such a difference is none.
    slack = 1e-12 * max(1.0, abs(champion))
    tail = min(int(np.sum(drawn <= slack)), int(np.sum(drawn >= -slack)))
    p_value = min(1.0, 2 * (tail + 1) / (len(drawn) + 1))
    return Difference(champion, challenger, found.value, found.low, found.high, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number, so that the chance of any false find stays 5%.

    Holm, "A simple sequentially rejective multiple test procedure" (1979).

    Example::

        holm([0.01, 0.04, 0.03])  # [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
