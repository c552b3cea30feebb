"""Tuning as a pipeline's task, run by KFP's local runner."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wherry.contracts import ModelRef
from wherry.contracts.errors import SettingsError
from wherry.tune.task import NOT_ASKED, run_task

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

pytestmark = pytest.mark.local

SMALL = {"threads": 1, "rank": 4, "learning_rate": 0.01, "batch_size": 4, "precision": "float32"}


def task(tuned: "Tuner", settings: str) -> dict[str, float]:
    names = ("adapter", "curve", "metrics", "merged")
    paths: Any = {name: tuned.folder / "out" / name for name in names}
    return run_task(tuned.dataset, tuned.base, **paths, settings=settings)


def test_the_whole_model_is_given_where_the_recipe_asks_for_it(tuned: "Tuner") -> None:
    headline = task(tuned, json.dumps({**SMALL, "merge": True}))
    merged = ModelRef.verified(tuned.folder / "out/merged")
    assert merged.adapter_digest == ModelRef.verified(tuned.folder / "out/adapter").digest
    assert json.loads((tuned.folder / "out/metrics").read_text()) == headline
    assert headline["steps"] == 6


def test_every_output_is_there_where_it_does_not(tuned: "Tuner") -> None:
    task(tuned, json.dumps(SMALL))
    assert [path.name for path in (tuned.folder / "out/merged").iterdir()] == [NOT_ASKED]
    ModelRef.verified(tuned.folder / "out/adapter")


def test_a_wrong_recipe_is_told_as_the_stages_failure(
    tuned: "Tuner", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_EVENTS", str(tuned.folder / "events"))
    with pytest.raises(SettingsError, match="rank must be at least 1"):
        task(tuned, '{"rank": 0}')
    told = [json.loads(line)["kind"] for line in (tuned.folder / "events").read_text().splitlines()]
    assert told == ["started", "failed"]
    assert not (tuned.folder / "out").exists()


def test_a_merge_that_has_no_place_to_go_is_refused(tuned: "Tuner") -> None:
    with pytest.raises(SettingsError, match="no place for the merged model"):
        tuned(merge=True)


@pytest.mark.slow
def test_kfps_local_runner_answers_it_from_its_cache(tuned: "Tuner") -> None:
    from wherry.runtime.local import run_pipeline

    source = Path(__file__).parent / "pipelines" / "tune_alone.py"
    given = {"dataset": str(tuned.dataset), "base": str(tuned.base), "settings": json.dumps(SMALL)}
    kinds = []
    for _ in range(2):
        run_pipeline(source, given, state=tuned.folder / "state", tag="t",
                     on_event=lambda event: kinds.append((event.stage, event.kind)))  # fmt: skip
    assert kinds.count(("tune", "done")) == 1
    assert kinds.count(("tune", "cached")) == 1
