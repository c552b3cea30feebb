"""Wires tuning: a data set and a base model in, an adapter and its loss curve out."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.contracts import Dataset, Manifest, ModelRef, digest_file, read_settings
from wherry.contracts.curve import LossCurve
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import ExtraMissingError
from wherry.contracts.files import staged_folder
from wherry.contracts.model import MODEL_NAME
from wherry.progress import stage
from wherry.tune.settings import TuneSettings
from wherry.tune.step import Course, encode, shared_prefix, tune

if TYPE_CHECKING:
    from wherry.tune.adapters.chat import FolderTokenizer
    from wherry.tune.adapters.lora import LoraLearner


def run(dataset: Path, base: Path, adapter: Path, curve: Path, settings: str = "") -> None:
    """Tunes a base model on the train split.

    Args:
        dataset: the folder of a `Dataset` with the splits train and eval.
        base: the base model's folder.
        adapter: the folder to make: a LoRA adapter in PEFT's form.
        curve: where to write the `LossCurve`.
        settings: a `TuneSettings` as JSON.
    """
    with stage("tune") as report:
        recipe = read_settings(TuneSettings, settings)
        tokenizer_of, learner_of = _libraries()
        Manifest.verified(dataset)
        data, source = Dataset.read(dataset / DATASET_NAME), ModelRef.verified(base)
        tokenizer = tokenizer_of(base)
        rows = data.rows(dataset, "train")[: recipe.rows or None]
        train, too_long = encode(rows, tokenizer, recipe.max_length)
        held_out, _ = encode(data.rows(dataset, "eval"), tokenizer, recipe.max_length)
        prefix = train[0].prompt[: shared_prefix([*train, *held_out])]
        learner = learner_of(base, recipe, prefix)
        course = tune(train, held_out, learner, recipe, report, time.monotonic)
        with staged_folder(adapter) as folder:
            _describe(source, learner.save(folder, source.base_uri)).write(folder / MODEL_NAME)
            Manifest.seal(folder)
        told = _curve(course, len(train), recipe, source, data)
        told.write(curve)
        report.verdict(_verdict(told, too_long))


def _libraries() -> "tuple[type[FolderTokenizer], type[LoraLearner]]":
    try:
        from wherry.tune.adapters.lora import LoraLearner  # isort: skip - says how threads wait
        from wherry.tune.adapters.chat import FolderTokenizer
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Tuning needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[tune]"',
        ) from error
    return FolderTokenizer, LoraLearner


def _describe(source: ModelRef, weights: Path) -> ModelRef:
    digest = digest_file(weights)
    return ModelRef(
        name=source.name,
        format="adapter",
        file=weights.name,
        digest=digest,
        size=weights.stat().st_size,
        base_uri=source.base_uri,
        base_digest=source.digest,
        template_digest=source.template_digest,
        quantization="float32",
        adapter_digest=digest,
        licence=source.licence,
    )


def _curve(
    course: Course, rows: int, recipe: TuneSettings, source: ModelRef, data: Dataset
) -> LossCurve:
    return LossCurve(
        points=course.points,
        rows=rows,
        epochs=recipe.epochs,
        tokens_per_second=course.tokens_per_second,
        seconds=course.seconds,
        seed=recipe.seed,
        base_digest=source.digest,
        data_digest=data.split("train").digest,
        settings={**asdict(recipe), "targets": ", ".join(recipe.targets)},
    )


def _verdict(curve: LossCurve, too_long: int) -> str:
    losses = [point.eval_loss for point in curve.points if point.eval_loss is not None]
    fall = f", eval loss {losses[0]:.2f} → {losses[-1]:.2f}" if losses else ""
    left_out = f", {too_long} too long" if too_long else ""
    return f"{curve.rows:,} rows{left_out}, {curve.tokens_per_second:.0f} tok/s{fall}"
