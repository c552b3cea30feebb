"""Evaluation as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def evaluate(
    dataset: Input[Dataset],
    model: Input[Model],
    scores: Output[Metrics],
    predictions: Output[Artifact],
    subject: str,
    base: Input[Model] = None,
    settings: str = "",
) -> None:
    """Asks a model every row of a held-out split and scores its answers.

    Args:
        dataset: the folder of a data set.
        model: a model's folder: transformers, a PEFT adapter, or GGUF.
        scores: the `Scores`; the headline numbers are metadata too, for the KFP page.
        predictions: one JSON object a row: id, label, answer, label_pick, correct.
        subject: which of the run's models it is: ``base``, ``tuned``, ``quantized``.
        base: the folder of an adapter's base; other models do not need it.
        settings: an `EvaluateSettings` as JSON.
    """
    from pathlib import Path

    from wherry.evaluate.run import run

    below = Path(base.path) if base else None
    found = run(
        Path(dataset.path),
        Path(model.path),
        Path(scores.path),
        Path(predictions.path),
        subject,
        below,
        settings,
    )
    for metric in found.metrics:
        if not metric.slice and metric.value is not None:
            scores.log_metric(metric.name, metric.value)
