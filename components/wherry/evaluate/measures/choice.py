"""Which measures an evaluation takes, by the settings and by the data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.contracts import Kind
from wherry.contracts.errors import SettingsError
from wherry.evaluate.measures import classes, likelihood
from wherry.evaluate.measures.calibration import calibration_error
from wherry.evaluate.measures.measure import Measure, Terms, right, told
from wherry.evaluate.measures.refusal import refusal_rate
from wherry.evaluate.measures.structured import schema_valid, valid_json
from wherry.evaluate.measures.texts import TEXT_TERMS, text_measure
from wherry.evaluate.predictions import Prediction

FOR_LABELS: Final = (
    "accuracy",
    "exact_match",
    "label_accuracy",
    "macro_f1",
    "f1",
    "calibration_error",
)
FOR_TEXTS: Final = ("accuracy", "exact_match", "token_f1", "rouge_l", "chrf")
FOR_PLAIN_TEXT: Final = ("perplexity", "byte_perplexity")
_NEED_PICKS: Final = ("label_accuracy", "calibration_error")
_NEED_LABELS: Final = (*_NEED_PICKS, *classes.NAMES)
_YES_OR_NO: Final = ("valid_json", "schema_valid", "refusal_rate")
NAMES: Final = (
    *("accuracy", "exact_match"),
    *_NEED_LABELS,
    *TEXT_TERMS,
    *_YES_OR_NO,
    *FOR_PLAIN_TEXT,
)
"""Every measure that settings may name."""


@dataclass(frozen=True)
class Chosen:
    """The measures of an evaluation, and what has to be kept of each answer for them."""

    measures: tuple[Measure, ...]
    terms: Mapping[str, Callable[[str, str], Terms]]
    """What to take from an answer and its reference, by the name in `Prediction.terms`."""
    likelihood: bool
    """Whether the references' probabilities are wanted."""
    answers: bool = True
    """Whether answers are."""
    label_scores: bool = True
    """Whether the labels' probabilities are."""


def choose(
    names: Sequence[str], labels: Sequence[str], schema: Mapping[str, Any], kind: Kind
) -> Chosen:
    """Gives the measures of these names, or those that suit the data.

    Args:
        names: of `NAMES`; empty for `FOR_LABELS`, without labels `FOR_TEXTS`, and
            `FOR_PLAIN_TEXT` where rows are no conversations.
        labels: the label set, or empty for free text.
        schema: the JSON Schema that ``schema_valid`` asks for.
        kind: what the rows are.

    Raises:
        SettingsError: if a measure needs what the data does not have.
        DataError: if two labels are the same once normalised.
    """
    # Not only for F1: right or wrong, and the confusion after hours of answers, hang on it.
    classes.numbered(labels)
    wanted = tuple(dict.fromkeys(names)) or _suiting(labels, kind)
    if not labels and (odd := [name for name in wanted if name in _NEED_LABELS]):
        raise _unsuited(odd[0], "needs labels, and the data set has none")
    answers = any(name not in FOR_PLAIN_TEXT for name in wanted)
    if kind == "text" and answers:
        odd = [name for name in wanted if name not in FOR_PLAIN_TEXT]
        raise _unsuited(odd[0], "needs answers, and plain text asks nothing")
    takers = {name: _taker(name, schema) for name in wanted if name in (*TEXT_TERMS, *_YES_OR_NO)}
    likely = any(name in FOR_PLAIN_TEXT for name in wanted)
    picks = any(name in _NEED_PICKS for name in wanted)
    return Chosen(measures_of(wanted, labels), takers, likely, answers, picks)


def _suiting(labels: Sequence[str], kind: Kind) -> tuple[str, ...]:
    if kind == "text":
        return FOR_PLAIN_TEXT
    return FOR_LABELS if labels else FOR_TEXTS


def _unsuited(name: str, why: str) -> SettingsError:
    return SettingsError(
        f"The measure {name} {why}.", remedy="Take it out of measures in the settings of evaluate."
    )


def measures_of(names: Sequence[str], labels: Sequence[str]) -> tuple[Measure, ...]:
    """Makes measures by name, each once; those over classes are one."""
    over_classes = [name for name in names if name in classes.NAMES]
    made = [_measure(name) for name in names if name not in classes.NAMES]
    return (*made, classes.classes(labels, over_classes)) if over_classes else tuple(made)


def _measure(name: str) -> Measure:
    if name in _RIGHT:
        return right(name, _RIGHT[name])
    if name in _YES_OR_NO:
        return right(name, told(name))
    return _OTHERS[name]() if name in _OTHERS else text_measure(name)


def _label_is_right(made: Prediction) -> bool | None:
    # No pick: the scores are no numbers, or the endpoint did not give them.
    return made.label_pick == made.label if made.label_pick else None


_RIGHT: Final[Mapping[str, Callable[[Prediction], bool | None]]] = {
    "accuracy": lambda made: made.correct,
    "exact_match": lambda made: made.exact,
    "label_accuracy": _label_is_right,
}
_OTHERS: Final[Mapping[str, Callable[[], Measure]]] = {
    "calibration_error": calibration_error,
    "perplexity": likelihood.perplexity,
    "byte_perplexity": likelihood.byte_perplexity,
}


def _taker(name: str, schema: Mapping[str, Any]) -> Callable[[str, str], Terms]:
    if name == "schema_valid":
        return schema_valid(schema)
    own = {"valid_json": valid_json, "refusal_rate": refusal_rate}
    return own.get(name) or TEXT_TERMS[name]
