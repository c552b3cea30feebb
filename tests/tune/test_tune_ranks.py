"""Two ranks that torchrun starts learn what one learns from the same batches."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.contracts import ModelRef

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

pytestmark = [pytest.mark.local, pytest.mark.slow]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_ranks_have_the_losses_of_one(tuned: "Tuner", base: Path, method: str) -> None:
    settings = {"method": method, "epochs": 2, "batch_size": 5, "frozen_share": 0.5}
    tuned("one", **settings)
    small = {"threads": 1, "rank": 4, "learning_rate": 0.01, "precision": "float32"}
    given = {"dataset": tuned.dataset, "base": base, "adapter": tuned.folder / "two",
             "curve": tuned.curve_path("two")}  # fmt: skip
    paths = [text for key, path in given.items() for text in (f"--{key}", str(path))]
    subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "wherry.tune", *paths, "--settings", json.dumps({**small, **settings}),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    ModelRef.verified(tuned.folder / "two")
    one, two = (
        [p.train_loss for p in tuned.curve(name).points if p.train_loss] for name in ("one", "two")
    )
    assert two == pytest.approx(one, rel=2e-3)
    assert tuned.eval_losses("two") == pytest.approx(tuned.eval_losses("one"), rel=2e-3)
