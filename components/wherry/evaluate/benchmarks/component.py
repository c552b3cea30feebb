"""Benchmarks as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def benchmark(
    model: Input[Model],
    scores: Output[Metrics],
    predictions: Output[Artifact],
    subject: str,
    base: Input[Model] = None,
    tasks: Input[Artifact] = None,
    data: Input[Artifact] = None,
    settings: str = "",
) -> None:
    """Asks a model benchmark tasks of lm-evaluation-harness, or a team's own in its YAML.

    Args:
        model: a model's folder: transformers, a PEFT adapter, or GGUF.
        scores: the `Scores`; the headline numbers are metadata too, for the KFP page.
        predictions: one JSON object a question: id, label, answer, label_pick, correct, values.
        subject: which of the run's models it is: ``base``, ``tuned``, ``quantized``.
        base: the folder of an adapter's base; other models do not need it.
        tasks: a folder of a team's own task files.
        data: a folder with the data of every task; without it, it comes from the hub.
        settings: a `BenchmarkSettings` as JSON.
    """
    from pathlib import Path

    from wherry.evaluate.benchmarks.run import run

    found = run(
        Path(model.path),
        Path(scores.path),
        Path(predictions.path),
        subject,
        Path(base.path) if base else None,
        Path(tasks.path) if tasks else None,
        Path(data.path) if data else None,
        settings,
    )
    for metric in found.metrics:
        if not metric.slice and metric.value is not None:
            scores.log_metric(metric.name, metric.value)
