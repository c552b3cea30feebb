"""Says how many of a teacher's weights this rank holds, and how many of a spread student's."""

import sys
from pathlib import Path

from torch.distributed.tensor import DTensor

from wherry.tune.adapters.pytorch.bench import _teacher
from wherry.tune.adapters.pytorch.model import Trainable
from wherry.tune.adapters.pytorch.ranks import ranks
from wherry.tune.settings import TuneSettings


def held(model: Trainable) -> int:
    weights = list(model._base.parameters())
    return sum((w.to_local() if isinstance(w, DTensor) else w).numel() for w in weights)


with ranks() as own:
    recipe = TuneSettings(objective="distill", rank=4, precision="float32", shard="full")
    base, folder = Path(sys.argv[1]), Path(sys.argv[2])
    student = Trainable(base, recipe, spread=True)
    teacher = _teacher(base, folder, recipe)
    whole = sum(w.numel() for w in teacher._base.parameters())
    print(f"rank {own.rank} holds {held(teacher)} of {whole}, {held(student)}", flush=True)
    own.wait()
