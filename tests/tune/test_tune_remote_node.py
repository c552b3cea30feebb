"""One process of a job: inputs from an exchange, results into it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.contracts import Manifest, ModelRef
from wherry.contracts.curve import LossCurve
from wherry.contracts.errors import DigestError, FileAccessError, MissingError, SettingsError
from wherry.tune.adapters.bucket import Bucket
from wherry.tune.node import run_node
from wherry.tune.parts import Parts
from wherry.tune.results import BucketExchange, input_at

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

pytestmark = pytest.mark.local

RECIPE = json.dumps({"threads": 1, "rank": 4, "learning_rate": 0.01, "batch_size": 4,
                     "precision": "float32", "checkpoint_every": 2})  # fmt: skip


@pytest.fixture
def bucket(tuned: "Tuner") -> Bucket:  # it sets the workspace
    return Bucket("file:exchange")


def handed_over(bucket: Bucket, folder: Path) -> str:
    at = input_at(Manifest.verified(folder).digest)
    bucket.push(folder, at)
    return at


def carried_out(tuned: "Tuner", bucket: Bucket, settings: str = RECIPE, **given: str) -> None:
    inputs = {
        "dataset": handed_over(bucket, tuned.dataset),
        "base": handed_over(bucket, tuned.base),
    }
    run_node(bucket.uri, results="runs/one", settings=settings, **{**inputs, **given})


def test_its_results_are_those_of_a_run_here(tuned: "Tuner", bucket: Bucket) -> None:
    here = tuned("here")
    carried_out(tuned, bucket)
    parts = Parts.verified(tuned.dataset, tuned.base, None, None)
    out = tuned.folder / "fetched"
    curve = BucketExchange(bucket, "runs/one").publish(parts, out, tuned.curve_path("x"), None)
    assert ModelRef.verified(out) == here
    assert Manifest.verified(out).digest == Manifest.verified(tuned.folder / "here").digest
    assert curve.steps == tuned.curve("here").steps
    assert bucket.folders("checkpoints") == []


def test_the_checkpoints_stay_until_the_results_are_stored(
    tuned: "Tuner", bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Bucket.push

    def full(self: Bucket, folder: Path, at: str) -> None:
        if at.startswith("runs/"):
            raise FileAccessError("The bucket is full.", remedy="Make room.")
        push(self, folder, at)

    monkeypatch.setattr(Bucket, "push", full)
    with pytest.raises(FileAccessError):
        carried_out(tuned, bucket)
    steps = sorted(path.name for path in (tuned.folder / "exchange").rglob("step-*"))
    assert steps == ["step-00000004", "step-00000006"]
    monkeypatch.undo()
    monkeypatch.setenv("WHERRY_HOME", str(tuned.folder / ".wherry"))
    carried_out(tuned, bucket)
    bucket.pull("runs/one/result", tuned.folder / "result")
    assert LossCurve.read(tuned.folder / "result/curve.json").resumed_at == 6
    assert not list((tuned.folder / "exchange").rglob("step-*"))


def test_it_goes_on_from_an_adapter(tuned: "Tuner", bucket: Bucket) -> None:
    tuned("first")
    here = tuned("second", start=tuned.folder / "first")
    carried_out(tuned, bucket, start=handed_over(bucket, tuned.folder / "first"))
    bucket.pull("runs/one/result", tuned.folder / "result")
    assert ModelRef.verified(tuned.folder / "result/adapter") == here


def test_a_failure_is_left_where_the_task_looks_for_it(tuned: "Tuner", bucket: Bucket) -> None:
    with pytest.raises(SettingsError):
        carried_out(tuned, bucket, '{"rank": 0}')
    exchange = BucketExchange(bucket, "runs/one")
    failure = exchange.failure()
    assert failure is not None
    assert isinstance(failure.error, SettingsError)
    assert "rank must be at least 1, got 0" in failure.message
    assert not exchange.ready()
    exchange.clear()
    assert exchange.failure() is None


def test_results_of_another_base_are_refused(tuned: "Tuner", bucket: Bucket, teacher: Path) -> None:
    carried_out(tuned, bucket)
    other = Parts.verified(tuned.dataset, teacher, None, None)
    out = tuned.folder / "never"
    with pytest.raises(DigestError, match="results are of base and data"):
        BucketExchange(bucket, "runs/one").publish(other, out, tuned.curve_path("x"), None)
    assert not out.exists()


def test_spoilt_results_are_refused(tuned: "Tuner", bucket: Bucket) -> None:
    carried_out(tuned, bucket)
    (tuned.folder / "exchange/runs/one/result/curve.json").write_text("{}")
    parts = Parts.verified(tuned.dataset, tuned.base, None, None)
    out = tuned.folder / "never"
    with pytest.raises(DigestError):
        BucketExchange(bucket, "runs/one").publish(parts, out, tuned.curve_path("x"), None)
    assert not out.exists()


def test_an_input_that_was_not_handed_over_is_told(tuned: "Tuner", bucket: Bucket) -> None:
    with pytest.raises(MissingError, match="inputs/none holds no sealed folder"):
        carried_out(tuned, bucket, dataset="inputs/none")
