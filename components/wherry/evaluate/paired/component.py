"""The comparison of two models as a KFP component."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def compare(
    champion_scores: Input[Artifact],
    champion_predictions: Input[Artifact],
    challenger_scores: Input[Artifact],
    challenger_predictions: Input[Artifact],
    tests: Output[Artifact],
    settings: str = "",
) -> None:
    """Tests which differences between two models are more than noise.

    Args:
        champion_scores: the `Scores` of the model to beat.
        champion_predictions: the predictions that they were counted from.
        challenger_scores: the `Scores` of the model that would take its place.
        challenger_predictions: the predictions that they were counted from.
        tests: the `PairedTests`.
        settings: a `CompareSettings` as JSON.
    """
    from pathlib import Path

    from wherry.evaluate.paired.run import run

    run(
        champion_scores=Path(champion_scores.path),
        champion_predictions=Path(champion_predictions.path),
        challenger_scores=Path(challenger_scores.path),
        challenger_predictions=Path(challenger_predictions.path),
        tests=Path(tests.path),
        settings=settings,
    )


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def compare_champion(
    challenger_scores: Input[Artifact],
    challenger_predictions: Input[Artifact],
    tests: Output[Artifact],
    name: str,
    settings: str = "",
    dataset: Optional[Input[Dataset]] = None,  # noqa: UP045 - KFP reads no `X | None`
    evaluate_settings: str = "",
) -> None:
    """Tests a model against the live version of its name, row by row.

    The answers that were kept of that version count where they are to the same rows; else its
    file is asked anew.

    Args:
        challenger_scores: the `Scores` of the model that would take its place.
        challenger_predictions: the predictions that they were counted from.
        tests: the `PairedTests`; without any where there is nothing to test against.
        name: the model's name in the release store.
        settings: a `CompareSettings` as JSON.
        dataset: the data set that the challenger was asked; without it nothing is asked anew.
        evaluate_settings: the `EvaluateSettings` as JSON that the challenger was asked by.
    """
    from pathlib import Path

    from wherry.evaluate.paired.run import run_against_champion

    run_against_champion(
        name,
        Path(challenger_scores.path),
        Path(challenger_predictions.path),
        Path(tests.path),
        settings,
        Path(dataset.path) if dataset else None,
        evaluate_settings,
    )
