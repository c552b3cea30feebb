"""The report as a KFP component."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from wherry.images import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def report(
    dataset: Input[Artifact],
    validation: Input[Artifact],
    curve: Input[Artifact],
    scores_base: Input[Artifact],
    scores_tuned: Input[Artifact],
    scores_quantized: Input[Artifact],
    parity: Input[Artifact],
    blessing: Input[Artifact],
    html: Output[HTML],
    ladder: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
    release: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
    deployment: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
    name: str = "",
    settings: str = "",
    paired: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
) -> None:
    """Shows everything that a run found, on one page.

    Args:
        dataset: the data set's folder.
        validation: the `ValidationReport`.
        curve: the `LossCurve`.
        scores_base: the `Scores` of the base model.
        scores_tuned: the `Scores` of the tuned model.
        scores_quantized: the `Scores` of the quantized file.
        parity: the `Parity` between training form and quantized file.
        blessing: the `Blessing`, passed or refused.
        html: the page.
        ladder: the `Ladder` of file types.
        release: the `Release`; leave it out for a refused run.
        deployment: the `Deployment`; leave it out where nothing was deployed.
        name: the model's name, for a run that released nothing.
        settings: `ReportSettings` as JSON.
        paired: the `PairedTests` against the champion.
    """
    from pathlib import Path

    from wherry.report.run import run

    run(
        html=Path(html.path),
        dataset=Path(dataset.path),
        validation=Path(validation.path),
        curve=Path(curve.path),
        scores_base=Path(scores_base.path),
        scores_tuned=Path(scores_tuned.path),
        scores_quantized=Path(scores_quantized.path),
        parity=Path(parity.path),
        blessing=Path(blessing.path),
        ladder=Path(ladder.path) if ladder else None,
        release=Path(release.path) if release else None,
        deployment=Path(deployment.path) if deployment else None,
        name=name,
        settings=settings,
        paired=Path(paired.path) if paired else None,
    )
