"""What a policy is judged by, and how a metric is looked up in it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from wherry.contracts import Metric, PairedTests, Scores
from wherry.gate.metrics import fewest_runs, is_counted, is_share, unit_of
from wherry.gate.settings import EACH, Policy, metric_of

End = Literal["value", "low", "high"]
SLACK: Final = 1e-9
"""Differences of floats: 0.62 - 0.60 is a little over 0.02."""
_SMALL: Final = 1e5
"""Bytes; fewer would be 0.0 MB."""
NO_CLOCK: Final = datetime.max.replace(tzinfo=UTC)
"""Without a clock, whatever ends has ended."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of a file when it is judged; what is None fails the rules that need it."""

    quantized: Scores
    """Of the file that would ship."""
    tuned: Scores | None = None
    """Of the model before quantizing."""
    champion: Scores | None = None
    """Of the live version's file; None if there is none yet."""
    paired: PairedTests | None = None
    """The file against the champion, row by row."""
    more: tuple[Scores, ...] = ()
    """Of the same file on other questions: benchmarks, safety."""
    newest_row: datetime | None = None
    """When the newest row of the training data was written; None if no row tells."""
    now: datetime = NO_CLOCK

    def find(self, key: str) -> Metric | None:
        """Gives a metric of the file by a rule's name, or None."""
        for scores in self.of_the_file():
            if metric := scores.find(*metric_of(key)):
                return metric
        return None

    def slices(self, key: str) -> list[str]:
        """Gives the slices that a rule on every slice is about."""
        name, beginning = metric_of(key)
        return [
            metric.slice
            for scores in self.of_the_file()
            for metric in scores.metrics
            if metric.name == name
            and metric.slice
            and metric.slice.startswith(beginning.removesuffix(EACH))
        ]

    def of_the_file(self) -> Iterator[Scores]:
        """Gives all scores that are of this very file; `same_model` refuses the others."""
        yield self.quantized
        digest = self.quantized.model_digest
        yield from (scores for scores in self.more if scores.model_digest == digest)


@dataclass(frozen=True)
class Seen:
    """A metric as it was found, or why it cannot be used."""

    value: float | None
    unit: str
    why: str = ""
    rows: int = 0
    """That it stands on; 0 for what is measured, not counted on rows."""


def see(metric: Metric | None, key: str, of: str, policy: Policy, end: End) -> Seen:
    """Looks at one end of a metric; what cannot be relied on has no value, but a reason.

    Args:
        metric: None if there is no such.
        key: as the rule names it.
        of: whose it is, for the message.
        policy: how many rows it must stand on.
        end: of its interval.
    """
    if metric is None:
        return Seen(None, "", f"{named(key)} is not among the {of} model's scores{_wanting(key)}")
    value: float | None = getattr(metric, end)
    if why := _unlike_itself(metric) or _unusable(metric, value, policy, end):
        return Seen(None, metric.unit, f"{named(key)} {why}")
    counted = is_counted(metric.name, metric.unit)
    return Seen(value, metric.unit, rows=metric.n if counted else 0)


def _wanting(key: str) -> str:
    """Says what it takes for a metric to be measured at all, where that is easily missed."""
    if metric_of(key)[0] != "first_token_p95":
        return ""
    least = fewest_runs("first_token_p95")
    return f": it takes {least} runs at least (speed_runs of evaluate)"


def unlike(key: str, one: Seen, other: Seen) -> str:
    """Says why two values cannot be compared: an evaluation may take the first rows alone."""
    if one.value is None or other.value is None:
        return ""
    if one.unit != other.unit:
        return f"{named(key)} is {in_unit(one.unit)} there and {in_unit(other.unit)} here"
    if one.rows != other.rows:
        return f"{named(key)} stands on {one.rows} rows there and on {other.rows} here"
    return ""


def wrong_unit(metric: str, unit: str) -> str:
    """Says that a metric is in another unit than it is known by; empty if it is not."""
    known = unit_of(metric)
    if known in (None, unit):
        return ""
    return f"is {in_unit(unit)}, expected {in_unit(known or '')}"


def in_unit(unit: str) -> str:
    """Gives a unit in words."""
    if not unit:
        return "without a unit"
    return unit if unit.startswith("per ") else f"in {unit}"


def least_rows(metric: str, unit: str, slice: str, policy: Policy) -> int:
    """Gives the fewest rows, or runs, that a number may stand on."""
    if not is_counted(metric, unit):
        return fewest_runs(metric)
    return policy.min_slice_rows if slice else policy.min_rows


def turned_round(low: float | None, high: float | None) -> bool:
    """Says whether an interval ends before it begins: then its worse end is the better one."""
    return low is not None and high is not None and low > high


def _unlike_itself(metric: Metric) -> str:
    if turned_round(metric.low, metric.high):
        return "has an interval that ends before it begins"
    return wrong_unit(metric.name, metric.unit)


def _unusable(metric: Metric, value: float | None, policy: Policy, end: End) -> str:
    least = least_rows(metric.name, metric.unit, metric.slice, policy)
    if metric.n < least:
        what = "rows" if is_counted(metric.name, metric.unit) else "runs"
        return f"stands on {metric.n} {what}, at least {least} are asked for"
    if value is None or not _possible(metric, value):
        return "could not be measured" if end == "value" else f"has no {end} end of an interval"
    return ""


def _possible(metric: Metric, value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= (1 if is_share(metric.name) else math.inf)


def named(key: str) -> str:
    """Gives a rule's metric in words: ``f1 of cancer``."""
    metric, slice = metric_of(key)
    return f"{metric} of {slice}" if slice else metric


def say(value: float, unit: str) -> str:
    """Gives a value with its unit: ``160.0 MB``, ``12.5 ms``, ``60.00%``; above 1 no share."""
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB" if abs(value) >= _SMALL else f"{value:,.0f} bytes"
    if unit:
        return f"{value:.4g} {unit}"
    return f"{100 * value:.2f}%" if abs(value) <= 1 else f"{value:.4g}"


def told_apart(value: float, limit: float, unit: str) -> str:
    """Gives two values in full if they look alike once rounded: a refusal needs its reason."""
    alike = say(value, unit) == say(limit, unit)
    return f" (in full: {value:.12g}, {limit:.12g})" if alike else ""


def difference(value: float, unit: str) -> str:
    """Gives a difference; of shares in percentage points."""
    return say(value, unit) if unit or abs(value) > 1 else f"{100 * value:.2f} points"
