"""Chooses the adapter that asks a model's folder in tokens."""

from pathlib import Path

from wherry.contracts import ModelRef
from wherry.evaluate.opening import base_of
from wherry.evaluate.raw.step import RawModel, check_template


def opened(
    model: ModelRef,
    folder: Path,
    base: Path | None,
    *,
    context: int,
    batch_size: int,
    threads: int,
) -> RawModel:
    """Loads a verified model and checks its chat template.

    Args:
        model: what the folder holds.
        folder: of a transformers model, a PEFT adapter, or GGUF.
        base: the folder of an adapter's base; other models do not need it.
        context: longest context with its continuation, in tokens.
        batch_size: rows that transformers reads at once.
        threads: CPU threads; 0 for all.

    Raises:
        MissingError: if an adapter comes without its base.
        DigestError: if it belongs to another base.
        TemplateError: if the model has another chat template than it was trained with.
    """
    found: RawModel
    if model.format == "gguf":
        from wherry.evaluate.raw.adapters.llamacpp import LlamaCppRaw

        found = LlamaCppRaw(folder / model.file, context=context, threads=threads)
    else:
        from wherry.evaluate.raw.adapters.transformers import TransformersRaw

        below = base_of(model, base) if model.format == "adapter" else None
        found = TransformersRaw(
            below or folder,
            folder if below else None,
            context=context,
            batch_size=batch_size,
            threads=threads,
        )
    check_template(found, model)
    return found
