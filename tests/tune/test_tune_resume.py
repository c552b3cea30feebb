"""Killed at any moment, the same command ends with what an uninterrupted run gives."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tune.test_tune_run import BATCH, RECIPE, learner
from wherry.contracts import Manifest, ModelRef, digest_bytes
from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import DivergedError, ParityError
from wherry.tune.checkpoints import FolderCheckpoints, open_checkpoints
from wherry.tune.step import NoCheckpoints, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tune.conftest import Tuner
    from wherry.contracts import Kind

pytestmark = pytest.mark.local

RUN = digest_bytes(b"run")
LONG = {"epochs": 40, "checkpoint_every": 10, "dropout": 0.2, "eval_points": 5}
PROGRESS = Progress(
    step=3, tokens=99, points=(CurvePoint(0, 0, 0.1, None, 2.0),), recent=((1.25, 4),), best=2.0
)


def command(
    tuned: "Tuner", name: str, others: dict[str, Path] | None = None, **settings: object
) -> list[str]:
    small = {"threads": 1, "rank": 4, "learning_rate": 0.01, "batch_size": 4}
    raw = json.dumps({**small, "precision": "float32", **LONG, **settings})
    paths = {"dataset": tuned.dataset, "base": tuned.base, "adapter": tuned.folder / name,
             "curve": tuned.curve_path(name), **(others or {})}  # fmt: skip
    given = [text for key, path in paths.items() for text in (f"--{key}", str(path))]
    return [sys.executable, "-m", "wherry.tune", *given, "--settings", raw]


def kill_at_checkpoint(started: list[str], number: int) -> None:
    """Starts a run and kills it when its checkpoint of a number is there."""
    folder = Path(os.environ["WHERRY_HOME"]) / "checkpoints"
    process = subprocess.Popen(started, stderr=subprocess.PIPE)
    while not list(folder.glob(f"*/step-{10 * number:08}")):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.faults
def test_a_run_killed_twice_ends_with_the_bytes_of_one_that_was_not(tuned: "Tuner") -> None:
    subprocess.run(command(tuned, "whole"), check=True, capture_output=True)
    for number in (3, 9):
        kill_at_checkpoint(command(tuned, "killed"), number)
        assert not (tuned.folder / "killed").exists()
    done = subprocess.run(command(tuned, "killed"), check=True, capture_output=True, text=True)
    curve = tuned.curve("killed")
    assert curve.resumed_at >= 90
    assert f"resumed at step {curve.resumed_at}" in done.stderr
    digests = [ModelRef.verified(tuned.folder / n).digest for n in ("whole", "killed")]
    assert digests[0] == digests[1]
    assert tuned.eval_losses("whole") == tuned.eval_losses("killed")
    assert not list((Path(os.environ["WHERRY_HOME"]) / "checkpoints").rglob("step-*"))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize(
    "objective",
    [
        "dpo",
        "distill",
        pytest.param("kto", marks=pytest.mark.nightly),
        pytest.param("imitate", marks=pytest.mark.nightly),
    ],
)
def test_a_run_that_asks_another_model_goes_on_when_killed_too(
    tuned: "Tuner", data_of: "Callable[[Kind], Path]", teacher: Path, objective: str
) -> None:
    """What the untrained model or the teacher says is not in the checkpoint: it is asked again."""
    if objective in ("dpo", "kto"):
        tuned.dataset = data_of("preference")
        tuned("sft", dataset=data_of("chat"))
        others = {"start": tuned.folder / "sft"}
    else:
        others = {"teacher": teacher}
    given = {"objective": objective, "epochs": 20, "checkpoint_every": 10, "answer_tokens": 60}
    subprocess.run(command(tuned, "whole", others, **given), check=True, capture_output=True)
    again = command(tuned, "killed", others, **given)
    kill_at_checkpoint(again, 2)
    assert not (tuned.folder / "killed").exists()
    subprocess.run(again, check=True, capture_output=True)
    assert tuned.curve("killed").resumed_at >= 20
    assert tuned.eval_losses("whole") == tuned.eval_losses("killed")
    digests = [ModelRef.verified(tuned.folder / name).digest for name in ("whole", "killed")]
    assert digests[0] == digests[1]


def test_a_base_with_another_template_is_another_run(base: Path, dataset: Path) -> None:
    from wherry.tune.parts import Parts

    parts = Parts.verified(dataset, base, None, None)
    other = replace(parts.origin, template_digest=digest_bytes(b"other"))
    assert replace(parts, origin=other).identity(RECIPE, 1) != parts.identity(RECIPE, 1)


def test_a_run_whose_results_could_not_be_written_does_not_learn_again(
    tuned: "Tuner", monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.tune.adapters.pytorch import merge

    given = {"merged": tuned.folder / "merged", "checkpoint_every": 2}
    with monkeypatch.context() as patched, pytest.raises(ParityError):
        patched.setattr(merge, "MAX_KL", -1.0)
        tuned(**given)
    adapter = tuned(**given)
    assert tuned.curve().resumed_at == 6
    assert adapter.digest == tuned("whole").digest
    assert not list((Path(os.environ["WHERRY_HOME"]) / "checkpoints").rglob("step-*"))


def test_a_learner_goes_on_exactly_where_its_state_was_saved(base: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, dropout=0.3)
    one, other = learner(base, recipe), learner(base, recipe)
    for _ in range(3):
        one.learn(BATCH, 1e-2)
    one.keep()
    one.save_state(tmp_path)
    expected = [one.learn(BATCH, 1e-2) for _ in range(3)]
    other.load_state(tmp_path)
    assert [other.learn(BATCH, 1e-2) for _ in range(3)] == expected
    one.restore()
    other.restore()
    assert one.loss(BATCH) == other.loss(BATCH)


class Remembering:
    """A learner that says what it was told to load."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def save_state(self, folder: Path) -> None:
        (folder / "state").write_text("weights")

    def load_state(self, folder: Path) -> None:
        self.loaded.append(folder.name)


def kept(folder: Path, *steps: int) -> FolderCheckpoints:
    one = FolderCheckpoints(folder, RUN)
    for step in steps:
        one.save(replace(PROGRESS, step=step), Remembering())  # type: ignore[arg-type] # all it needs
    return one


def test_a_progress_comes_back_as_it_was(tmp_path: Path) -> None:
    assert kept(tmp_path, 3).resume(Remembering()) == PROGRESS  # type: ignore[arg-type] # as above


def test_the_last_checkpoint_counts_and_two_are_kept(tmp_path: Path) -> None:
    one, learner = kept(tmp_path, 5, 10, 15), Remembering()
    assert one.resume(learner).step == 15  # type: ignore[union-attr, arg-type] # there is one
    assert learner.loaded == ["step-00000015"]
    assert len(list(tmp_path.glob("step-*"))) == 2


def test_a_spoilt_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    one = kept(tmp_path, 5, 10)
    (tmp_path / "step-00000010" / "state").write_text("other!!")
    assert one.resume(Remembering()).step == 5  # type: ignore[union-attr, arg-type] # as above


def test_half_a_checkpoint_does_not_count(tmp_path: Path) -> None:
    kept(tmp_path, 5)
    (tmp_path / "step-00000005" / "manifest.json").unlink()
    assert FolderCheckpoints(tmp_path, RUN).resume(Remembering()) is None  # type: ignore[arg-type] # as above


def test_another_runs_checkpoint_is_never_taken(tmp_path: Path) -> None:
    kept(tmp_path, 5)
    other = FolderCheckpoints(tmp_path, digest_bytes(b"other"))
    assert other.resume(Remembering()) is None  # type: ignore[arg-type] # as above


def test_a_second_run_of_the_same_identity_goes_without(tmp_path: Path) -> None:
    with open_checkpoints(tmp_path, RUN) as first, open_checkpoints(tmp_path, RUN) as second:
        assert isinstance(first, FolderCheckpoints)
        assert isinstance(second, NoCheckpoints)


def test_a_run_that_fails_keeps_its_checkpoints_and_one_that_ends_does_not(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_checkpoints(tmp_path, RUN) as own:
        own.save(PROGRESS, Remembering())  # type: ignore[arg-type] # as above
        raise RuntimeError
    assert list(tmp_path.rglob("step-*"))
    with open_checkpoints(tmp_path, RUN):
        pass
    assert not list(tmp_path.rglob("step-*"))


def test_a_run_that_diverged_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    """The same run would diverge again, and one with another recipe is another run."""
    with (
        pytest.raises(DivergedError, match="has risen"),
        open_checkpoints(tmp_path, RUN) as own,
    ):
        own.save(PROGRESS, Remembering())  # type: ignore[arg-type] # as above
        raise DivergedError("The loss has risen.", remedy="Lower learning_rate.")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_sealed(tmp_path: Path) -> None:
    kept(tmp_path, 5)
    Manifest.verified(tmp_path / "step-00000005")
