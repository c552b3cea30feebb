"""A space and a budget to trials and the best recipe; the study is real, training is not."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wherry.contracts import digest_bytes, read_settings
from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import DivergedError, MemoryShortError, SettingsError
from wherry.contracts.search import Trial
from wherry.progress import Silent
from wherry.tune.search.settings import SearchSettings, Span
from wherry.tune.search.step import Watch, best_of, search
from wherry.tune.settings import TuneSettings

optuna = pytest.importorskip("optuna")

KEY = digest_bytes(b"search")
RATES = Span(1e-4, 1e-1, log=True)
WANTED = SearchSettings(space={"learning_rate": RATES, "rank": Span(2, 16)}, trials=8, startup=3)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a power failure could tell, and the disk takes most of the time."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


class Clock:
    """Time that passes only where it is spent."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Trainer:
    """Knows which recipe is best, and takes a second a measurement for any."""

    def __init__(self, clock: Clock, dies_at: int = -1) -> None:
        self.clock = clock
        self.dies_at = dies_at
        self.recipes: list[TuneSettings] = []
        self.points = 0

    def __call__(self, recipe: TuneSettings, watch: Watch) -> float:
        self.recipes.append(recipe)
        goal = abs(math.log10(recipe.learning_rate) + 2) + recipe.rank / 100
        for index in range(recipe.eval_points):
            self.clock.now += 1
            if self.points == self.dies_at:
                raise KeyboardInterrupt
            self.points += 1
            watch(CurvePoint(10 * index, 0, 0.0, None, 5.0 - index + goal if index else 5.0))
        return 6.0 - recipe.eval_points + goal


def opened(folder: Path, wanted: SearchSettings) -> Any:
    from wherry.tune.search.adapters.optuna import OptunaStudy

    return OptunaStudy(folder / "study.log", KEY, wanted)


def searched(
    folder: Path, wanted: SearchSettings = WANTED, **given: Any
) -> tuple[tuple[Trial, ...], Trainer]:
    clock = Clock()
    trainer = Trainer(clock, **given)
    return search(opened(folder, wanted), trainer, wanted, Silent(), clock), trainer


def results(trials: Sequence[Trial]) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.settings, t.eval_loss) for t in trials]


def test_the_best_trial_is_the_complete_one_of_the_lowest_loss(tmp_path: Path) -> None:
    trials, _ = searched(tmp_path)
    best = best_of(trials)
    assert best is not None
    complete = [t.eval_loss for t in trials if t.state == "complete"]
    assert best.eval_loss == min(complete)  # type: ignore[type-var] # complete ones have a loss
    assert len(trials) == 8


def test_a_trial_above_the_median_is_ended_early(tmp_path: Path) -> None:
    trials, _ = searched(tmp_path, replace(WANTED, trials=12))
    pruned = [t for t in trials if t.state == "pruned"]
    assert pruned
    assert all(t.seconds < 4 for t in pruned)
    assert {t.state for t in trials[: WANTED.startup]} == {"complete"}


def test_without_a_pruner_every_trial_ends(tmp_path: Path) -> None:
    trials, _ = searched(tmp_path, replace(WANTED, trials=12, pruner="none"))
    assert {t.state for t in trials} == {"complete"}


def test_the_same_seed_tries_the_same_and_another_does_not(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    one, two = searched(tmp_path / "one")[0], searched(tmp_path / "two")[0]
    other = searched(tmp_path / "three", replace(WANTED, seed=1))[0]
    assert results(one) == results(two) != results(other)


@pytest.mark.parametrize("dies_at", [0, 5, 14, 22])
def test_a_killed_search_goes_on_with_the_trials_of_one_that_was_not(
    tmp_path: Path, dies_at: int
) -> None:
    (tmp_path / "whole").mkdir()
    wanted = replace(WANTED, trials=14)
    whole, _ = searched(tmp_path / "whole", wanted)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, wanted, dies_at=dies_at)
    ended = sum(t.state != "unfinished" for t in opened(tmp_path, wanted).trials())
    trials, trainer = searched(tmp_path, wanted)
    assert results(trials) == results(whole)
    assert len(trainer.recipes) == len(whole) - ended


def test_a_search_that_ended_tries_nothing_again_and_more_trials_go_on(tmp_path: Path) -> None:
    first, _ = searched(tmp_path)
    again, trainer = searched(tmp_path)
    assert again == first
    assert not trainer.recipes
    more, trainer = searched(tmp_path, replace(WANTED, trials=10))
    assert more[:8] == first
    assert len(trainer.recipes) == 2


def test_the_budget_ends_a_trial_within_and_a_larger_one_goes_on_with_it(tmp_path: Path) -> None:
    trials, _ = searched(tmp_path, replace(WANTED, minutes=10 / 60))
    assert [t.state for t in trials] == ["complete", "complete", "unfinished"]
    assert sum(t.seconds for t in trials) == 10
    assert searched(tmp_path, replace(WANTED, minutes=10 / 60))[1].recipes == []
    more, _ = searched(tmp_path, replace(WANTED, minutes=60))
    assert [t.settings for t in more[:3]] == [t.settings for t in trials]
    assert more[2].state == "complete"
    assert len(more) == 8


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DivergedError("The loss is nan.", remedy=""), "diverged"),
        (MemoryShortError("No memory is left.", remedy=""), "failed"),
        (SettingsError("method cannot.", remedy=""), "failed"),
    ],
)
def test_a_recipe_that_cannot_be_learnt_is_recorded_with_its_reason(
    tmp_path: Path, error: Exception, state: str
) -> None:
    def fails(recipe: TuneSettings, watch: Watch) -> float:
        raise error

    wanted = replace(WANTED, trials=2)
    trials = search(opened(tmp_path, wanted), fails, wanted, Silent(), Clock())
    assert [(t.state, t.reason) for t in trials] == [(state, error.message)] * 2  # type: ignore[attr-defined] # all are ours
    assert best_of(trials) is None


def test_values_that_contradict_each_other_fail_without_training(tmp_path: Path) -> None:
    recipe = TuneSettings(objective="text")
    wanted = SearchSettings(space={"method": Span(choices=("lora", "ia3"))}, recipe=recipe)
    with pytest.raises(SettingsError, match="virtual tokens"):
        wanted.recipe_of({"method": "prompt"})


def test_the_very_same_recipe_is_not_trained_twice(tmp_path: Path) -> None:
    wanted = SearchSettings(space={"rank": Span(choices=(4, 8))}, trials=9, pruner="none")
    trials, trainer = searched(tmp_path, wanted)
    assert len(trainer.recipes) == 2
    assert len(trials) == 9
    assert sum("the same as trial" in t.reason for t in trials) == 7


def test_lists_can_be_chosen_from(tmp_path: Path) -> None:
    choices = (("q_proj", "v_proj"), ("all-linear",))
    wanted = SearchSettings(space={"targets": Span(choices=choices)}, trials=3)
    trials, trainer = searched(tmp_path, wanted)
    assert {t.settings["targets"] for t in trials} <= set(choices)
    assert {recipe.targets for recipe in trainer.recipes} <= set(choices)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({}, "space must name a setting"),
        ({"space": {}}, "space must name a setting"),
        ({"space": {"rnk": {"low": 1, "high": 2}}}, "space.rnk is no tune setting"),
        ({"space": {"rank": {"low": 1, "high": 2, "step": 1}}}, "unknown field 'step'"),
        ({"space": {"rank": {"low": 1.5, "high": 2}}}, "whole ends, got 1.5"),
        ({"space": {"rank": {"low": 8, "high": 2}}}, "low must be less than high"),
        ({"space": {"rank": {"low": 0, "high": 2}}}, "rank must be at least 1"),
        ({"space": {"rank": {"choices": [4, "eight"]}}}, "space.rank cannot be 'eight'"),
        ({"space": {"rank": {"choices": [4, 8.5]}}}, "space.rank cannot be 8.5"),
        ({"space": {"method": {"choices": ["lora", "lara"]}}}, "space.method cannot be 'lara'"),
        ({"space": {"method": {"low": 0, "high": 1}}}, "space.method needs choices"),
        ({"space": {"recompute": {"low": 0, "high": 1}}}, "space.recompute needs choices"),
        ({"space": {"rank": {}}}, "either low and high, or choices"),
        ({"space": {"rank": {"low": 1, "high": 2, "choices": [1]}}}, "either low and high"),
        ({"space": {"dropout": {"low": 0, "high": 0.5, "log": True}}}, "more than 0 where log"),
        ({"space": {"max_length": {"choices": [64]}}}, "which rows the eval loss"),
        ({"space": {"seed": {"low": 0, "high": 9}}}, "the luckiest run"),
        ({"minutes": 0}, "minutes must be more than 0"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"recipe": {"eval_points": 1}}, "eval_points must be at least 2"),
        ({"recipe": {"rnk": 1}}, "unknown field 'rnk'"),
        ({"pruner": "mean"}, "expected one of median, none"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(raw: dict[str, Any], told: str) -> None:
    space = {"space": {"rank": {"low": 2, "high": 8}}} if raw and "space" not in raw else {}
    with pytest.raises(SettingsError, match=told):
        read_settings(SearchSettings, {**space, **raw})


def test_a_study_that_is_none_is_refused(tmp_path: Path) -> None:
    from wherry.contracts.errors import StoreError

    (tmp_path / "study.log").write_text("no journal\n" * 5)
    with pytest.raises(StoreError, match="cannot be read as a study"):
        opened(tmp_path, WANTED)


def test_half_a_line_of_a_killed_process_does_not_spoil_the_study(tmp_path: Path) -> None:
    first, _ = searched(tmp_path)
    with (tmp_path / "study.log").open("ab") as file:
        file.write(b'{"op_code": 8, "wor')
    more, _ = searched(tmp_path, replace(WANTED, trials=10))
    assert more[:8] == first
    assert searched(tmp_path, replace(WANTED, trials=10))[0] == more


def test_settings_come_from_json_with_their_types() -> None:
    raw = '{"space": {"learning_rate": {"choices": [1, 0.01]}}, "recipe": {"rank": 4}}'
    wanted = read_settings(SearchSettings, raw)
    assert wanted.recipe_of({"learning_rate": 0.01}) == TuneSettings(rank=4, learning_rate=0.01)
