"""The order in which rows are learnt, and how fast."""

import math
import random
from collections.abc import Sequence
from typing import Final

from wherry.tune.settings import TuneSettings

BUCKET: Final = 8
"""Batches are cut from this many batches' rows sorted by length: little padding, much mixing."""


def plan(lengths: Sequence[int], batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """Gives the rows of every batch, all epochs in turn, each batch of rows of similar length."""
    order = random.Random(seed)  # noqa: S311 - a shuffle, no secret
    return [batch for _ in range(epochs) for batch in _epoch(lengths, batch_size, order)]


def _epoch(lengths: Sequence[int], batch_size: int, order: random.Random) -> list[list[int]]:
    rows = list(range(len(lengths)))
    order.shuffle(rows)
    batches: list[list[int]] = []
    for start in range(0, len(rows), batch_size * BUCKET):
        bucket = sorted(rows[start : start + batch_size * BUCKET], key=lengths.__getitem__)
        cut = [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
        order.shuffle(cut)
        batches += cut
    return batches


def rate_at(step: int, steps: int, settings: TuneSettings) -> float:
    """Gives the learning rate of a step, counted from 1: a linear rise, then the schedule."""
    rise = max(1, round(steps * settings.warmup))
    if step <= rise:
        return settings.learning_rate * step / rise
    done = (step - rise) / (steps - rise + 1)
    match settings.schedule:
        case "cosine":
            return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return settings.learning_rate * (1 - done)
        case "constant":
            return settings.learning_rate


def eval_steps(steps: int, points: int) -> frozenset[int]:
    """Gives the steps after which the eval loss is measured; 0 is before the first."""
    if points < 2:
        return frozenset([steps][:points])
    return frozenset(round(steps * i / (points - 1)) for i in range(points))
