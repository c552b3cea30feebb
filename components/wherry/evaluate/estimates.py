"""Estimates with 95% intervals: of a share, of a median, of any function of sums over rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONFIDENCE: Final = 0.95
TAILS: Final = (100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2)
"""In percent."""
FEWEST_FOR_P95: Final = 20
"""Of fewer values the 95th percentile is their maximum, and says little."""
_CELLS: Final = 1 << 24
"""Counts held at once while resampling: 128 MiB."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; all None if there was nothing to estimate it from."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Draws:
    """How often rows are drawn anew, and from which seed."""

    resamples: int
    seed: int


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


def median(values: Sequence[float], draws: Draws) -> Estimate:
    """Estimates a median by the percentile bootstrap; of one value it has no interval.

    Args:
        values: the measurements.
        draws: of the bootstrap.
    """
    if len(values) < 2:
        return Estimate(*values)
    drawn = np.random.default_rng(draws.seed).choice(values, (draws.resamples, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), TAILS)
    return Estimate(float(np.median(values)), float(low), float(high))


def quantile(values: Sequence[float], at: float) -> Estimate:
    """Estimates a quantile by order statistics, which assume nothing of the distribution.

    David & Nagaraja, "Order Statistics" (2003), section 7.1. An end beyond the largest or the
    smallest value is not known: of 95% that takes 72 values.

    Args:
        values: the measurements.
        at: in (0, 1), such as 0.95.
    """
    if not values:
        return Estimate()
    from scipy.stats import binom

    ordered = sorted(values)
    below = binom.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], len(ordered), at)
    low, high = int(below[0]) - 1, int(below[1])
    return Estimate(
        float(np.quantile(ordered, at)),
        ordered[low] if low >= 0 else None,
        ordered[high] if high < len(ordered) else None,
    )


@dataclass(frozen=True)
class Resampled:
    """Numbers as the rows have them, and as rows drawn anew would."""

    observed: Floats
    """Shape [numbers]; NaN where one is undefined."""
    drawn: Floats
    """Shape [draws, numbers]."""
    without: Floats
    """Each number without one row of each kind, shape [kinds, numbers]."""
    counts: NDArray[np.int64]
    """Rows of each kind."""

    def estimates(self) -> list[Estimate]:
        """Gives each number with its BCa interval.

        Efron, "Better bootstrap confidence intervals" (1987): of the macro-F1 of 60 rows the
        plain percentiles' 95% interval covers 92%, this one 95%. A draw in which a number is
        undefined, such as F1 of a class that it lacks, does not count for that number; where
        they are more than the interval's tails, as of a class of one or two rows, it has none.
        Nor has a single row: it says nothing of how far others are from it.
        """
        return [
            _bca(float(value), self.drawn[:, k], self.without[:, k], self.counts)
            for k, value in enumerate(self.observed)
        ]


def resample(rows: Floats, values: Callable[[Floats], Floats], draws: Draws) -> Resampled:
    """Draws rows with replacement, for numbers that are functions of sums over rows.

    Example::

        mean = resample(rows, lambda sums: sums[:, :1] / sums[:, 1:], Draws(1000, 0))

    Args:
        rows: what each row adds, shape [rows, terms].
        values: sums of rows, shape [draws, terms], to numbers, shape [draws, numbers]; NaN
            where one is undefined.
        draws: how often, and the seed.
    """
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    total = counts @ kinds
    # Rows of one kind are alike: drawing n rows is one multinomial draw of the kinds' counts.
    random = np.random.default_rng(draws.seed)
    blocks = (
        random.multinomial(len(rows), counts / len(rows), size)
        for size in _blocks(len(kinds), draws)
    )
    drawn = np.concatenate([values(block @ kinds) for block in blocks])
    return Resampled(values(total[None, :])[0], drawn, values(total - kinds), counts)


def _blocks(kinds: int, draws: Draws) -> Iterator[int]:
    block = max(1, _CELLS // kinds)
    for done in range(0, draws.resamples, block):
        yield min(block, draws.resamples - done)


def _bca(value: float, drawn: Floats, without: Floats, counts: NDArray[np.int64]) -> Estimate:
    defined = drawn[~np.isnan(drawn)]
    if not np.isfinite(value) or not len(defined):
        return Estimate()
    if counts.sum() < 2 or len(defined) < CONFIDENCE * len(drawn):
        return Estimate(value)
    from scipy.special import ndtr, ndtri

    below = np.sum(defined < value) + np.sum(defined == value) / 2
    bias = ndtri((below + 0.5) / (len(defined) + 1))
    reach = bias + ndtri(np.array(TAILS) / 100)
    # Under a million draws the divisor is above 0 for any data; above, it must not turn round.
    divisor = np.maximum(1 - _acceleration(without, counts) * reach, 1e-3)
    ends = 100 * ndtr(bias + reach / divisor)
    low, high = np.percentile(defined, np.clip(ends, 0, 100))
    return Estimate(value, float(low), float(high))


def _acceleration(without: Floats, counts: NDArray[np.int64]) -> float:
    """Gives how fast the standard error changes with the number, by the jackknife."""
    known = ~np.isnan(without)
    if not known.any():
        return 0.0
    moved = np.average(without[known], weights=counts[known]) - without[known]
    spread = float(np.sum(counts[known] * moved**2))
    skew = float(np.sum(counts[known] * moved**3))
    scale = 6 * spread**1.5  # of the least spreads it is 0 itself
    return skew / scale if scale > 0 else 0.0
