"""Tuning as a KFP component."""

from typing import Optional

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
    merged: Output[Model],
    settings: str = "",
    job: str = "",
    start: Optional[Input[Model]] = None,  # noqa: UP045 - KFP reads no `X | None`
    teacher: Optional[Input[Model]] = None,  # noqa: UP045 - KFP reads no `X | None`
) -> None:
    """Tunes a base model on the train split.

    Args:
        dataset: a validated `Dataset` with the splits train and eval.
        base: the base model's folder, from `fetch_base`.
        adapter: an adapter in PEFT's form, or the whole model where the method is full; sealed.
        curve: the `LossCurve` of the run.
        metrics: its eval loss, tokens per second and steps, for the KFP page.
        merged: base and adapter as one model, sealed, where the settings say ``merge``; else a
            note.
        settings: a `TuneSettings` as JSON.
        job: a `TuneJobSettings` as JSON: where it is carried out, if not in this task.
        start: an adapter to go on training, if any.
        teacher: the model to learn from, where the objective has one.
    """
    from pathlib import Path

    from wherry.tune.task import run_task

    headline = run_task(
        dataset=Path(dataset.path),
        base=Path(base.path),
        adapter=Path(adapter.path),
        curve=Path(curve.path),
        metrics=Path(metrics.path),
        merged=Path(merged.path),
        settings=settings,
        start=Path(start.path) if start else None,
        teacher=Path(teacher.path) if teacher else None,
        job=job,
    )
    for name, value in headline.items():
        metrics.log_metric(name, value)
