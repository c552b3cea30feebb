"""A champion that is truly better stays champion, however the dice fall.

The gate's rule together with the evaluation's paired tests, over simulated answers: each row is
easy, hard, or one that a model gets right with its own skill.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from tests.fakes.releases import parity, scores, share
from wherry.contracts import PairedTests, Scores, digest_bytes
from wherry.evaluate.paired.settings import CompareSettings
from wherry.evaluate.paired.step import Side, compare
from wherry.evaluate.predictions import Prediction
from wherry.gate.settings import Policy
from wherry.gate.step import decide

ROWS = 252
"""As many as the demo's test split has."""
LIVE, NEW = digest_bytes(b"champion"), digest_bytes(b"challenger")
FILE = digest_bytes(b"predictions")
CHAMPION = 0.80


def answers(skill: float, hard: Sequence[bool], random: np.random.Generator) -> list[bool]:
    """Which rows a model gets right; what is hard for one is hard for the other."""
    chance = np.where(hard, 2 * skill - 1, 1.0)
    return [bool(right) for right in random.random(len(hard)) < chance]


def measured(right: Sequence[bool], model: str) -> Scores:
    """The scores of one model."""
    found = share("accuracy", sum(right) / len(right), len(right))
    return replace(scores(model=model), metrics=(found,), predictions_digest=FILE)


def paired(champion: Sequence[bool], challenger: Sequence[bool]) -> PairedTests:
    """The paired tests of the evaluation."""

    def side(right: Sequence[bool], model: str) -> Side:
        made = [Prediction(str(n), "x", "", "", correct) for n, correct in enumerate(right)]
        return Side(measured(right, model), made, FILE)

    settings = CompareSettings(metrics=("accuracy",))
    return compare(side(champion, LIVE), side(challenger, NEW), settings)


def passes(
    skill: float, seed: int, significance: Literal["none", "not worse", "better"], margin: float
) -> bool:
    """Whether a challenger of this skill would take the champion's place in one release."""
    random = np.random.default_rng(seed)
    hard = [bool(h) for h in random.random(ROWS) < 0.5]
    champion, challenger = (answers(each, hard, random) for each in (CHAMPION, skill))
    tuned = replace(measured(challenger, NEW), subject="tuned")
    policy = Policy(
        floors={"accuracy": 0.5}, champion={"accuracy": margin}, significance=significance
    )
    return decide(
        tuned,
        measured(challenger, NEW),
        parity(NEW),
        measured(champion, LIVE),
        policy,
        paired=paired(champion, challenger),
    ).passed


@pytest.mark.parametrize(("significance", "margin"), [("not worse", 0.02), ("better", 0.0)])
def test_a_truly_better_champion_is_defended_20_of_20_times(
    significance: Literal["not worse", "better"], margin: float
) -> None:
    taken = [passes(0.75, seed, significance, margin) for seed in range(20)]
    assert taken == [False] * 20


def test_the_measured_values_alone_would_not_defend_it() -> None:
    """The margin without significance: noise takes the champion's place now and then."""
    assert any(passes(0.75, seed, "none", 0.02) for seed in range(20))


def test_a_challenger_that_is_truly_better_takes_its_place() -> None:
    taken = [passes(0.92, seed, "better", 0.02) for seed in range(20)]
    assert sum(taken) >= 18
