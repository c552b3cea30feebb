"""The comparison of two models as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

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
) -> None:
    """Tests a model against the live version of its name, by the answers that were kept of it.

    Args:
        challenger_scores: the `Scores` of the model that would take its place.
        challenger_predictions: the predictions that they were counted from.
        tests: the `PairedTests`; without any where there is nothing to test against.
        name: the model's name in the release store.
        settings: a `CompareSettings` as JSON.
    """
    from pathlib import Path

    from wherry.evaluate.paired.run import run_against_champion

    run_against_champion(
        name,
        Path(challenger_scores.path),
        Path(challenger_predictions.path),
        Path(tests.path),
        settings,
    )
