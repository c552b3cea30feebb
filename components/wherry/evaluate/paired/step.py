"""Turns two models' predictions of the same rows into paired tests with a correction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from wherry.contracts import Digest, Metric, PairedTest, PairedTests, Scores
from wherry.contracts.errors import DataError, DigestError
from wherry.contracts.scores import LESS_IS_BETTER, NEITHER_IS_BETTER
from wherry.evaluate.estimates import Draws, Floats
from wherry.evaluate.measures.choice import NAMES, measures_of
from wherry.evaluate.measures.measure import Measure
from wherry.evaluate.paired.settings import CompareSettings
from wherry.evaluate.paired.statistics import (
    Difference,
    contributing,
    holm,
    mcnemar,
    paired_bootstrap,
)
from wherry.evaluate.predictions import Prediction

LEVEL: Final = 0.05
"""An adjusted p-value under it is more than noise."""
Wanted = dict[str, list[str]]
"""Slices, an empty text for all rows, and what is tested of each."""
Found = tuple[int, Difference | None]
"""The rows that a number stands on, and how far it differs; None where that is unknown."""


@dataclass(frozen=True)
class Side:
    """One of the two models."""

    scores: Scores
    predictions: Sequence[Prediction]
    digest: Digest
    """Of the predictions' file."""


def compare(champion: Side, challenger: Side, settings: CompareSettings) -> PairedTests:
    """Tests every number that both models have.

    Args:
        champion: the model to beat.
        challenger: the model that would take its place.
        settings: which numbers.

    Raises:
        DigestError: if predictions are not those of the scores, or the two models were asked
            other data.
        DataError: if they were not asked the same rows, or have no number in common.
    """
    _check(champion, challenger)
    wanted = shared(champion.scores, challenger.scores, settings)
    if not wanted:
        names = ", ".join(settings.metrics) or "any number"
        raise DataError(
            f"The two models have no scores of {names} in common.",
            remedy="Evaluate both with the same measures; numbers by class need slices: true.",
        )
    draws = Draws(settings.resamples, settings.seed)
    tests = [
        test
        for slice_, names in wanted.items()
        for test in _tests(champion, challenger, slice_, names, draws)
    ]
    return PairedTests(
        champion_digest=champion.scores.model_digest,
        challenger_digest=challenger.scores.model_digest,
        data_digest=challenger.scores.data_digest,
        tests=tuple(_corrected(tests)),
        champion_predictions=champion.digest,
        challenger_predictions=challenger.digest,
        champion_scores=champion.scores,
    )


def _check(champion: Side, challenger: Side) -> None:
    for side in (champion, challenger):
        if side.scores.predictions_digest != side.digest:
            raise DigestError(
                f"The predictions of {side.scores.subject} have the digest {side.digest}, its "
                f"scores were counted from {side.scores.predictions_digest}.",
                remedy="Hand over both files of one evaluation.",
            )
    ours, theirs = challenger.scores.data_digest, champion.scores.data_digest
    if ours != theirs:
        raise DigestError(
            f"The champion was asked data of digest {theirs}, the challenger of {ours}.",
            remedy="Evaluate the champion on this data, then compare.",
        )
    if not asked_the_same_rows(champion, challenger):
        raise DataError(
            f"The champion was asked {len(champion.predictions)} rows, the challenger "
            f"{len(challenger.predictions)} or others.",
            remedy="Evaluate both with the same rows in the settings.",
        )


def asked_the_same_rows(champion: Side, challenger: Side) -> bool:
    """Says whether both have answered the same rows, in the same order."""
    ours, theirs = ([made.id for made in side.predictions] for side in (challenger, champion))
    return ours == theirs


def shared(champion: Scores, challenger: Scores, settings: CompareSettings) -> Wanted:
    """Gives what is wanted of a comparison and both have scores of, by slice."""
    both = {_key(metric) for metric in champion.metrics} & set(map(_key, challenger.metrics))
    wanted: Wanted = {}
    for metric in challenger.metrics:
        named = metric.name in (settings.metrics or NAMES)
        if named and _key(metric) in both and (settings.slices or not metric.slice):
            wanted.setdefault(metric.slice, []).append(metric.name)
    return wanted


def _key(metric: Metric) -> tuple[str, str]:
    return metric.name, metric.slice


def _tests(
    champion: Side, challenger: Side, slice: str, names: Sequence[str], draws: Draws
) -> Iterator[PairedTest]:
    labels = _labels(challenger)
    for measure in measures_of(names, labels):
        by_class = any(part == slice for _, part in measure.keys) and bool(slice)
        pairs = [
            pair
            for pair in zip(champion.predictions, challenger.predictions, strict=True)
            if by_class or _is_in(pair[1], slice, labels)
        ]
        part = slice if by_class else ""
        for name, found in _differences(measure, pairs, part, draws).items():
            if name in names:
                yield _told(measure, name, slice, found)


def _labels(side: Side) -> Sequence[str]:
    known = side.scores.confusion
    return known.labels if known else sorted({made.label for made in side.predictions} - {""})


def _is_in(made: Prediction, slice: str, labels: Sequence[str]) -> bool:
    return not slice or (made.label == slice if slice in labels else slice in made.slices)


def _differences(
    measure: Measure, pairs: Sequence[tuple[Prediction, Prediction]], part: str, draws: Draws
) -> Mapping[str, Found]:
    """Gives each number of a measure; unknown where a row is."""
    ours, theirs = (measure.rows([pair[side] for pair in pairs]) for side in (1, 0))
    keys = [key for key in measure.keys if key[1] == part]
    names = [name for name, _ in keys]
    if not pairs or len(ours) < len(pairs) or len(theirs) < len(pairs):
        return dict.fromkeys(names, (len(pairs), None))
    if measure.right_or_wrong:
        found = mcnemar([bool(t[0]) for t in theirs], [bool(t[0]) for t in ours])
        return {names[0]: (len(pairs), found)}

    def values(sums: Floats) -> Floats:
        every = measure.values(sums)
        return np.stack([every[key] for key in keys], axis=1)

    tables = np.array(theirs, dtype=np.float64), np.array(ours, dtype=np.float64)
    rows = contributing(*tables, values).tolist()
    tested = paired_bootstrap(*tables, values, draws)
    return dict(zip(names, zip(rows, tested, strict=True), strict=True))


def _told(measure: Measure, name: str, slice: str, found: Found) -> PairedTest:
    n, difference = found
    test = PairedTest(
        metric=name,
        slice=slice,
        n=n,
        champion=None,
        challenger=None,
        difference=None,
        low=None,
        high=None,
        p_value=None,
        adjusted_p=None,
        method="mcnemar" if measure.right_or_wrong else "bootstrap",
        verdict="undecided",
        unit=measure.unit,
    )
    return replace(test, **vars(difference)) if difference else test


def _corrected(tests: Sequence[PairedTest]) -> Iterator[PairedTest]:
    adjusted = iter(holm([test.p_value for test in tests if test.p_value is not None]))
    for test in tests:
        p_value = None if test.p_value is None else next(adjusted)
        yield replace(test, adjusted_p=p_value, verdict=_verdict(test, p_value))


def _verdict(test: PairedTest, adjusted_p: float | None) -> Literal["better", "worse", "undecided"]:
    if adjusted_p is None or adjusted_p >= LEVEL or not test.difference:
        return "undecided"
    if test.metric in NEITHER_IS_BETTER:
        return "undecided"
    less = test.metric in LESS_IS_BETTER
    return "better" if (test.difference < 0) == less else "worse"
