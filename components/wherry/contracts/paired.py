"""A challenger beside the champion on the same rows: which differences are more than noise."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record
from wherry.contracts.scores import Scores


@dataclass(frozen=True)
class PairedTest:
    """One metric of both models, row by row."""

    metric: str
    slice: str
    """As in `Metric.slice`; empty for all rows."""
    n: int
    """Rows that the number stands on: for a class, those where it is true or answered."""
    champion: float | None
    """None, like all that follows from it, where it could not be measured."""
    challenger: float | None
    difference: float | None
    """Challenger minus champion, in the metric's unit."""
    low: float | None
    """Lower end of the difference's 95% confidence interval, not widened by the correction."""
    high: float | None
    p_value: float | None
    """Two-sided: how probable such a difference or a larger one is if there is none."""
    adjusted_p: float | None
    """After the correction over all tests; the verdict stands on it."""
    method: Literal["mcnemar", "bootstrap"]
    """``mcnemar``: the exact test, on what is right or wrong."""
    verdict: Literal["better", "worse", "undecided"]
    """Of the challenger, at an adjusted p under 0.05; whether more or less of the metric is
    better is known of each, and what cannot be measured is undecided."""
    unit: str = ""
    """As in `Metric.unit`."""


@dataclass(frozen=True)
class PairedTests(Record):
    """All tests of one challenger against one champion."""

    champion_digest: Digest | None
    """Of the champion's model; None if there is none yet, and then no test."""
    challenger_digest: Digest
    data_digest: Digest
    """Of the split's file that both were asked."""
    tests: tuple[PairedTest, ...]
    champion_predictions: Digest | None
    """Of the file that was compared; None if there was none."""
    challenger_predictions: Digest
    note: str = ""
    """Why nothing could be tested; empty if it was."""
    correction: Literal["holm"] = "holm"
    champion_scores: Scores | None = None
    """The champion's on this data, asked anew where it was released on other data."""
    schema: Literal["wherry.paired/1"] = "wherry.paired/1"

    def find(self, metric: str, slice: str = "") -> PairedTest | None:
        """Gives a test by metric and slice, or None."""
        for test in self.tests:
            if test.metric == metric and test.slice == slice:
                return test
        return None
