"""kill -9 amid an evaluation, and the same command again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.evaluate.conftest import Models
from wherry.contracts import Scores
from wherry.evaluate.predictions import read_predictions
from wherry.evaluate.run import run

pytestmark = [pytest.mark.local, pytest.mark.faults, pytest.mark.slow]

ROWS = 400
SETTINGS = {"save_every": 8, "batch_size": 4, "threads": 1, "max_new_tokens": 8}


def _command(models: Models, dataset: Path, out: Path) -> list[str]:
    paths = {
        "dataset": dataset,
        "model": models.adapter,
        "base": models.base,
        "scores": out / "scores.json",
        "predictions": out / "predictions.jsonl",
    }
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    fixed = ["--subject", "tuned", "--settings", json.dumps(SETTINGS)]
    return [sys.executable, "-m", "wherry.evaluate", *options, *fixed]


def _killed(command: list[str], state: Path) -> int:
    """Kills the command once it has kept some rows; gives how many."""
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": "components", "WHERRY_HOME": str(state)}
    )
    for _ in range(120_000):
        journals = list((state / "answers").glob("*.jsonl"))
        if journals and journals[0].stat().st_size > 3000:
            break
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (journal,) = (state / "answers").glob("*.jsonl")
    return journal.read_bytes().count(b"\n")


def test_a_killed_evaluation_goes_on_and_ends_with_the_same_bytes(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fakes import tiny_model

    dataset = tmp_path / "data"
    tiny_model.make_dataset(dataset, rows=ROWS)
    command = _command(models, dataset, tmp_path / "killed")
    kept = _killed(command, tmp_path / "state")
    assert 8 <= kept < ROWS
    assert not (tmp_path / "killed" / "predictions.jsonl").exists()
    found = {}
    for name, state in (("killed", "state"), ("whole", "fresh")):
        monkeypatch.setenv("WHERRY_HOME", str(tmp_path / state))
        out = tmp_path / name
        paths = (dataset, models.adapter, out / "scores.json", out / "predictions.jsonl")
        run(*paths, "tuned", models.base, json.dumps(SETTINGS))
        found[name] = [path.read_bytes() for path in paths[2:]]
    assert found["killed"] == found["whole"]
    assert len(read_predictions(tmp_path / "whole" / "predictions.jsonl")) == ROWS
    assert Scores.read(tmp_path / "whole" / "scores.json").find("accuracy")
    assert list((tmp_path / "state" / "answers").glob("*.jsonl")) == []
