"""What a model said to one row, with all that scores are later counted from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from wherry.contracts.errors import FormatError


@dataclass(frozen=True)
class Answer:
    """What a model said to one prompt."""

    text: str
    """The greedy answer up to the end of the turn, without special tokens, not stripped."""
    label_scores: tuple[float, ...]
    """One a label, in the labels' order: log P(label | prompt), see `Answerer.answer`. A label
    that is known to be less probable than another one may have -inf."""
    cut: bool = False
    """Whether the most tokens that were allowed ended the text, not the model."""


@dataclass(frozen=True)
class Likelihood:
    """How probable a text is to a model."""

    nats: float
    """-log P(text), summed over its tokens."""
    tokens: int
    """Tokens that were scored."""


@dataclass(frozen=True)
class Prediction:
    """What a model said to one row; a line of the predictions file.

    Scores, and tests of two models against each other, are counted from these lines alone: no
    row of the data is needed again.
    """

    id: str
    label: str
    answer: str
    """The free answer, as it came."""
    label_pick: str
    """The label of highest probability; empty without labels, or where nobody could say."""
    correct: bool
    """Whether the normalised answer is the label or the completion."""
    exact: bool = False
    """Whether the answer is the completion, character by character."""
    confidence: float | None = None
    """The pick's share of the probability of all labels; None where it is not known."""
    slices: tuple[str, ...] = ()
    """Which parts of the data the row is in, its label apart: ``group=K70``, ``length=64-255``."""
    terms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What the row adds to each measure of texts, such as ``{"token_f1": (0.5,)}``."""


def lines_of(predictions: Sequence[Prediction]) -> bytes:
    """Gives predictions as JSON Lines."""
    return b"".join(msgspec.json.encode(one) + b"\n" for one in predictions)


def read_predictions(path: Path) -> list[Prediction]:
    """Reads a predictions file.

    Raises:
        FormatError: naming the line that is none.
    """
    decoder = msgspec.json.Decoder(Prediction)
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            found.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise FormatError(
                f"{path.name}, line {number}, is no prediction: {error}.",
                remedy="Evaluate again with this version of Wherry.",
            ) from error
    return found
