"""The evaluation of a running server as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def evaluate_endpoint(
    dataset: Input[Dataset],
    scores: Output[Metrics],
    predictions: Output[Artifact],
    subject: str,
    url: str,
    settings: str = "",
) -> None:
    """Asks a server every row of a held-out split and scores its answers.

    Args:
        dataset: the folder of a data set.
        scores: the `Scores`; the headline numbers are metadata too, for the KFP page.
        predictions: one JSON object a row.
        subject: which of the run's models it is, such as ``served``.
        url: up to the protocol's version, such as ``http://127.0.0.1:8080/openai/v1``.
        settings: an `EvaluateSettings` as JSON; its `endpoint` says how the server is asked.
    """
    from pathlib import Path

    from wherry.evaluate.endpoint.run import run

    paths = (Path(dataset.path), Path(scores.path), Path(predictions.path))
    found = run(*paths, subject, url, settings)
    for metric in found.metrics:
        if not metric.slice and metric.value is not None:
            scores.log_metric(metric.name, metric.value)
