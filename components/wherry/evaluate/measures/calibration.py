"""Whether a model's probabilities mean what they say."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from wherry.evaluate.estimates import Floats
from wherry.evaluate.measures.measure import Key, Measure, Terms, divided
from wherry.evaluate.predictions import Prediction

_BINS: Final = 10


def calibration_error() -> Measure:
    """Makes the expected calibration error of the most probable label, with ten bins.

    Rows are binned by the pick's share of the probability of all labels; the mean over the bins
    of |accuracy - confidence|, weighed by their rows. It is never below 0, so that noise alone
    lifts it: of a few hundred rows, some hundredths say nothing.

    Guo et al., "On calibration of modern neural networks" (2017).
    """
    return Measure(_row, _values, terms=3 * _BINS, whole=True)


def _row(made: Prediction) -> Terms | None:
    if made.confidence is None:
        return None
    terms = np.zeros((3, _BINS))
    own = min(int(made.confidence * _BINS), _BINS - 1)
    terms[:, own] = 1.0, made.confidence, made.label_pick == made.label
    return list(terms.ravel())


def _values(sums: Floats) -> Mapping[Key, Floats]:
    rows, confidence, right = np.split(sums, 3, axis=1)
    gap = np.abs(confidence - right).sum(axis=1)
    return {("calibration_error", ""): divided(gap, rows.sum(axis=1))}
