"""Wires the comparison: scores and predictions of two models in, paired tests out."""

from dataclasses import dataclass
from pathlib import Path

from wherry.contracts import Digest, PairedTests, Scores, digest_file, read_settings
from wherry.evaluate.paired.settings import CompareSettings
from wherry.evaluate.paired.step import Side, asked_the_same_rows, compare, shared
from wherry.evaluate.predictions import read_predictions
from wherry.ledger import CHAMPION, Ledger
from wherry.progress import stage
from wherry.workspace import state


def run(
    champion_scores: Path,
    champion_predictions: Path,
    challenger_scores: Path,
    challenger_predictions: Path,
    tests: Path,
    settings: str = "",
) -> PairedTests:
    """Tests which differences between two models are more than noise.

    Args:
        champion_scores: the `Scores` of the model to beat.
        champion_predictions: the predictions that they were counted from.
        challenger_scores: the `Scores` of the model that would take its place.
        challenger_predictions: the predictions that they were counted from.
        tests: where to write the `PairedTests`.
        settings: a `CompareSettings` as JSON.
    """
    with stage("compare") as report:
        wanted = read_settings(CompareSettings, settings)
        champion = _side(champion_scores, champion_predictions)
        challenger = _side(challenger_scores, challenger_predictions)
        found = compare(champion, challenger, wanted)
        found.write(tests)
        report.verdict(_verdict(found))
    return found


def run_against_champion(
    name: str,
    challenger_scores: Path,
    challenger_predictions: Path,
    tests: Path,
    settings: str = "",
) -> PairedTests:
    """Tests a model against the live version of its name, by the answers that were kept of it.

    Where there is nothing to test against, the tests are empty and say why.

    Args:
        name: the model's name in the release store.
        challenger_scores: the `Scores` of the model that would take its place.
        challenger_predictions: the predictions that they were counted from.
        tests: where to write the `PairedTests`.
        settings: a `CompareSettings` as JSON.
    """
    with stage("compare") as report:
        wanted = read_settings(CompareSettings, settings)
        challenger = _side(challenger_scores, challenger_predictions)
        champion = _champion(name, challenger, wanted)
        found = (
            _untested(champion, challenger)
            if isinstance(champion, _Untested)
            else compare(champion, challenger, wanted)
        )
        found.write(tests)
        report.verdict(_verdict(found))
    return found


@dataclass(frozen=True)
class _Untested:
    """Why there is nothing to test against."""

    why: str
    digest: Digest | None = None
    """The champion's, if there is one."""


def _champion(name: str, challenger: Side, settings: CompareSettings) -> Side | _Untested:
    if not Ledger.exists(state()):
        return _Untested("there is no champion yet")
    with Ledger.open(state()) as ledger:
        live = ledger.release_at_alias(name, CHAMPION)
        if live is None:
            return _Untested("there is no champion yet")
        if live.digest == challenger.scores.model_digest:
            return _Untested("it is the champion itself", live.digest)
        scores = ledger.scores_of(name, live.version)
        if scores.data_digest != challenger.scores.data_digest:
            return _Untested("the champion was scored on other data", live.digest)
        kept = ledger.predictions_of(name, live.version)
        if kept is None or scores.predictions_digest is None:
            return _Untested("the champion's answers were not kept", live.digest)
        champion = Side(scores, read_predictions(kept), scores.predictions_digest)
        why = _unlike(champion, challenger, settings)
        return _Untested(why, live.digest) if why else champion


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


def _untested(champion: _Untested, challenger: Side) -> PairedTests:
    return PairedTests(
        champion_digest=champion.digest,
        challenger_digest=challenger.scores.model_digest,
        data_digest=challenger.scores.data_digest,
        tests=(),
        champion_predictions=None,
        challenger_predictions=challenger.digest,
        note=champion.why,
    )


def _side(scores: Path, predictions: Path) -> Side:
    return Side(Scores.read(scores), read_predictions(predictions), digest_file(predictions))


def _verdict(found: PairedTests) -> str:
    if not found.tests:
        return found.note
    verdicts = [test.verdict for test in found.tests]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("better", "worse"))
    rows = max(test.n for test in found.tests)
    return f"{len(verdicts)} tests on {rows} rows: {counts}"
