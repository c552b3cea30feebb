"""A search with a real model: killed, resumed, and its best recipe taken by `tune`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wherry.contracts import Dataset, Manifest
from wherry.contracts.errors import ConflictError, MissingError, SettingsError
from wherry.contracts.search import SearchReport
from wherry.tune.search.run import run

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

pytest.importorskip("optuna")
pytestmark = pytest.mark.local

RECIPE = {"threads": 1, "batch_size": 4, "precision": "float32", "epochs": 2, "eval_points": 3}
SPACE = {
    "learning_rate": {"low": 1e-5, "high": 5e-2, "log": True},
    "rank": {"choices": [2, 4]},
}
WANTED: dict[str, Any] = {"space": SPACE, "recipe": RECIPE, "trials": 5, "startup": 2}


def searched(tuned: "Tuner", name: str = "study", **given: object) -> SearchReport:
    raw = json.dumps({**WANTED, **given})
    folder = tuned.folder
    run(tuned.dataset, tuned.base, folder / f"{name}.json", folder / f"{name}-best.json", raw)
    return SearchReport.read(folder / f"{name}.json")


def results(found: SearchReport) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.settings, t.eval_loss) for t in found.trials]


def test_tune_takes_the_best_recipe_and_gets_its_eval_loss(tuned: "Tuner") -> None:
    found = searched(tuned)
    assert len(found.trials) == 5
    assert found.ended == "trials"
    assert found.eval_loss == min(t.eval_loss or 9 for t in found.trials if t.state == "complete")
    best = json.loads((tuned.folder / "study-best.json").read_text())
    tuned("adapter", **best)
    assert tuned.curve().eval_loss == found.eval_loss
    assert not list((Path(os.environ["WHERRY_HOME"]) / "checkpoints").rglob("step-*"))


def test_the_components_give_the_recipe_as_a_value_and_the_metrics(tuned: "Tuner") -> None:
    from kfp.dsl import Metrics, Model

    from wherry.tune.component import tune
    from wherry.tune.search.component import search

    def at(name: str) -> Model:
        return Model(uri=str(tuned.folder / name))

    data, base = Model(uri=str(tuned.dataset)), Model(uri=str(tuned.base))
    raw = json.dumps({**WANTED, "trials": 1})
    best = search.python_func(data, base, at("study"), at("best"), raw)
    metrics = Metrics(uri=str(tuned.folder / "metrics"))
    tune.python_func(data, base, at("adapter"), at("curve"), metrics, at("merged"), best)
    found = SearchReport.read(tuned.folder / "study")
    assert metrics.metadata["eval_loss"] == found.eval_loss
    assert set(metrics.metadata) == {"eval_loss", "tokens_per_second", "steps", "kept_step"}


def test_the_test_split_is_never_read(tuned: "Tuner", monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    rows = Dataset.rows

    def spied(self: Dataset, folder: Path, name: Any) -> Any:
        read.append(name)
        return rows(self, folder, name)

    monkeypatch.setattr(Dataset, "rows", spied)
    searched(tuned, trials=1)
    assert set(read) == {"train", "eval"}


def test_a_search_needs_an_eval_split(tuned: "Tuner", tmp_path: Path) -> None:
    from tests.fakes.tiny_model import make_dataset

    folder = tmp_path / "no-eval"
    made = make_dataset(folder, rows=4)
    splits = [split for split in made.splits if split.name != "eval"]
    raw = {**json.loads(made.to_json()), "splits": [vars(split) for split in splits]}
    (folder / "dataset.json").write_text(json.dumps(raw))
    Manifest.seal(folder)
    tuned.dataset = folder
    with pytest.raises(MissingError, match="no rows in a split eval"):
        searched(tuned)


def test_a_budget_too_short_for_one_trial_says_so(tuned: "Tuner") -> None:
    with pytest.raises(SettingsError, match="None of 1 trials was completed within 1e-06 minutes"):
        searched(tuned, minutes=1e-6)
    assert not (tuned.folder / "study.json").exists()


def test_a_search_whose_every_trial_failed_tells_each_cause_once(tuned: "Tuner") -> None:
    space = {"rank": {"choices": [100, 200]}}
    with pytest.raises(SettingsError, match="None of 3 trials was completed") as refused:
        searched(tuned, trials=3, space=space, recipe={**RECIPE, "method": "pissa"})
    told = refused.value.message
    assert (told.count("got 100"), told.count("got 200")) == (1, 1)
    assert "the same as" not in told
    assert ".." not in told


def test_the_same_search_twice_at_once_is_a_conflict(tuned: "Tuner") -> None:
    import fcntl

    searched(tuned, trials=1)
    (path,) = (Path(os.environ["WHERRY_HOME"]) / "search").glob("*.lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="under way"):
            searched(tuned, trials=2)


@pytest.mark.nightly
@pytest.mark.faults
def test_a_search_killed_in_a_trial_ends_as_one_that_was_not(
    tuned: "Tuner", monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {**RECIPE, "epochs": 30, "checkpoint_every": 10}
    whole = searched(tuned, "whole", recipe=recipe)
    home = tuned.folder / "second"
    monkeypatch.setenv("WHERRY_HOME", str(home))
    paths = {"dataset": tuned.dataset, "base": tuned.base, "study": tuned.folder / "killed.json",
             "best": tuned.folder / "killed-best.json"}  # fmt: skip
    given = [text for key, path in paths.items() for text in (f"--{key}", str(path))]
    raw = json.dumps({**WANTED, "recipe": recipe})
    command = [sys.executable, "-m", "wherry.tune.search", *given, "--settings", raw]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    while not any(_running(path) for path in home.rglob("*.log")):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not paths["study"].exists()
    subprocess.run(command, check=True, capture_output=True)
    killed = SearchReport.read(paths["study"])
    assert results(killed) == results(whole)
    assert json.loads(paths["best"].read_text()) == json.loads(json.dumps(whole.recipe))


def _running(path: Path) -> bool:
    """Whether the second trial has a checkpoint."""
    ended = path.read_bytes().count(b'"state"')
    return ended > 0 and bool(list(path.parents[1].rglob("step-*/manifest.json")))
