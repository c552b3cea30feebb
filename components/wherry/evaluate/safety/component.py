"""The safety probes as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def safety(
    dataset: Input[Dataset],
    model: Input[Model],
    scores: Output[Metrics],
    answers: Output[Artifact],
    subject: str,
    base: Input[Model] = None,
    prompts: Input[Artifact] = None,
    classifier: Input[Model] = None,
    classifier_base: Input[Model] = None,
    classifier_url: str = "",
    settings: str = "",
) -> None:
    """Probes a model: what it refuses, what it can be talked into, what it leaks and recites.

    Args:
        dataset: the folder of the data set that it was tuned on.
        model: a model's folder: transformers, a PEFT adapter, or GGUF.
        scores: the `Scores`; the headline numbers are metadata too, for the KFP page.
        answers: one JSON object a probe: id, answer, refused, violates, leaks.
        subject: which of the run's models it is: ``base``, ``tuned``, ``quantized``.
        base: the folder of an adapter's base.
        prompts: a `PromptSet` in YAML; the package's own without it.
        classifier: the folder of a model that says what breaks a policy.
        classifier_base: the folder of its base, if it is an adapter.
        classifier_url: of its server instead; without both, words decide.
        settings: a `SafetySettings` as JSON.
    """
    from pathlib import Path

    from wherry.evaluate.safety.run import run

    found = run(
        Path(dataset.path),
        Path(model.path),
        Path(scores.path),
        Path(answers.path),
        subject,
        Path(base.path) if base else None,
        Path(prompts.path) if prompts else None,
        Path(classifier.path) if classifier else None,
        Path(classifier_base.path) if classifier_base else None,
        classifier_url,
        settings,
    )
    for metric in found.metrics:
        if not metric.slice and metric.value is not None:
            scores.log_metric(metric.name, metric.value)
