"""Puts a run together: tokens, model, objective and ranks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
from transformers.utils.logging import disable_progress_bar

from wherry.contracts import Row
from wherry.contracts.errors import DataError, SettingsError
from wherry.tune.adapters.pytorch.chat import FolderTokenizer
from wherry.tune.adapters.pytorch.device import make_repeatable
from wherry.tune.adapters.pytorch.learner import TorchLearner
from wherry.tune.adapters.pytorch.memory import enough_memory
from wherry.tune.adapters.pytorch.model import Trainable
from wherry.tune.adapters.pytorch.objectives import (
    CrossEntropy,
    Distillation,
    Dpo,
    Kto,
    Loss,
    Orpo,
    Reference,
)
from wherry.tune.adapters.pytorch.ranks import Ranks, local_rank, ranks
from wherry.tune.adapters.pytorch.teacher import answers
from wherry.tune.examples import Example, encode, shared_prefix
from wherry.tune.parts import Parts
from wherry.tune.settings import VIRTUAL, TuneSettings

_SMALLER: Final = (
    "Set precision: bfloat16 or method: qlora in the tune settings, or shard: full with several "
    "ranks; or choose a smaller model: `wherry models suggest` estimates what each takes."
)
_FEWER: Final = (
    "Lower micro_batch in the tune settings, or batch_size where it is 0; then max_length."
)


@dataclass(frozen=True)
class Bench:
    """All that one process needs to learn."""

    learner: TorchLearner
    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    too_long: int
    """Training rows that were left out."""
    ranks: Ranks


@contextmanager
def open_bench(parts: Parts, recipe: TuneSettings) -> Iterator[Bench]:
    """Gives the bench of a run, among the ranks that were started with this process.

    Raises:
        SettingsError: if the teacher has other tokens, or the device is not there.
        DataError: if no row can be learnt from.
        TemplateError: if the chat template does not tell where an answer begins or ends.
    """
    disable_progress_bar()
    make_repeatable(recipe)
    with ranks() as own:
        train, held_out, too_long = _examples(parts, recipe, own)
        prefix = train[0].prompt[: shared_prefix([*train, *held_out])]
        spread = recipe.shard == "full" and own.size > 1
        with enough_memory("while the base was loaded", _SMALLER):
            model = Trainable(parts.base, recipe, prefix, parts.start, local_rank(), spread=spread)
        _refuse_longer(model, recipe, (*train, *held_out))
        objective = _objective(model, parts, recipe, (*train, *held_out))
        yield Bench(TorchLearner(model, objective, recipe, own), train, held_out, too_long, own)


def _examples(
    parts: Parts, recipe: TuneSettings, own: Ranks
) -> tuple[tuple[Example, ...], tuple[Example, ...], int]:
    tokenizer = FolderTokenizer(parts.base)
    rows = parts.data.rows(parts.dataset, "train")[: recipe.rows or None]
    held_out_rows = parts.data.rows(parts.dataset, "eval") if parts.measured else []
    if recipe.objective == "imitate" and parts.teacher:
        rows = _taught(rows, parts.teacher, recipe, own)
    train, too_long = encode(rows, tokenizer, recipe)
    held_out = encode(held_out_rows, tokenizer, recipe, "eval")[0] if held_out_rows else ()
    return train, held_out, too_long


def _taught(rows: list[Row], teacher: Path, recipe: TuneSettings, own: Ranks) -> list[Row]:
    prompts = [row.prompt for row in rows]
    given = answers(teacher, prompts, recipe, own)
    if not any(given):
        raise DataError(
            f"The teacher ended none of {len(given)} answers within {recipe.answer_tokens} tokens.",
            remedy="Raise answer_tokens in the tune settings, or choose an instruct model.",
        )
    return [
        msgspec.structs.replace(
            row,
            messages=(*row.prompt, msgspec.structs.replace(row.messages[-1], content=answer)),
        )
        for row, answer in zip(rows, given, strict=True)
        if answer
    ]


def _refuse_longer(model: Trainable, recipe: TuneSettings, examples: tuple[Example, ...]) -> None:
    """Sees that no row has positions that the model has never been asked about."""
    virtual = recipe.virtual_tokens if recipe.method in VIRTUAL else 0
    longest = max(example.longest for example in examples)
    if model.context and longest + virtual > model.context:
        behind = f" behind {virtual} virtual ones" if virtual else ""
        raise SettingsError(
            f"A row has {longest} tokens{behind}, and the model reads {model.context}.",
            remedy=f"Set max_length: {model.context - virtual} in the tune settings, or choose "
            "another base.",
        )


def _objective(
    model: Trainable, parts: Parts, recipe: TuneSettings, examples: tuple[Example, ...]
) -> Loss:
    match recipe.objective:
        case "dpo":
            return Dpo(_reference(model, recipe, examples), recipe.beta)
        case "kto":
            reference = _reference(model, recipe, examples)
            return Kto(reference, recipe.beta, recipe.micro_batch)
        case "orpo":
            return Orpo(recipe.beta)
        case "distill":
            teacher = _teacher(parts.base, parts.teacher or parts.base, recipe)
            return Distillation(teacher, recipe.temperature, recipe.teacher_weight)
        case _:
            return CrossEntropy()


def _reference(model: Trainable, recipe: TuneSettings, examples: tuple[Example, ...]) -> Reference:
    with enough_memory("while the untrained model was asked", _FEWER):
        return Reference(model, examples, recipe.micro_batch or recipe.batch_size)


def _teacher(base: Path, folder: Path, recipe: TuneSettings) -> Trainable:
    ours, theirs = FolderTokenizer(base), FolderTokenizer(folder)
    if ours.vocabulary != theirs.vocabulary:
        raise SettingsError(
            "The teacher has other tokens than the base: their distributions cannot be compared.",
            remedy="Choose a teacher of the same family, or objective: imitate.",
        )
    with enough_memory("while the teacher was loaded beside the base", _SMALLER):
        teacher = _teacher_model(folder, recipe)
    teacher.training(False)
    return teacher


def _teacher_model(folder: Path, recipe: TuneSettings) -> Trainable:
    """Loads a teacher: whole on every rank's own device, whatever is done with the base."""
    whole = replace(recipe, method="full", recompute=False)
    return Trainable(folder, whole, local_rank=local_rank(), learns=False)
