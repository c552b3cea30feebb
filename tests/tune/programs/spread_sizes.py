"""Says how many weights this rank keeps of a spread model, and how many there are."""

import sys
from pathlib import Path

from torch.distributed.tensor import DTensor

from wherry.tune.adapters.pytorch.model import Trainable
from wherry.tune.adapters.pytorch.ranks import ranks
from wherry.tune.settings import TuneSettings

with ranks() as own:
    recipe = TuneSettings(method="lora", rank=4, precision="float32", shard="full")
    weights = list(Trainable(Path(sys.argv[1]), recipe, spread=True)._base.parameters())
    kept = sum(w.to_local().numel() for w in weights if isinstance(w, DTensor))
    print(f"rank {own.rank} keeps {kept} of {sum(w.numel() for w in weights)}", flush=True)
    own.wait()
