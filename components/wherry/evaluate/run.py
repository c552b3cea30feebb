"""Wires evaluation: a data split and a model in, scores and predictions out."""

from collections.abc import Sequence
from pathlib import Path

from wherry.contracts import Message, ModelRef, Row, Scores, read_settings
from wherry.contracts.model import MODEL_NAME
from wherry.evaluate.exam import Asked, Sitting, verdict
from wherry.evaluate.identity import files_of
from wherry.evaluate.opening import Asking, extra_missing, loaded_answerer
from wherry.evaluate.raw.step import RawModel
from wherry.evaluate.settings import EvaluateSettings
from wherry.evaluate.step import Model, Speed, costs
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
        wanted = read_settings(EvaluateSettings, settings)
        described = ModelRef.verified(model)
        sitting = Sitting.opened(dataset, wanted, scores, predictions)
        found = examined(described, model, base, sitting, subject, report)
        report.verdict(verdict(found))
    return found


def examined(
    model: ModelRef, folder: Path, base: Path | None, sitting: Sitting, subject: str, report: Report
) -> Scores:
    """Measures a model's speed, loads it, and lets it sit an exam.

    Args:
        model: what the folder holds, re-hashed by the caller.
        folder: of the model.
        base: the folder of an adapter's base.
        sitting: the rows, and where scores and predictions go.
        subject: which model it is, for people.
        report: told the rows that are done.
    """
    speed = _speed(model, folder, sitting.exam.rows, sitting.settings)
    loaded = _loaded(model, folder, base, sitting)
    size = model.size + _size_below(model, base)
    files = files_of(model, folder, base)
    asked = Asked(subject, model.digest, model.template_digest, files=files)
    return sitting.hold(loaded, asked, lambda: costs(size, speed, sitting.draws), report)


def _loaded(described: ModelRef, folder: Path, base: Path | None, sitting: Sitting) -> Model:
    """Loads the model in the forms that the measures need."""
    chosen, wanted = sitting.exam.chosen, sitting.settings
    asking = _asking(wanted)
    try:
        raw = _raw(described, folder, base, wanted) if chosen.likelihood else None
        answerer = loaded_answerer(described, folder, base, asking) if chosen.answers else None
    except ImportError as error:
        raise extra_missing(error) from error
    return Model(answerer, raw)


def _size_below(model: ModelRef, base: Path | None) -> int:
    """Gives the bytes of the base that an adapter needs; 0 for a model that stands alone."""
    if model.format != "adapter" or base is None:
        return 0
    # Loading has verified it: large files are hashed once.
    return ModelRef.read(base / MODEL_NAME).size


def _asking(settings: EvaluateSettings) -> Asking:
    return Asking(
        max_new_tokens=settings.max_new_tokens,
        context=settings.context,
        batch_size=settings.batch_size,
        slots=settings.slots,
        threads=settings.threads,
    )


def _raw(model: ModelRef, folder: Path, base: Path | None, settings: EvaluateSettings) -> RawModel:
    from wherry.evaluate.raw.adapters.open import opened

    limits = {"batch_size": settings.batch_size, "threads": settings.threads}
    return opened(model, folder, base, context=settings.context, **limits)


def _speed(
    model: ModelRef, folder: Path, rows: Sequence[Row], settings: EvaluateSettings
) -> Speed | None:
    """Measures a GGUF file before it is loaded here, so that nothing else runs beside it."""
    if model.format != "gguf" or not rows:
        return None
    try:
        from wherry.evaluate.adapters.llamacpp import measure
    except ImportError as error:
        raise extra_missing(error) from error
    asked = (rows[index % len(rows)] for index in range(settings.speed_runs))
    prompts = [_spoken(row, settings.context) for row in asked]
    return measure(folder / model.file, prompts, context=settings.context, threads=settings.threads)


def _spoken(row: Row, context: int) -> Sequence[Message]:
    """Gives what a user would say; of plain text its beginning, which leaves room for an answer."""
    # By bytes: a character has up to four tokens, a byte never more than one.
    start = row.text.encode()[: context // 4].decode(errors="ignore")
    return row.prompt or (Message("user", start),)
