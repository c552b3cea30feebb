"""Which metrics sum a model up, and how a metric and its change are said."""

from dataclasses import dataclass
from typing import Final

from wherry.contracts.scores import Metric, Scores
from wherry.page.words import MISSING, interval, metric, number, percent, points, quantity, sentence

_PREFERRED: Final = (
    *("accuracy", "label_accuracy", "token_f1", "macro_f1", "rouge_l", "chrf", "bleu"),
    *("schema_valid", "valid_json", "exact_match", "perplexity", "byte_perplexity"),
)
"""The free answer first; the likeliest label is the fair comparison with an untuned model. Plain
text has its perplexities alone."""
_SHOWN: Final = 2


@dataclass(frozen=True)
class Figure:
    """A value with its interval, as a table cell."""

    value: str
    interval: str


def figure(found: Metric | None) -> Figure:
    """Gives a metric as a table cell."""
    if found is None:
        return Figure(MISSING, "")
    return Figure(told(found), interval(found.low, found.high, found.unit))


def headlines(*models: Scores) -> list[str]:
    """Gives the names of the metrics that sum models up: two at most, of those that one has."""
    return [name for name in _PREFERRED if any(each.find(name) for each in models)][:_SHOWN]


def is_likelihood(found: Metric) -> bool:
    """Says whether a metric tells how probable real text is; less of it is better."""
    return found.unit.startswith("per ")


def told(found: Metric) -> str:
    """Gives a metric's value in words, such as ``71.4%`` or ``12.3 per token``."""
    return quantity(found.value, found.unit) if found.unit else percent(found.value)


def change(before: Scores, after: Scores, name: str) -> str:
    """Gives what changed from one model to another: points of a share, else the number."""
    first, second = _value(before, name), _value(after, name)
    if first is None or second is None:
        return MISSING
    kind = after.find(name)
    if kind is None or not kind.unit:
        return points(second - first)
    sign = "+" if second > first else "" if second < first else "±"
    return f"{sign}{number(second - first)}"


def summed_up(subject: str, found: Metric) -> str:
    """Says what a model came to, as the beginning of a sentence.

    Args:
        subject: the model, as it stands within a sentence.
        found: its metric.
    """
    if found.name == "accuracy":
        return f"{sentence(subject)} answers {told(found)} of {found.n:,} held-out rows correctly"
    return f"{metric(found.name)} of {subject} is {told(found)} on {found.n:,} held-out rows"


def short(found: Metric | None) -> str:
    """Gives a metric in as few words as a signpost has room for."""
    if found is None or found.value is None:
        return "not measured"
    if found.name == "accuracy":
        return f"{told(found)} accuracy"
    return f"{metric(found.name)} {told(found)}"


def _value(scores: Scores, name: str) -> float | None:
    found = scores.find(name)
    return found.value if found else None
