"""Wires quantizing: a base, its adapter and real rows in, one checked model out."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wherry.contracts import Manifest, ModelRef, Rung, read_settings
from wherry.contracts.digest import refuse_foreign
from wherry.contracts.errors import ExtraMissingError, ParityError
from wherry.contracts.files import staged_folder
from wherry.contracts.model import MODEL_NAME
from wherry.contracts.parity import Parity
from wherry.ledger.stages import recorded
from wherry.progress import Report, stage
from wherry.quantize.alone import adapter_alone
from wherry.quantize.climb import climbed
from wherry.quantize.found import Found
from wherry.quantize.inputs import Pair, Rows
from wherry.quantize.makers import is_gguf
from wherry.quantize.scratch import scratch
from wherry.quantize.settings import QuantizeSettings
from wherry.quantize.step import conclude
from wherry.quantize.work import Work


@recorded("quantize", inputs=("base", "adapter", "dataset"), outputs=("gguf", "parity", "ladder"))
def run(
    base: Path,
    adapter: Path,
    dataset: Path,
    gguf: Path,
    parity: Path,
    settings: str = "",
    ladder: Path | None = None,
) -> ModelRef:
    """Merges an adapter into its base, writes that in one or more types and checks it on rows.

    Args:
        base: the base model's folder, with the GGUF file that it was taken from.
        adapter: an adapter's folder in PEFT's form, or that of a model tuned in full.
        dataset: the folder of a `Dataset`.
        gguf: the folder to make: the one file, ``model.json`` and a manifest.
        parity: where to write the `Parity` of what ships, passed or not.
        settings: a `QuantizeSettings` as JSON.
        ladder: where to write the `Ladder` of all types that were tried, or None.

    Raises:
        ParityError: if a form of the model differs too much; then `gguf` is not made.
    """
    with stage("quantize") as report:
        chosen = read_settings(QuantizeSettings, settings)
        refuse_foreign(gguf)
        _require_libraries(chosen)
        pair, rows = Pair.verified(base, adapter), Rows.verified(dataset, chosen)
        with staged_folder(gguf) as folder, scratch(gguf.parent) as rungs:
            found = _made(pair, rows, rungs, chosen, report)
            verdict = conclude(found.seen, found.rung.digest, rows.digest, chosen)
            verdict.write(parity)
            if ladder is not None:
                found.ladder(rows.digest, chosen, passed=verdict.passed).write(ladder)
            _refuse_unless(verdict, found.rungs)
            model = _published(pair, found, rungs / found.rung.type, folder)
        report.verdict(_words(model, verdict, found.rungs))
    return model


def _require_libraries(settings: QuantizeSettings) -> None:
    """Imports what the stage needs before it takes minutes.

    llama.cpp comes first: it says how OpenMP's threads wait, and torch loads OpenMP too.
    """
    try:
        import wherry.quantize.adapters.llamacpp
        import wherry.quantize.adapters.transformers  # only to see that it can be

        if not all(map(is_gguf, settings.tried)):
            import wherry.quantize.adapters.compressed_tensors  # noqa: F401  # likewise
    except ModuleNotFoundError as error:
        extra = "gpu" if (error.name or "").startswith("compressed_tensors") else "quantize"
        raise ExtraMissingError(
            f"Quantizing needs {error.name}, which is not installed.",
            remedy=f'Run: pip install "wherry[{extra}]"',
        ) from error


def _made(pair: Pair, rows: Rows, rungs: Path, settings: QuantizeSettings, report: Report) -> Found:
    """Makes what is asked for below `rungs` and keeps what ships; nothing is refused here."""
    from wherry.quantize.adapters.transformers import TunedModel

    report.progress(0, 1, "loading the tuned model")
    # Before the model, which takes longer: what cannot be written is said at once.
    gguf = settings.adapter_only or any(map(is_gguf, settings.tried))
    source = pair.source() if gguf else None
    tuned = TunedModel(pair.base, pair.adapter, threads=settings.threads)
    work = Work(pair, rows, rungs, settings, report, tuned)
    if settings.adapter_only and source:
        return adapter_alone(work, source)
    return climbed(work, source)


def _published(pair: Pair, found: Found, made: Path, folder: Path) -> ModelRef:
    """Moves a type's files to where they ship, described and sealed."""
    for path in sorted(made.iterdir()):
        shutil.move(path, folder / path.name)
    model = replace(
        pair.origin,
        format=found.format,
        file=found.rung.file,
        digest=found.rung.digest,
        size=found.rung.size,
        base_digest=pair.origin.digest,
        quantization=found.rung.type,
        adapter_digest=pair.tuned.digest,
        teacher_digest=pair.tuned.teacher_digest,
        start_digest=pair.tuned.start_digest,
    )
    model.write(folder / MODEL_NAME)
    Manifest.seal(folder)
    return model


def _refuse_unless(parity: Parity, rungs: Sequence[Rung]) -> None:
    if parity.passed:
        return
    if len(rungs) > 1 and not any(rung.passed for rung in rungs):
        every = ". ".join(f"{rung.type}: {'; '.join(rung.reasons)}" for rung in rungs)
        raise ParityError(
            f"None of {len(rungs)} types passes. {every}.",
            remedy="Add a wider type, or raise the limits if such a loss is acceptable.",
        )
    raise ParityError(
        f"The file is not the model that was tuned: {'; '.join(parity.reasons)}.",
        remedy="Choose a wider type, or raise the limits if this loss is acceptable.",
    )


def _words(model: ModelRef, parity: Parity, rungs: Sequence[Rung]) -> str:
    last = parity.comparisons[-1]
    among = f" of {len(rungs)} types" if len(rungs) > 1 else ""
    return (
        f"{model.quantization}{among}, {model.size / 1e6:.0f} MB, KL {last.kl:.2g}, "
        f"{100 * last.next_token_agreement:.1f}% of {last.positions} next tokens agree"
    )
