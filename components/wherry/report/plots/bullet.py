"""A bullet: one observed value on a track, with the side of the threshold that is allowed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wherry.report.scales import Scale, scale_of


@dataclass(frozen=True)
class Bullet:
    """A track, the allowed side of it, and where the observed value lies."""

    at: float | None
    """Percent; None if nothing was measured."""
    threshold: float
    start: float
    """Where the allowed side begins, in percent."""
    length: float


def bullet(observed: float | None, threshold: float, *, at_least: bool) -> Bullet:
    """Lays out a bullet.

    Args:
        observed: the value, or None if it was not measured.
        threshold: what it was held against.
        at_least: whether values above the threshold are allowed; below it otherwise.
    """
    scale = _scale([value for value in (observed, threshold) if value is not None])
    place = scale.at(threshold)
    start, length = (place, 100 - place) if at_least else (0.0, place)
    return Bullet(_maybe(scale.at, observed), place, round(start, 2), round(length, 2))


def _scale(values: Sequence[float]) -> Scale:
    if 0.2 <= max(values) <= 1 and min(values) >= 0:
        return Scale(0.0, 1.0)
    # Room beyond the larger one, so that neither lies on the track's very end.
    return scale_of([1.25 * value for value in values], include=(0.0,))


def _maybe(place: Callable[[float], float], value: float | None) -> float | None:
    return None if value is None else place(value)
