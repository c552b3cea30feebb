"""The comparison page as a KFP component."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from wherry.images import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def versus(
    champion_scores: Input[Artifact],
    challenger_scores: Input[Artifact],
    html: Output[HTML],
    name: str,
    champion_predictions: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
    challenger_predictions: Optional[Input[Artifact]] = None,  # noqa: UP045 - likewise
    tests: Optional[Input[Artifact]] = None,  # noqa: UP045 - likewise
    ladder: Optional[Input[Artifact]] = None,  # noqa: UP045 - likewise
    dataset: Optional[Input[Artifact]] = None,  # noqa: UP045 - likewise
    champion_title: str = "the champion",
    challenger_title: str = "the challenger",
) -> None:
    """Shows two models side by side, on one page.

    Args:
        champion_scores: the `Scores` of the model to beat.
        challenger_scores: the `Scores` of the model that would take its place.
        html: the page.
        name: the model's name.
        champion_predictions: what the first answered.
        challenger_predictions: what the second answered.
        tests: the `PairedTests` between the two.
        ladder: the `Ladder` of the challenger's file types.
        dataset: the data set, so that questions are shown and not only their ids.
        champion_title: such as ``version 3``.
        challenger_title: such as ``version 4``.
    """
    from pathlib import Path

    from wherry.report.versus.run import run

    run(
        html=Path(html.path),
        name=name,
        champion_scores=Path(champion_scores.path),
        challenger_scores=Path(challenger_scores.path),
        champion_predictions=Path(champion_predictions.path) if champion_predictions else None,
        challenger_predictions=(
            Path(challenger_predictions.path) if challenger_predictions else None
        ),
        tests=Path(tests.path) if tests else None,
        ladder=Path(ladder.path) if ladder else None,
        dataset=Path(dataset.path) if dataset else None,
        champion_title=champion_title,
        challenger_title=challenger_title,
    )
