"""Precision, recall and F1 of labelled rows: of each class, and over the classes."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from wherry.contracts.errors import DataError
from wherry.contracts.scores import Confusion
from wherry.evaluate.answers import normalise
from wherry.evaluate.estimates import Floats
from wherry.evaluate.measures.measure import Count, Key, Measure, Terms, divided
from wherry.evaluate.predictions import Prediction

BY_CLASS: Final = ("precision", "recall", "f1")
MEANS: Final = ("macro", "micro", "weighted")
NAMES: Final = BY_CLASS + tuple(f"{mean}_{name}" for name in BY_CLASS for mean in MEANS)


def classes(labels: Sequence[str], names: Sequence[str]) -> Measure:
    """Makes the measure of free answers that name a class.

    An answer names its row's class by the label or by the row's own last turn, such as ``It is
    the heart.``, and another class by that one's label alone. A row adds for each class whether it
    is right, true and answered. A class that is neither true nor answered anywhere has no F1, one
    that is not answered no precision, one that is not true no recall; they are left out of the
    means. Micro means count over all classes: an answer that names none lowers recall alone.
    Weighted means weigh a class by its true rows.

    Sokolova & Lapalme, "A systematic analysis of performance measures for classification tasks"
    (2009), but for what is left out.

    Args:
        labels: the label set.
        names: of `NAMES`, what is wanted.

    Raises:
        DataError: if two labels are the same once normalised.
    """
    number = numbered(labels)
    one_hot = np.eye(len(labels))

    def row(made: Prediction) -> Terms:
        truth = one_hot[number[normalise(made.label)]]
        guess = _answered(made, number)
        answered = one_hot[guess] if guess >= 0 else np.zeros(len(labels))
        return list(np.concatenate([truth * answered, truth, answered]))

    def values(sums: Floats) -> Mapping[Key, Floats]:
        found = _values(np.split(sums, 3, axis=1), labels)
        return {key: each for key, each in found.items() if key[0] in names}

    def counts(total: Floats) -> Mapping[Key, Count]:
        found = _counts(np.split(total, 3), labels)
        return {key: each for key, each in found.items() if key[0] in names}

    return Measure(row, values, counts, terms=3 * len(labels), whole=True)


def numbered(labels: Sequence[str]) -> dict[str, int]:
    """Gives each normalised label its number.

    Raises:
        DataError: if two are the same.
    """
    number = {normalise(label): index for index, label in enumerate(labels)}
    if len(number) < len(labels):
        raise DataError(
            "Two labels are the same but for case or punctuation.", remedy="Reword one of them."
        )
    return number


def confusion(predictions: Sequence[Prediction], labels: Sequence[str]) -> Confusion:
    """Counts how often each class was answered for each other one."""
    number = numbered(labels)
    table = np.zeros((len(labels), len(labels) + 1), dtype=int)
    for made in predictions:
        table[number[normalise(made.label)], _answered(made, number)] += 1
    return Confusion(tuple(labels), tuple(map(tuple, table.tolist())))


def _answered(made: Prediction, number: Mapping[str, int]) -> int:
    """Gives the number of the class that an answer names, or -1."""
    return number.get(normalise(made.label if made.correct else made.answer), -1)


def _values(sums: Sequence[Floats], labels: Sequence[str]) -> dict[Key, Floats]:
    """Gives every number; right, true and answered rows have the shape [draws, classes] each."""
    right, true, answered = sums
    each = {
        "precision": divided(right, answered),
        "recall": divided(right, true),
        "f1": divided(2 * right, true + answered),
    }
    hits, wanted, said = (part.sum(axis=1) for part in (right, true, answered))
    micro = {
        "precision": divided(hits, said),
        "recall": divided(hits, wanted),
        "f1": divided(2 * hits, wanted + said),
    }
    found: dict[Key, Floats] = {}
    for name, by_class in each.items():
        found["macro_" + name, ""] = _mean(by_class, np.ones_like(true))
        found["micro_" + name, ""] = micro[name]
        found["weighted_" + name, ""] = _mean(by_class, true)
        found |= {(name, label): by_class[:, k] for k, label in enumerate(labels)}
    return found


def _mean(by_class: Floats, weights: Floats) -> Floats:
    """Gives the mean over the classes that have a number, shape [draws]."""
    counted = np.where(np.isnan(by_class), 0.0, weights)
    return divided((counted * np.nan_to_num(by_class)).sum(axis=1), counted.sum(axis=1))


def _counts(total: Sequence[Floats], labels: Sequence[str]) -> dict[Key, Count]:
    found: dict[Key, Count] = {}
    for label, sums in zip(labels, zip(*total, strict=True), strict=True):
        right, true, answered = map(round, sums)
        found["precision", label] = Count(answered, right)
        found["recall", label] = Count(true, right)
        found["f1", label] = Count(true)
    return found
