"""A measure: numbers that follow from sums over rows, so that one resampling serves them all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wherry.contracts import Metric
from wherry.evaluate import estimates
from wherry.evaluate.estimates import Draws, Estimate, Floats
from wherry.evaluate.predictions import Prediction

Key = tuple[str, str]
"""A metric's name, and the class that it is of or an empty text."""
Terms = Sequence[float]


@dataclass(frozen=True)
class Count:
    """What a number stands on."""

    n: int
    """Rows."""
    hits: int | None = None
    """How many of them count, if the number is a plain share of them."""


@dataclass(frozen=True)
class Measure:
    """One or more numbers about predictions.

    All of them are functions of sums over rows: accuracy of (right, 1), perplexity of (nats,
    tokens), BLEU of ten counts. Drawing rows anew, leaving one out and holding two models
    against each other are then the same for every measure.

    Example::

        accuracy = Measure(lambda made: (made.correct, 1), ratio("accuracy"), shares("accuracy"))
    """

    row: Callable[[Prediction], Terms | None]
    """What a row adds; None where that is not known."""
    values: Callable[[Floats], Mapping[Key, Floats]]
    """Sums, shape [draws, terms], to each number, shape [draws]; NaN where it is undefined."""
    counts: Callable[[Floats], Mapping[Key, Count]] = lambda _: {}
    """The sums over all rows, shape [terms], to what those numbers stand on that do not stand
    on all rows, or that are plain shares."""
    terms: int = 2
    """How many a row adds."""
    unit: str = ""
    whole: bool = False
    """Whether it says nothing of a single class's rows, as macro-F1 does not."""
    right_or_wrong: bool = False
    """Whether a row adds (0 or 1, 1), and the one number is the share of ones."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """What it gives numbers of."""
        return tuple(self.values(np.zeros((1, self.terms))))

    def rows(self, predictions: Sequence[Prediction]) -> list[Terms]:
        """Gives what is known of what the predictions add."""
        found = (self.row(made) for made in predictions)
        return [terms for terms in found if terms is not None]

    def metrics(
        self, predictions: Sequence[Prediction], draws: Draws, slice: str = ""
    ) -> list[Metric]:
        """Counts predictions, each number with its 95% interval.

        Args:
            predictions: all of a split, or those of one slice.
            draws: of the bootstrap.
            slice: its name; numbers by class are then left out.
        """
        rows = self.rows(predictions)
        if not rows or len(rows) < len(predictions):
            # Over the rows that happen to be known it would be a guess at the others.
            unknown = dict.fromkeys(self.keys, Estimate())
            return self._as_metrics(unknown, {}, len(rows), slice)
        table = np.array(rows, dtype=np.float64)
        counts = self.counts(table.sum(axis=0))
        return self._as_metrics(self._estimates(table, counts, draws), counts, len(rows), slice)

    def _estimates(
        self, table: Floats, counts: Mapping[Key, Count], draws: Draws
    ) -> dict[Key, Estimate]:
        shares = {
            key: estimates.share(count.hits, count.n)
            for key, count in counts.items()
            if count.hits is not None
        }
        if shares.keys() >= set(self.keys):
            return shares

        def columns(sums: Floats) -> Floats:
            return np.stack(list(self.values(sums).values()), axis=1)

        found = estimates.resample(table, columns, draws).estimates()
        return dict(zip(self.keys, found, strict=True)) | shares

    def _as_metrics(
        self, found: Mapping[Key, Estimate], counts: Mapping[Key, Count], n: int, slice: str
    ) -> list[Metric]:
        kept = {key: each for key, each in found.items() if not (slice and key[1])}
        return [
            Metric(
                name,
                each.value,
                count.n,
                each.low,
                each.high,
                slice or part,
                self.unit,
                _method(each, count),
            )
            for (name, part), each in kept.items()
            for count in [counts.get((name, part), Count(n))]
        ]


def _method(found: Estimate, count: Count) -> str:
    if found.low is None:
        return ""
    return "bca" if count.hits is None else "wilson"


def ratio(name: str) -> Callable[[Floats], Mapping[Key, Floats]]:
    """Gives `Measure.values` of a mean: the first sum by the second."""
    return lambda sums: {(name, ""): divided(sums[:, 0], sums[:, 1])}


def shares(name: str) -> Callable[[Floats], Mapping[Key, Count]]:
    """Gives `Measure.counts` of a share: the first sum counts, of the second."""
    return lambda total: {(name, ""): Count(round(total[1]), round(total[0]))}


def divided(above: Floats, below: Floats) -> Floats:
    """Divides, with NaN where there is nothing to divide by."""
    found = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def right(name: str, row: Callable[[Prediction], bool | None]) -> Measure:
    """Makes a measure of what each row has right or wrong: Wilson's interval, McNemar's test."""

    def terms(made: Prediction) -> Terms | None:
        found = row(made)
        return None if found is None else (float(found), 1.0)

    return Measure(terms, ratio(name), shares(name), right_or_wrong=True)


def mean(name: str) -> Measure:
    """Makes a measure of the mean of a number that `Prediction.terms` keeps under this name."""

    def terms(made: Prediction) -> Terms | None:
        found = made.terms.get(name)
        return None if found is None else (*found, 1.0)

    return Measure(terms, ratio(name))


def told(name: str) -> Callable[[Prediction], bool | None]:
    """Gives what `right` asks for of a yes or no that `Prediction.terms` keeps under this name."""

    def row(made: Prediction) -> bool | None:
        found = made.terms.get(name)
        return None if found is None else bool(found[0])

    return row
