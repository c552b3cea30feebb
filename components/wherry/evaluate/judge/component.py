"""The judge as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def judge(
    dataset: Input[Dataset],
    champion: Input[Metrics],
    champion_predictions: Input[Artifact],
    challenger: Input[Metrics],
    challenger_predictions: Input[Artifact],
    judgements: Output[Artifact],
    scores: Output[Metrics],
    url: str = "",
    model: Input[Model] = None,
    base: Input[Model] = None,
    rubric: Input[Artifact] = None,
    people: Input[Artifact] = None,
    settings: str = "",
) -> None:
    """Has a third model compare two models' answers, each pair in both orders.

    Args:
        dataset: the folder of the data set that both were asked.
        champion: the `Scores` of the model in use.
        champion_predictions: its answers.
        challenger: the `Scores` of the new model.
        challenger_predictions: its answers.
        judgements: the `Judgements`.
        scores: the challenger's `Scores`; the numbers are metadata too, for the KFP page.
        url: of the judge's server, in OpenAI's protocol; its key is in the environment alone.
        model: the folder of a judge that is loaded here, instead of a server.
        base: the folder of its base, if it is an adapter.
        rubric: a `Rubric` in YAML.
        people: what people said of rows: JSON Lines with id and winner.
        settings: a `JudgeSettings` as JSON.
    """
    from pathlib import Path

    from wherry.evaluate.judge.run import run

    found = run(
        Path(dataset.path),
        Path(champion.path),
        Path(champion_predictions.path),
        Path(challenger.path),
        Path(challenger_predictions.path),
        Path(judgements.path),
        Path(scores.path),
        url,
        Path(model.path) if model else None,
        Path(base.path) if base else None,
        Path(rubric.path) if rubric else None,
        Path(people.path) if people else None,
        settings,
    )
    for metric in found.metrics:
        if metric.value is not None:
            scores.log_metric(metric.name, metric.value)
