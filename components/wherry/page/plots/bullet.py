"""A bullet: one observed value on a track, with the allowed stretch of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wherry.page.scales import Scale, scale_of


@dataclass(frozen=True)
class Bullet:
    """A track, the allowed stretch of it, and where the observed value lies."""

    at: float | None
    """Percent; None if nothing was measured."""
    limits: tuple[float, ...]
    """Where the allowed stretch ends, on one side or both, in percent."""
    start: float
    """Where the allowed stretch begins, in percent."""
    length: float


def bullet(observed: float | None, threshold: float, *, at_least: bool) -> Bullet:
    """Lays out a bullet with one threshold.

    Args:
        observed: the value, or None if it was not measured.
        threshold: what it was held against.
        at_least: whether values above the threshold are allowed; below it otherwise.
    """
    low, high = (threshold, None) if at_least else (None, threshold)
    return bullet_between(observed, low, high)


def bullet_between(observed: float | None, low: float | None, high: float | None) -> Bullet:
    """Lays out a bullet whose allowed stretch lies between two limits, either of them None."""
    ends = [end for end in (low, high) if end is not None]
    scale = _scale([value for value in (observed, *ends) if value is not None])
    start = 0.0 if low is None else scale.at(low)
    stop = 100.0 if high is None else scale.at(high)
    limits = tuple(scale.at(end) for end in dict.fromkeys(ends))
    return Bullet(_maybe(scale.at, observed), limits, round(start, 2), round(stop - start, 2))


def _scale(values: Sequence[float]) -> Scale:
    if values and 0.2 <= max(values) <= 1 and min(values) >= 0:
        return Scale(0.0, 1.0)
    # Room beyond the larger one, so that neither lies on the track's very end.
    return scale_of([1.25 * value for value in values], include=(0.0,))


def _maybe(place: Callable[[float], float], value: float | None) -> float | None:
    return None if value is None else place(value)
