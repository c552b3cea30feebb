"""Turns values into places along an axis, and chooses the ticks of that axis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_DECADE: Final = (1.0, 2.0, 5.0)


class Axis(Protocol):
    """What places values along a line."""

    def at(self, value: float) -> float:
        """Gives the place of a value in percent of the axis, held inside it."""

    def ticks(self, count: int = 5) -> tuple[float, ...]:
        """Gives the round values on the axis, about `count` of them."""


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high`.

    Example::

        Scale(0.0, 50.0).at(25.0) == 50.0
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuses an axis of no length."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"an axis must run upwards, got {self.low} to {self.high}")

    def at(self, value: float) -> float:
        """Gives the place of a value in percent of the axis, held inside it."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def ticks(self, count: int = 5) -> tuple[float, ...]:
        """Gives the round values on the axis, about `count` of them."""
        step = nice_step(self.high - self.low, count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(_tidy(index * step) for index in range(first, last + 1))


@dataclass(frozen=True)
class LogScale:
    """A logarithmic axis from `low` to `high`, both above 0.

    Example::

        LogScale(0.1, 10.0).at(1.0) == 50.0
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuses an axis that reaches 0 or has no length."""
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(f"a logarithmic axis must run above 0, got {self.low} to {self.high}")

    def at(self, value: float) -> float:
        """Gives the place of a value in percent of the axis, held inside it."""
        held = min(self.high, max(self.low, value))
        share = math.log(held / self.low) / math.log(self.high / self.low)
        return round(100 * share, 2)

    def ticks(self, count: int = 5) -> tuple[float, ...]:  # noqa: ARG002 - a decade has its own
        """Gives 1, 2 and 5 times each power of ten on the axis."""
        values = _decades(self.low, self.high)
        return tuple(value for value in values if self.low <= value <= self.high)


def log_scale_of(values: Sequence[float]) -> LogScale:
    """Gives the axis that holds all values, each above 0, and ends on ticks."""
    low, high = min(values), max(values)
    around = _decades(low, high)
    return LogScale(
        max(value for value in around if value <= low),
        min(value for value in around if value > low and value >= high),
    )


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    powers = range(first, last + 1)
    return [_tidy(step * 10.0**power) for power in powers for step in _DECADE]


def nice_step(span: float, count: int) -> float:
    """Gives the step of 1, 2, 2.5 or 5 times a power of ten nearest above ``span / count``."""
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(nice for nice in _NICE if nice * power >= raw * (1 - 1e-9)) * power


def scale_of(values: Iterable[float], *, include: Sequence[float] = (), count: int = 5) -> Scale:
    """Gives the axis that holds all values and ends on ticks.

    Args:
        values: what is to be drawn; those that are not finite are left out.
        include: values that must be on the axis too, such as 0.
        count: how many steps it should have, about.
    """
    known = [value for value in (*values, *include) if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high - low <= max(1e-12, 1e-9 * max(abs(low), abs(high))):
        low, high = (min(low, 0.0), max(high, 0.0)) if abs(high) > 1e-12 else (0.0, 1.0)
    step = nice_step(high - low, count)
    return Scale(
        _tidy(math.floor(low / step + 1e-9) * step), _tidy(math.ceil(high / step - 1e-9) * step)
    )


def _tidy(value: float) -> float:
    # 3 * 0.1 is 0.30000000000000004: a tick says 0.3.
    return float(f"{value:.12g}")


def thin(values: Sequence[float], groups: int) -> list[float]:
    """Averages neighbouring values until there are at most `groups`."""
    size = math.ceil(len(values) / max(1, groups)) or 1
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return [sum(part) / len(part) for part in parts]


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Gives the mean over the `window` values around each one, over fewer at the ends."""
    half = window // 2
    parts = (values[max(0, here - half) : here + half + 1] for here in range(len(values)))
    return [sum(part) / len(part) for part in parts]
