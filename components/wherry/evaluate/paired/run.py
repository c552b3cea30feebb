"""Wires the comparison: scores and predictions of two models in, paired tests out."""

from pathlib import Path

from wherry.contracts import PairedTests, Scores, digest_file, read_settings
from wherry.evaluate.paired.settings import CompareSettings
from wherry.evaluate.paired.step import Side, compare
from wherry.evaluate.predictions import read_predictions
from wherry.progress import stage


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


def _side(scores: Path, predictions: Path) -> Side:
    return Side(Scores.read(scores), read_predictions(predictions), digest_file(predictions))


def _verdict(found: PairedTests) -> str:
    verdicts = [test.verdict for test in found.tests]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("better", "worse"))
    return f"{len(verdicts)} tests on {found.tests[0].n} rows: {counts}"
