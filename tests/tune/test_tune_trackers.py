"""Trackers are told of a run, and never stop it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wherry.contracts import digest_bytes
from wherry.contracts.curve import CurvePoint, LossCurve
from wherry.contracts.errors import ExtraMissingError, PreemptedError, SettingsError
from wherry.tune import trackers
from wherry.tune.trackers import Lenient, tracked

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

RUN = digest_bytes(b"run")
RECIPE = {"rank": 4, "method": "lora"}
POINTS = [
    CurvePoint(0, 0, 0.0, None, 2.0),
    CurvePoint(5, 100, 2.0, 1.5),
    CurvePoint(10, 200, 4.0, 1.0, 1.25),
]


class Remembering:
    """Remembers what it is told, or fails from a point on."""

    def __init__(self, fails_at: int = 99) -> None:
        self.fails_at = fails_at
        self.points: list[CurvePoint] = []
        self.ended: list[bool] = []

    def point(self, point: CurvePoint) -> None:
        self.points.append(point)
        if len(self.points) >= self.fails_at:
            raise ConnectionError("https://user:password@mlflow is away")

    def end(self, *, well: bool) -> None:
        self.ended.append(well)


def tell(own: Remembering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trackers._BEGIN, "mlflow", lambda *_: lambda: own)
    with tracked(["mlflow"], RECIPE, RUN, Path("curve")) as watch:
        for point in POINTS:
            watch(point)


def test_every_point_is_told_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Remembering()
    tell(own, monkeypatch)
    assert own.points == POINTS
    assert own.ended == [True]


def test_a_tracker_that_fails_is_named_once_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Remembering(fails_at=2)
    tell(own, monkeypatch)
    assert len(own.points) == 2
    told = capsys.readouterr().err
    assert told.count("tracker mlflow failed (ConnectionError)") == 1
    assert "password" not in told


def test_a_tracker_that_cannot_begin_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    def begin() -> Any:
        raise ConnectionError

    one = Lenient("mlflow", begin)
    one.point(POINTS[0])
    one.end(well=True)
    assert capsys.readouterr().err.count("warning") == 1


def test_a_run_that_fails_is_ended_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Remembering()
    monkeypatch.setitem(trackers._BEGIN, "mlflow", lambda *_: lambda: own)
    with pytest.raises(ZeroDivisionError), tracked(["mlflow"], RECIPE, RUN, Path("curve")):
        raise ZeroDivisionError
    assert own.ended == [False]


@pytest.mark.parametrize(("name", "package"), [("mlflow", "mlflow"), ("tensorboard", "torch")])
def test_a_missing_package_answers_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, name: Any, package: str
) -> None:
    for module in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"wherry.tune.adapters.{name}", raising=False)
    with pytest.raises(ExtraMissingError, match=f"pip install {name}"):
        tracked([name], RECIPE, RUN, Path("curve")).__enter__()


def test_mlflow_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with (
        pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI is not set"),
        tracked(["mlflow"], RECIPE, RUN, Path("curve")),
    ):
        pass


def test_the_headline_is_of_the_weights_that_were_kept(tmp_path: Path) -> None:
    given = {"rows": 9, "epochs": 1, "seconds": 4.0, "seed": 0, "base_digest": RUN}
    speed = {"tokens_per_second": 50.0, "data_digest": RUN, "steps": 10}
    curve = LossCurve(points=tuple(POINTS), kept_step=0, **given, **speed)  # type: ignore[arg-type] # its fields
    wanted = {"eval_loss": 2.0, "tokens_per_second": 50.0, "steps": 10, "kept_step": 0}
    assert curve.headline == wanted
    assert "eval_loss" not in replace(curve, kept_step=5).headline


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's own store in a folder."""
    tracking = pytest.importorskip("mlflow.tracking")
    address = f"file://{tmp_path / 'mlruns'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return tracking.MlflowClient(tracking_uri=address)


def runs(store: Any) -> Any:
    experiment = store.get_experiment_by_name("wherry")
    return store.search_runs([experiment.experiment_id])


@pytest.mark.local
def test_mlflow_has_the_recipe_and_the_curve_and_nothing_of_the_surroundings(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    with tracked(["mlflow"], RECIPE, RUN, Path("curve")) as watch:
        for point in POINTS:
            watch(point)
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"rank": "4", "method": "lora"}
    losses = store.get_metric_history(run.info.run_id, "eval_loss")
    assert [(m.step, m.value) for m in losses] == [(0, 2.0), (10, 1.25)]
    assert "hidden" not in str(run.to_dictionary())
    assert set(run.data.tags) <= {"wherry.run", "mlflow.runName"}


@pytest.mark.local
def test_a_killed_run_goes_on_in_the_same_record_of_mlflow(store: Any) -> None:
    first = tracked(["mlflow"], RECIPE, RUN, Path("curve"))
    first.__enter__()(POINTS[0])  # killed: it never ends
    with tracked(["mlflow"], RECIPE, RUN, Path("curve")) as watch:
        watch(POINTS[2])
    (run,) = runs(store)
    assert [m.step for m in store.get_metric_history(run.info.run_id, "eval_loss")] == [0, 10]
    with tracked(["mlflow"], RECIPE, RUN, Path("curve")):
        pass
    assert len(runs(store)) == 2


@pytest.mark.local
def test_a_preempted_run_goes_on_in_the_same_record_though_its_threads_change(store: Any) -> None:
    with (
        pytest.raises(PreemptedError),
        tracked(["mlflow"], {**RECIPE, "threads": 1}, RUN, Path("curve")) as watch,
    ):
        watch(POINTS[0])
        raise PreemptedError("wanted back", remedy="again")
    assert [run.info.status for run in runs(store)] == ["FAILED"]
    with tracked(["mlflow"], {**RECIPE, "threads": 2}, RUN, Path("curve")) as watch:
        assert [run.info.status for run in runs(store)] == ["RUNNING"]
        watch(POINTS[2])
    (run,) = runs(store)
    assert (run.info.status, run.data.params["threads"]) == ("FINISHED", "1")
    assert [m.step for m in store.get_metric_history(run.info.run_id, "eval_loss")] == [0, 10]


@pytest.mark.local
def test_tuning_goes_on_without_a_server(
    tuned: "Tuner", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:password@127.0.0.1:9")
    made = tuned("tracked", trackers=["mlflow"])
    assert made.digest == tuned("plain").digest
    told = capsys.readouterr().err
    assert told.count("tracker mlflow failed") == 1
    assert "password" not in told


@pytest.mark.local
def test_tensorboard_reads_the_curve_of_a_real_run(tuned: "Tuner") -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tuned("adapter", trackers=["tensorboard"])
    read = events.EventAccumulator(str(tuned.folder / "adapter.tensorboard"))
    read.Reload()
    known = [(p.step, p.eval_loss) for p in tuned.curve().points if p.eval_loss is not None]
    told = [(event.step, event.value) for event in read.Scalars("eval_loss")]
    assert told == [(step, pytest.approx(loss)) for step, loss in known]
    assert "recipe/text_summary" in read.Tags()["tensors"]


@pytest.mark.local
def test_what_a_killed_run_had_written_is_hidden_from_where_it_goes_on(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    curve = tmp_path / "curve.json"
    for points in (POINTS, POINTS[1:]):
        with tracked(["tensorboard"], RECIPE, RUN, curve) as watch:
            for point in points:
                watch(point)
    read = events.EventAccumulator(str(tmp_path / "curve.tensorboard"))
    read.Reload()
    assert [event.step for event in read.Scalars("tokens")] == [0, 5, 10]
