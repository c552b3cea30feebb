"""Estimates with 95% intervals: of a share, of a median, of F1 over classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
_TAILS: Final = (100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2)
"""In percent."""
_CELLS: Final = 1 << 24
"""Counts held at once while resampling: 128 MiB."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; all None if there was nothing to estimate it from."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


def share(hits: int, n: int) -> Estimate:
    """Estimates a share by Wilson's score interval, which holds near 0 and 1 too.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    Example::

        share(81, 263)  # 0.308, from 0.255 to 0.366

    Args:
        hits: how often it was so.
        n: out of how many.
    """
    if not n:
        return Estimate()
    from scipy.stats import binomtest  # takes a second to import

    interval = binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / n, float(interval.low), float(interval.high))


def median(values: Sequence[float], *, resamples: int, seed: int) -> Estimate:
    """Estimates a median by the percentile bootstrap.

    Args:
        values: the measurements.
        resamples: how often they are drawn anew.
        seed: of the draws.
    """
    if not values:
        return Estimate()
    drawn = np.random.default_rng(seed).choice(values, (resamples, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), _TAILS)
    return Estimate(float(np.median(values)), float(low), float(high))


def f1(
    truth: Sequence[int], guess: Sequence[int], classes: int, *, resamples: int, seed: int
) -> tuple[list[Estimate], Estimate]:
    """Estimates F1 of each class and its unweighted mean by the percentile bootstrap.

    Rows are drawn with replacement. A class that is neither true nor guessed anywhere has no
    F1 and is left out of the mean, in each resample as in the data.

    Args:
        truth: a class number in [0, classes) for each row.
        guess: the same, or -1 where no class was named.
        classes: how many there are.
        resamples: how often the rows are drawn anew.
        seed: of the draws.

    Returns:
        An estimate a class, and of macro F1.
    """
    if not truth:
        return [Estimate()] * classes, Estimate()
    pairs, counts = np.unique(np.array([truth, guess]).T, axis=0, return_counts=True)
    observed = _f1_of(counts[None, :], pairs, classes)
    drawn = _resampled(pairs, counts, classes, resamples, np.random.default_rng(seed))
    each = [_estimate(observed[0, k], drawn[:, k]) for k in range(classes)]
    return each, _estimate(_mean(observed)[0], _mean(drawn))


def _resampled(
    pairs: NDArray[np.int64],
    counts: NDArray[np.int64],
    classes: int,
    resamples: int,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Gives F1 by resample and class, drawn in blocks of bounded memory."""
    # Rows of one pair are alike: drawing n rows is one multinomial draw of the pairs' counts.
    block = max(1, _CELLS // len(pairs))
    sizes = [min(block, resamples - done) for done in range(0, resamples, block)]
    weights = counts / counts.sum()
    blocks = (random.multinomial(counts.sum(), weights, size) for size in sizes)
    return np.concatenate([_f1_of(drawn, pairs, classes) for drawn in blocks])


def _f1_of(
    counts: NDArray[np.int64], pairs: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Gives F1 by class, NaN where it is undefined.

    Args:
        counts: rows of each pair, shape [draws, pairs].
        pairs: true and guessed class, shape [pairs, 2].
        classes: how many there are.

    Returns:
        Shape [draws, classes].
    """
    number = np.arange(classes)
    is_true, is_guess = pairs[:, :1] == number, pairs[:, 1:] == number
    both = counts @ (is_true & is_guess).astype(np.int64)
    either = counts @ (is_true.astype(np.int64) + is_guess)
    found = np.full(both.shape, np.nan)
    np.divide(2 * both, either, out=found, where=either > 0)
    return found


def _mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gives the mean over the classes that have a score; every draw has at least one."""
    mean: NDArray[np.float64] = np.nanmean(scores, axis=1)
    return mean


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    if np.isnan(value):
        return Estimate()
    low, high = np.nanpercentile(drawn, _TAILS)
    return Estimate(float(value), float(low), float(high))
