"""What a policy is judged by, and how a metric is looked up in it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from wherry.contracts import Metric, PairedTests, Scores
from wherry.gate.metrics import is_share
from wherry.gate.settings import EACH, Policy, metric_of

End = Literal["value", "low", "high"]
SLACK: Final = 1e-9
"""Differences of floats: 0.62 - 0.60 is a little over 0.02."""
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
    """That a share stands on; 0 for what is not counted in rows."""


def see(metric: Metric | None, key: str, of: str, policy: Policy, end: End) -> Seen:
    """Looks at one end of a metric; whatever is missing, too few or not a number has no value.

    Args:
        metric: None if there is no such.
        key: as the rule names it.
        of: whose it is, for the message.
        policy: how many rows it must stand on.
        end: of its interval.
    """
    if metric is None:
        return Seen(None, "", f"{named(key)} is not among the {of} model's scores")
    least = _least_rows(metric, policy)
    if metric.n < least:
        why = f"{named(key)} stands on {metric.n} rows, at least {least} are asked for"
        return Seen(None, metric.unit, why)
    value: float | None = getattr(metric, end)
    if value is None or not _possible(metric, value):
        which = "could not be measured" if end == "value" else f"has no {end} end of an interval"
        return Seen(None, metric.unit, f"{named(key)} {which}")
    return Seen(value, metric.unit, rows=metric.n if is_share(metric.name) else 0)


def unlike(key: str, one: Seen, other: Seen) -> str:
    """Says why two values cannot be compared: an evaluation may take the first rows alone."""
    if one.value is None or other.value is None or one.rows == other.rows:
        return ""
    return f"{named(key)} stands on {one.rows} rows there and on {other.rows} here"


def _least_rows(metric: Metric, policy: Policy) -> int:
    if not is_share(metric.name):
        return 1
    return policy.min_slice_rows if metric.slice else policy.min_rows


def _possible(metric: Metric, value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= (1 if is_share(metric.name) else math.inf)


def named(key: str) -> str:
    """Gives a rule's metric in words: ``f1 of cancer``."""
    metric, slice = metric_of(key)
    return f"{metric} of {slice}" if slice else metric


def say(value: float, unit: str) -> str:
    """Gives a value with its unit: ``160.0 MB``, ``12.5 ms``, ``60.00%``."""
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    return f"{value:.4g} {unit}" if unit else f"{100 * value:.2f}%"


def difference(value: float, unit: str) -> str:
    """Gives a difference; of shares in percentage points."""
    return say(value, unit) if unit else f"{100 * value:.2f} points"
