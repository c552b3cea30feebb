"""Wires the comparison: scores and predictions of two models in, paired tests out."""

from pathlib import Path
from tempfile import TemporaryDirectory

from wherry.contracts import PairedTests, read_settings
from wherry.evaluate.paired.champion import Unasked, asked_anew, kept, side
from wherry.evaluate.paired.settings import CompareSettings
from wherry.evaluate.paired.step import Side, compare
from wherry.ledger.stages import recorded
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
        champion = side(champion_scores, champion_predictions)
        challenger = side(challenger_scores, challenger_predictions)
        found = compare(champion, challenger, wanted)
        found.write(tests)
        report.verdict(_verdict(found))
    return found


@recorded("compare", inputs=("challenger_scores", "dataset"), outputs=("tests",))
def run_against_champion(
    name: str,
    challenger_scores: Path,
    challenger_predictions: Path,
    tests: Path,
    settings: str = "",
    dataset: Path | None = None,
    evaluate_settings: str = "",
) -> PairedTests:
    """Tests a model against the live version of its name, row by row.

    The answers that were kept of that version count where they are to the same rows. Where they
    are not, its file is asked anew, if the data set is handed over. Where there is nothing to
    test against, the tests are empty and say why.

    Args:
        name: the model's name in the release store.
        challenger_scores: the `Scores` of the model that would take its place.
        challenger_predictions: the predictions that they were counted from.
        tests: where to write the `PairedTests`.
        settings: a `CompareSettings` as JSON.
        dataset: the folder of the data set that the challenger was asked.
        evaluate_settings: the `EvaluateSettings` as JSON that it was asked by.
    """
    with stage("compare") as report:
        wanted = read_settings(CompareSettings, settings)
        challenger = side(challenger_scores, challenger_predictions)
        champion = kept(name, challenger, wanted)
        anew = champion.askable if dataset and isinstance(champion, Unasked) else None
        if dataset and anew:
            with TemporaryDirectory() as folder:
                champion = asked_anew(anew, dataset, evaluate_settings, Path(folder), report)
        found = (
            _untested(champion, challenger)
            if isinstance(champion, Unasked)
            else compare(champion, challenger, wanted)
        )
        found.write(tests)
        report.verdict(f"{_verdict(found)}{', the champion asked anew' if anew else ''}")
    return found


def _untested(unasked: Unasked, challenger: Side) -> PairedTests:
    return PairedTests(
        champion_digest=unasked.digest,
        challenger_digest=challenger.scores.model_digest,
        data_digest=challenger.scores.data_digest,
        tests=(),
        champion_predictions=None,
        challenger_predictions=challenger.digest,
        note=unasked.why,
    )


def _verdict(found: PairedTests) -> str:
    if not found.tests:
        return found.note
    verdicts = [test.verdict for test in found.tests]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("better", "worse"))
    rows = max(test.n for test in found.tests)
    return f"{len(verdicts)} tests on {rows} rows: {counts}"
