"""Wires evaluation: a data split and a model in, scores and predictions out."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from wherry.contracts import (
    Dataset,
    Manifest,
    Message,
    Metric,
    ModelRef,
    Row,
    Scores,
    Split,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import DigestError, ExtraMissingError, MissingError
from wherry.contracts.files import write_atomic
from wherry.evaluate.settings import EvaluateSettings
from wherry.evaluate.step import (
    Answerer,
    Prediction,
    Speed,
    check_template,
    costs,
    predict,
    quality,
)
from wherry.ledger.stages import recorded
from wherry.progress import Report, stage


@recorded(
    "evaluate {subject}", inputs=("dataset", "model", "base"), outputs=("scores", "predictions")
)
def run(
    dataset: Path,
    model: Path,
    scores: Path,
    predictions: Path,
    subject: str,
    base: Path | None = None,
    settings: str = "",
) -> Scores:
    """Asks a model every row of a held-out split and scores its answers.

    Args:
        dataset: the folder of a `Dataset`.
        model: a model's folder: transformers, a PEFT adapter, or GGUF.
        scores: where to write the `Scores`.
        predictions: where to write a `Prediction` a row, as JSON Lines.
        subject: which of the run's models it is: ``base``, ``tuned``, ``quantized``.
        base: the folder of an adapter's base; other models do not need it.
        settings: an `EvaluateSettings` as JSON.
    """
    with stage(f"evaluate {subject}") as report:
        chosen = read_settings(EvaluateSettings, settings)
        asked = ModelRef.verified(model)
        size = asked.size + _size_below(asked, base)
        Manifest.verified(dataset)
        data = Dataset.read(dataset / DATASET_NAME)
        rows = data.rows(dataset, chosen.split)[: chosen.rows or None]
        speed = _speed(asked, model, rows, chosen)
        answerer = _answerer(asked, model, base, chosen)
        check_template(answerer, asked)
        made = _predictions(answerer, rows, data.labels, report)
        draws = {"resamples": chosen.resamples, "seed": chosen.seed}
        metrics = quality(rows, made, data.labels, **draws) + costs(size, speed, **draws)
        found = _scores(subject, asked, data.split(chosen.split), metrics, answerer.engine)
        write_atomic(predictions, b"".join(msgspec.json.encode(one) + b"\n" for one in made))
        found.write(scores)
        report.verdict(_verdict(found))
    return found


def _size_below(model: ModelRef, base: Path | None) -> int:
    """Gives the bytes of the base that an adapter needs; 0 for a model that stands alone."""
    if model.format != "adapter":
        return 0
    if base is None:
        raise MissingError(
            f"The adapter {model.name} cannot answer without its base.", remedy="Hand base over."
        )
    found = ModelRef.verified(base)
    if found.digest != model.base_digest:
        raise DigestError(
            f"The adapter was trained on a base of digest {model.base_digest}, got {found.digest}.",
            remedy="Hand over the base that the adapter was trained on.",
        )
    return found.size


def _answerer(
    model: ModelRef, folder: Path, base: Path | None, settings: EvaluateSettings
) -> Answerer:
    limits = {"max_new_tokens": settings.max_new_tokens, "threads": settings.threads}
    try:
        if model.format == "gguf":
            from wherry.evaluate.adapters.llamacpp import LlamaCppAnswerer

            return LlamaCppAnswerer(
                folder / model.file, slots=settings.slots, context=settings.context, **limits
            )
        from wherry.evaluate.adapters.transformers import TransformersAnswerer
    except ModuleNotFoundError as error:
        raise _extra(error) from error
    if model.format == "adapter" and base is not None:
        return TransformersAnswerer(base, folder, batch_size=settings.batch_size, **limits)
    return TransformersAnswerer(folder, None, batch_size=settings.batch_size, **limits)


def _speed(
    model: ModelRef, folder: Path, rows: Sequence[Row], settings: EvaluateSettings
) -> Speed | None:
    """Measures a GGUF file before it is loaded here, so that nothing else runs beside it."""
    if model.format != "gguf" or not rows:
        return None
    try:
        from wherry.evaluate.adapters.llamacpp import measure
    except ModuleNotFoundError as error:
        raise _extra(error) from error
    prompts: list[Sequence[Message]] = [
        rows[index % len(rows)].prompt for index in range(settings.speed_runs)
    ]
    return measure(folder / model.file, prompts, context=settings.context, threads=settings.threads)


def _extra(error: ModuleNotFoundError) -> ExtraMissingError:
    return ExtraMissingError(
        f"Evaluating needs {error.name}, which is not installed.",
        remedy='Run: pip install "wherry[evaluate]"',
    )


def _predictions(
    answerer: Answerer, rows: Sequence[Row], labels: Sequence[str], report: Report
) -> list[Prediction]:
    return predict(rows, answerer.answer([row.prompt for row in rows], labels, report), labels)


def _scores(
    subject: str, model: ModelRef, split: Split, metrics: tuple[Metric, ...], engine: str
) -> Scores:
    return Scores(
        subject=subject,
        model_digest=model.digest,
        template_digest=model.template_digest,
        data_digest=split.digest,
        split=split.name,
        metrics=metrics,
        engine=engine,
    )


def _verdict(scores: Scores) -> str:
    accuracy, label = scores.find("accuracy"), scores.find("label_accuracy")
    words = [f"accuracy {_percent(accuracy.value)} of {accuracy.n} rows"] if accuracy else []
    if label:
        words.append(f"by label {_percent(label.value)}")
    if speed := scores.find("decode_speed"):
        words.append(f"{speed.value:.0f} tokens/s" if speed.value else "speed unknown")
    return ", ".join(words)


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f}%"
