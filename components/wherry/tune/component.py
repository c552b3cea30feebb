"""Tuning as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def tune(
    dataset: Input[Dataset],
    base: Input[Model],
    adapter: Output[Model],
    curve: Output[Artifact],
    metrics: Output[Metrics],
    settings: str = "",
    job: str = "",
) -> None:
    """Tunes a base model on the train split.

    Args:
        dataset: a validated `Dataset` with the splits train and eval.
        base: the base model's folder, from `fetch_base`.
        adapter: a LoRA adapter in PEFT's form, sealed.
        curve: the `LossCurve` of the run.
        metrics: its eval loss, tokens per second and steps, for the KFP page.
        settings: a `TuneSettings` as JSON.
        job: a `TuneJobSettings` as JSON: where it is carried out, if not in this task.
    """
    from pathlib import Path

    from wherry.contracts.curve import LossCurve
    from wherry.tune.run import run

    run(
        Path(dataset.path),
        Path(base.path),
        Path(adapter.path),
        Path(curve.path),
        settings,
        job=job,
    )
    for name, value in LossCurve.read(Path(curve.path)).headline.items():
        metrics.log_metric(name, value)
