"""SIGTERM saves a checkpoint elsewhere, and another machine ends the run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.contracts import ModelRef

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

pytestmark = [pytest.mark.local, pytest.mark.slow, pytest.mark.faults]

RECIPE = {"threads": 1, "rank": 4, "learning_rate": 0.01, "batch_size": 4, "precision": "float32",
          "epochs": 60, "checkpoint_every": 20, "eval_points": 3}  # fmt: skip
ALONE = ["-m"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


def started(tuned: "Tuner", start: list[str], name: str, machine: str) -> subprocess.Popen[str]:
    """Starts a run on a "machine": a state folder of its own; the checkpoints are common."""
    given = {"dataset": tuned.dataset, "base": tuned.base, "adapter": tuned.folder / name,
             "curve": tuned.curve_path(name), "settings": json.dumps(RECIPE),
             "checkpoints": "file:common"}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *start, "wherry.tune", *(f"--{k}={v}" for k, v in given.items())],
        env={**os.environ, "WHERRY_HOME": str(tuned.folder / machine), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def terminated_at(process: subprocess.Popen[str], common: Path, step: int) -> str:
    """Ends a run by SIGTERM once a checkpoint is in the common place; gives what it said."""
    while not list(common.glob(f"*/step-{step:08}/manifest.json")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=60)[1]


@pytest.mark.parametrize(
    "start",
    [pytest.param(ALONE, id="alone"), pytest.param(TWO, id="two-ranks")],
)
@pytest.mark.nightly  # a minute: a job, a bucket, a kill, and the job again
def test_the_next_machine_goes_on_from_the_very_step(tuned: "Tuner", start: list[str]) -> None:
    common = tuned.folder / "common"
    first = started(tuned, start, "parts", ".one")
    said = terminated_at(first, common, 20)
    assert first.returncode == (143 if start is ALONE else 1)  # torchrun's own code is 1
    found = re.search(r"E_PREEMPTED: The machine was wanted back at step (\d+) of 360", said)
    assert found, said
    assert not (tuned.folder / "parts").exists()
    second = started(tuned, start, "parts", ".two")
    assert second.wait(120) == 0, second.communicate()[1]
    assert tuned.curve("parts").resumed_at == int(found[1])
    assert not list(common.rglob("step-*"))
    whole = started(tuned, start, "whole", ".three")
    assert whole.wait(120) == 0
    digests = {ModelRef.verified(tuned.folder / name).digest for name in ("parts", "whole")}
    assert len(digests) == 1
    assert tuned.eval_losses("parts") == tuned.eval_losses("whole")
