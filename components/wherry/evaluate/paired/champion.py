"""Finds what the live version answered to the challenger's rows, and asks it anew if it must."""

from dataclasses import dataclass
from pathlib import Path

from wherry.contracts import (
    ArtifactRef,
    Digest,
    ModelRef,
    Release,
    Scores,
    digest_file,
    read_settings,
)
from wherry.evaluate.exam import Sitting
from wherry.evaluate.paired.settings import CompareSettings
from wherry.evaluate.paired.step import Side, asked_the_same_rows, shared
from wherry.evaluate.predictions import read_predictions
from wherry.evaluate.run import examined
from wherry.evaluate.settings import EvaluateSettings
from wherry.ledger import CHAMPION, Ledger
from wherry.progress import Report
from wherry.workspace import state


@dataclass(frozen=True)
class Unasked:
    """Why there is nothing to test against."""

    why: str
    digest: Digest | None = None
    """The live version's, if there is one."""
    askable: Release | None = None
    """The live version, where asking it the challenger's rows would mend that."""


def kept(name: str, challenger: Side, settings: CompareSettings) -> Side | Unasked:
    """Gives the champion's scores and answers as they were kept when it was released.

    Args:
        name: the model's name in the release store.
        challenger: the model that would take its place.
        settings: which numbers are compared.
    """
    if not Ledger.exists(state()):
        return Unasked("there is no champion yet")
    with Ledger.open(state()) as ledger:
        live = ledger.release_at_alias(name, CHAMPION)
        if live is None:
            return Unasked("there is no champion yet")
        if live.digest == challenger.scores.model_digest:
            return Unasked("it is the champion itself", live.digest)
        scores = ledger.scores_of(name, live.version)
        if scores.data_digest != challenger.scores.data_digest:
            return Unasked("the champion was scored on other data", live.digest, live)
        answers = ledger.predictions_of(name, live.version)
        if answers is None or scores.predictions_digest is None:
            return Unasked("the champion's answers were not kept", live.digest, live)
        champion = Side(scores, read_predictions(answers), scores.predictions_digest)
        why = _unlike(champion, challenger, settings)
        return Unasked(why, live.digest, live) if why else champion


def asked_anew(
    champion: Release, dataset: Path, settings: str, folder: Path, report: Report
) -> Side:
    """Asks the live version's file the rows of today, in its own chat template.

    Args:
        champion: the live version.
        dataset: the folder of the data set that the challenger was asked.
        settings: the `EvaluateSettings` as JSON that it was asked by.
        folder: where to write its scores and predictions.
        report: told the rows that are done.

    Raises:
        DigestError: if the file is not what was released.
        MissingError: if it is gone.
    """
    wanted = read_settings(EvaluateSettings, settings)
    scores, predictions = folder / "scores.json", folder / "predictions.jsonl"
    sitting = Sitting.opened(dataset, wanted, scores, predictions)
    with Ledger.open(state()) as ledger:
        file = ledger.artifacts.verified(ArtifactRef(champion.uri, champion.digest, champion.size))
    examined(_described(champion, file), file.parent, None, sitting, CHAMPION, report)
    return side(scores, predictions)


def side(scores: Path, predictions: Path) -> Side:
    """Reads one of the two models' files."""
    return Side(Scores.read(scores), read_predictions(predictions), digest_file(predictions))


def _described(champion: Release, file: Path) -> ModelRef:
    """Gives what stood beside the file before it was released."""
    return ModelRef(
        name=f"{champion.name} v{champion.version}",
        format="gguf",
        file=file.name,
        digest=champion.digest,
        size=champion.size,
        base_uri=champion.lineage.base_uri,
        base_digest=champion.lineage.base_digest,
        template_digest=champion.lineage.template_digest,
    )


def _unlike(champion: Side, challenger: Side, settings: CompareSettings) -> str:
    """Says why the champion's answers cannot be held against the challenger's, if so.

    That the challenger itself lacks what the settings name is no fault of the champion's:
    `compare` refuses it.
    """
    if not asked_the_same_rows(champion, challenger):
        return "the champion was asked other rows"
    ours, theirs = challenger.scores, champion.scores
    if shared(ours, ours, settings) and not shared(theirs, ours, settings):
        return "the champion was scored by other measures"
    return ""
