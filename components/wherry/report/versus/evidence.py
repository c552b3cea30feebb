"""All that is known of a champion and a challenger, checked to be about these two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wherry.contracts import Digest, PairedTests, Scores
from wherry.contracts.errors import DigestError
from wherry.contracts.ladder import Ladder


@dataclass(frozen=True)
class Said:
    """What one model answered to a row."""

    answer: str
    correct: bool
    sure: float = 0.0
    """How sure the model was of a wrong label, in [0, 1]; 0 if it was of none or nobody knows."""


@dataclass(frozen=True)
class Side:
    """One of the two."""

    title: str
    """Such as ``version 3``."""
    scores: Scores
    said: Mapping[str, Said]
    """A row's id → the answer; empty if the predictions were not kept."""


@dataclass(frozen=True)
class Asked:
    """A row as both were asked it."""

    id: str
    question: str
    """The last turn before the answer."""
    wanted: str


@dataclass(frozen=True)
class Versus:
    """A champion, a challenger, and the tests between them.

    Raises:
        DigestError: if the tests are of other models, or of other answers than the scores.
    """

    name: str
    champion: Side
    challenger: Side
    paired: PairedTests | None = None
    """None if the two were not asked the same rows."""
    rows: Sequence[Asked] = ()
    """In the split's order; empty if the data is not at hand."""
    ladder: Ladder | None = None
    """Of the challenger's file types, if several were tried."""

    def __post_init__(self) -> None:
        """Refuses tests of others."""
        if self.paired is None:
            return
        paired, one, two = self.paired, self.champion.scores, self.challenger.scores
        # Where nothing was tested there may be no champion, or none whose answers were kept.
        if paired.tests or paired.champion_digest is not None:
            _same("champion", paired.champion_digest, one.model_digest)
        if paired.tests or paired.champion_predictions is not None:
            _same("champion's answers", paired.champion_predictions, one.predictions_digest)
        _same("challenger", paired.challenger_digest, two.model_digest)
        _same("challenger's answers", paired.challenger_predictions, two.predictions_digest)

    @property
    def same_data(self) -> bool:
        """Whether both were scored on the same split of the same data."""
        return self.champion.scores.data_digest == self.challenger.scores.data_digest


def _same(what: str, found: Digest | None, expected: Digest | None) -> None:
    if found != expected:
        raise DigestError(
            f"The digest of the {what} is {found} in the paired tests, {expected} in the scores.",
            remedy="Compare these two versions again.",
        )
