"""Puts a run together: tokens, model, objective and ranks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from transformers.utils.logging import disable_progress_bar

from wherry.contracts import Row
from wherry.contracts.errors import SettingsError
from wherry.tune.adapters.pytorch.chat import FolderTokenizer
from wherry.tune.adapters.pytorch.learner import TorchLearner
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
from wherry.tune.settings import TuneSettings


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
    with ranks() as own:
        train, held_out, too_long = _examples(parts, recipe)
        prefix = train[0].prompt[: shared_prefix([*train, *held_out])]
        spread = recipe.shard == "full" and own.size > 1
        model = Trainable(parts.base, recipe, prefix, parts.start, local_rank(), spread=spread)
        objective = _objective(model, parts, recipe, (*train, *held_out))
        yield Bench(TorchLearner(model, objective, recipe, own), train, held_out, too_long, own)


def _examples(
    parts: Parts, recipe: TuneSettings
) -> tuple[tuple[Example, ...], tuple[Example, ...], int]:
    tokenizer = FolderTokenizer(parts.base)
    rows = parts.data.rows(parts.dataset, "train")[: recipe.rows or None]
    held_out_rows = parts.data.rows(parts.dataset, "eval") if _has_eval(parts) else []
    if recipe.objective == "imitate" and parts.teacher:
        rows = _taught(rows, parts.teacher, recipe)
    train, too_long = encode(rows, tokenizer, recipe)
    held_out = encode(held_out_rows, tokenizer, recipe)[0] if held_out_rows else ()
    return train, held_out, too_long


def _has_eval(parts: Parts) -> bool:
    return any(split.name == "eval" for split in parts.data.splits)


def _taught(rows: list[Row], teacher: Path, recipe: TuneSettings) -> list[Row]:
    prompts = [row.prompt for row in rows]
    given = answers(teacher, prompts, recipe)
    return [
        msgspec.structs.replace(
            row,
            messages=(*row.prompt, msgspec.structs.replace(row.messages[-1], content=answer)),
        )
        for row, answer in zip(rows, given, strict=True)
        if answer
    ]


def _objective(
    model: Trainable, parts: Parts, recipe: TuneSettings, examples: tuple[Example, ...]
) -> Loss:
    match recipe.objective:
        case "dpo" | "kto":
            kind = Dpo if recipe.objective == "dpo" else Kto
            return kind(Reference(model, examples, recipe.batch_size), recipe.beta)
        case "orpo":
            return Orpo(recipe.beta)
        case "distill":
            teacher = _teacher(parts.base, parts.teacher or parts.base, recipe)
            return Distillation(teacher, recipe.temperature, recipe.teacher_weight)
        case _:
            return CrossEntropy()


def _teacher(base: Path, folder: Path, recipe: TuneSettings) -> Trainable:
    ours, theirs = FolderTokenizer(base), FolderTokenizer(folder)
    if ours.vocabulary != theirs.vocabulary:
        raise SettingsError(
            "The teacher has other tokens than the base: their distributions cannot be compared.",
            remedy="Choose a teacher of the same family, or objective: imitate.",
        )
    teacher = Trainable(folder, replace(recipe, method="full", frozen_share=0.99))
    teacher.training(False)
    return teacher
