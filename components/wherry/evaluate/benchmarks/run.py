"""Wires the benchmarks: a model and tasks in, scores and answers out."""

import tempfile
from pathlib import Path

import msgspec

from wherry.contracts import (
    Digest,
    ModelRef,
    Scores,
    digest_bytes,
    digest_record,
    read_settings,
)
from wherry.contracts.errors import ExtraMissingError
from wherry.contracts.files import write_atomic
from wherry.evaluate.benchmarks.settings import BenchmarkSettings
from wherry.evaluate.benchmarks.step import Measured, data_digest, metrics_of
from wherry.evaluate.identity import engine_with_versions, files_of
from wherry.evaluate.memory import Memory, memory_beside
from wherry.evaluate.raw.step import RawModel
from wherry.progress import Report, stage


def run(
    model: Path,
    scores: Path,
    predictions: Path,
    subject: str,
    base: Path | None = None,
    tasks: Path | None = None,
    data: Path | None = None,
    settings: str = "",
) -> Scores:
    """Asks a model benchmark tasks; killed, the same call goes on where it was.

    Args:
        model: a model's folder: transformers, a PEFT adapter, or GGUF.
        scores: where to write the `Scores`.
        predictions: where to write a `Question` a line, as JSON Lines.
        subject: which of the run's models it is: ``base``, ``tuned``, ``quantized``.
        base: the folder of an adapter's base; other models do not need it.
        tasks: a folder of a team's own task files, in the harness's YAML.
        data: a folder with the data of every task; without it, it comes from where tasks say.
        settings: a `BenchmarkSettings` as JSON.
    """
    with stage(f"benchmark {subject}") as report:
        chosen = read_settings(BenchmarkSettings, settings)
        asked = ModelRef.verified(model)
        raw = _opened(asked, model, base, chosen)
        files = files_of(asked, model, base)
        memory = memory_beside(predictions, _owner(asked, files, raw.engine, chosen))
        measured = _measured(raw, memory, chosen, tasks, data, report)
        lines = b"".join(msgspec.json.encode(each) + b"\n" for each in measured.questions)
        found = _scores(subject, asked, measured, raw.engine, digest_bytes(lines))
        write_atomic(predictions, lines)
        found.write(scores)
        memory.forget()
        report.verdict(_verdict(found, measured))
    return found


def _owner(model: ModelRef, files: str, engine: str, settings: BenchmarkSettings) -> str:
    """Gives what answers hang on besides the question: the model, and who rounds how in batches."""
    asked = f"{digest_record(model)} {files} {engine_with_versions(engine)}"
    return f"{asked} {settings.context} {settings.batch_size}"


def _opened(
    model: ModelRef, folder: Path, base: Path | None, settings: BenchmarkSettings
) -> RawModel:
    try:
        from wherry.evaluate.raw.adapters.open import opened

        return opened(
            model,
            folder,
            base,
            context=settings.context,
            batch_size=settings.batch_size,
            threads=settings.threads,
        )
    except ModuleNotFoundError as error:
        raise _extra(error) from error


def _measured(
    model: RawModel,
    memory: Memory,
    settings: BenchmarkSettings,
    tasks: Path | None,
    data: Path | None,
    report: Report,
) -> Measured:
    try:
        from wherry.evaluate.benchmarks.adapters.harness import LmEvalHarness
    except ModuleNotFoundError as error:
        raise _extra(error) from error
    with tempfile.TemporaryDirectory(prefix="wherry-benchmarks-") as scratch:
        harness = LmEvalHarness(
            model, memory, settings, tasks=tasks, data=data, scratch=Path(scratch)
        )
        return harness.measure(report)


def _extra(error: ModuleNotFoundError) -> ExtraMissingError:
    return ExtraMissingError(
        f"Benchmarks need {error.name}, which is not installed.",
        remedy='Run: pip install "wherry[benchmarks]"',
    )


def _scores(
    subject: str, model: ModelRef, measured: Measured, engine: str, predictions: Digest
) -> Scores:
    return Scores(
        subject=subject,
        model_digest=model.digest,
        template_digest=model.template_digest,
        data_digest=data_digest(measured.questions),
        split="benchmarks",
        metrics=metrics_of(measured),
        engine=f"{engine}, {measured.harness}",
        predictions_digest=predictions,
    )


def _verdict(scores: Scores, measured: Measured) -> str:
    firsts = [
        (outcome.name, scores.find(f"{outcome.name}_{outcome.figures[0].name}"))
        for outcome in measured.outcomes
        if outcome.figures
    ]
    words = [
        f"{name} {metric.value:.3g}"
        for name, metric in firsts
        if metric and metric.value is not None
    ]
    return f"{len(measured.questions):,} questions: " + ", ".join(words)
