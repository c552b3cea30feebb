"""The policy that a model is judged by."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

SHARES: Final = frozenset({"accuracy", "label_accuracy", "macro_f1", "f1", "exact_match"})
"""Metrics that are shares in [0, 1]; more is better."""
SPEEDS: Final = frozenset({"decode_speed"})
"""Metrics without an upper end; more is better."""
COSTS: Final = frozenset({"size", "peak_memory", "first_token"})
"""Metrics without an upper end; less is better."""

_KEY: Final = re.compile(r"[a-z][a-z0-9_]*(/\S.*)?")


@dataclass(frozen=True)
class Policy:
    """Which scores a file must have to be released.

    Rules are named by metric, or by ``metric/slice`` for one class: ``f1/cancer``.
    At least one floor is needed: a policy that asks for no quality is refused.
    """

    floors: Mapping[str, float] = field(default_factory=dict)
    """Least value of the quantized file's metric, in the metric's unit; shares in (0, 1]."""
    ceilings: Mapping[str, float] = field(default_factory=dict)
    """Greatest value, in the metric's unit: ``size`` and ``peak_memory`` in bytes,
    ``first_token`` in ms."""
    champion: Mapping[str, float] = field(default_factory=dict)
    """How much worse than the champion's a metric may be, in the metric's unit."""
    quantization: Mapping[str, float] = field(default_factory=dict)
    """How much of a metric may be lost from the tuned model to the quantized file."""
    use: Literal["value", "low"] = "value"
    """What floors, ceilings and the champion are compared with: the measured value, or the
    worse end of its 95% interval. A metric without an interval then fails its floor."""
    champion_on_other_data: Literal["fail", "skip"] = "fail"
    """What to do when the champion was scored on other test data, or not on this metric:
    refuse, or judge by the other rules alone."""
    split: str = "test"
    """The data split that the scores must be of."""
    min_rows: int = 30
    """Fewest rows that a share over all rows may stand on."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        if not self.floors:
            raise ValueError("floors must name at least one metric, such as accuracy: 0.6")
        if self.min_rows < 2:
            raise ValueError(f"min_rows must be at least 2, got {self.min_rows}")
        for rule in ("floors", "ceilings", "champion", "quantization"):
            for key, number in getattr(self, rule).items():
                _check(rule, key, number)


def metric_of(key: str) -> tuple[str, str]:
    """Gives the metric and the slice of a rule's name: ``f1/cancer`` is f1 of cancer."""
    metric, _, slice = key.partition("/")
    return metric, slice


def _check(rule: str, key: str, number: float) -> None:
    where = f"{rule}.{key}"
    if not _KEY.fullmatch(key):
        raise ValueError(f"{where} is no metric: expected METRIC or METRIC/SLICE")
    metric, _ = metric_of(key)
    _check_direction(rule, metric, where)
    top = 1.0 if metric in SHARES else math.inf
    # A floor or a ceiling of 0 would be a rule that cannot fail, or cannot be kept.
    low_ok = number > 0 if rule in ("floors", "ceilings") else number >= 0
    if not (math.isfinite(number) and low_ok and number <= top):
        least = "(0" if rule in ("floors", "ceilings") else "[0"
        end = "1]" if metric in SHARES else "∞)"
        raise ValueError(f"{where} must be in {least}, {end}, got {number}")


def _check_direction(rule: str, metric: str, where: str) -> None:
    if rule == "floors" and metric in COSTS:
        raise ValueError(f"{where} asks for a cost to be high: put it under ceilings")
    if rule == "ceilings" and metric in SHARES | SPEEDS:
        raise ValueError(f"{where} asks for quality to be low: put it under floors")
    if rule in ("champion", "quantization") and metric not in SHARES | SPEEDS | COSTS:
        known = ", ".join(sorted(SHARES | SPEEDS | COSTS))
        raise ValueError(f"{where}: whether more is better is known of {known} only")
