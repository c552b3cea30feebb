"""Validate as a KFP component."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from wherry.images import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def validate(
    dataset: Input[Dataset],
    base: Input[Model],
    report: Output[Artifact],
    page: Output[HTML],
    settings: str = "",
) -> None:
    """Judges a data set by a suite of expectations, and stops the run if it is not fit.

    Args:
        dataset: the data set.
        base: the base model; its tokenizer counts the tokens.
        report: the `ValidationReport`; it is written before a refusal.
        page: the report for people, one file that loads nothing; also before a refusal.
        settings: `wherry.validate.settings.ValidateSettings` as JSON, the suite included.
    """
    from pathlib import Path

    from wherry.validate.run import run

    run(Path(dataset.path), Path(base.path), Path(report.path), settings, Path(page.path))
