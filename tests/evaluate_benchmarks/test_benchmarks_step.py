"""Figures and their intervals, counted by hand."""

import math

import numpy as np
import pytest

from wherry.contracts import Metric
from wherry.evaluate.benchmarks.step import (
    Figure,
    Measured,
    Outcome,
    Question,
    figure,
    group_figure,
    metrics_of,
)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_right_and_wrong_make_a_share_with_wilsons_interval() -> None:
    made = figure("acc", 0.75, [1.0, 0.0, 1.0, 1.0], mean, resamples=100, seed=0)
    # Wilson's interval of 3 of 4, as R's prop.test(3, 4, correct = FALSE) has it.
    assert (made.hits, made.n, made.method) == (3, 4, "wilson")
    assert (made.low, made.high) == (
        pytest.approx(0.30064, abs=1e-5),
        pytest.approx(0.95441, abs=1e-5),
    )


def test_zeros_and_ones_whose_figure_is_not_their_share_are_drawn_anew() -> None:
    made = figure("most", 1.0, [1, 0, 1], max, resamples=200, seed=0)
    assert (made.hits, made.method, made.high) == (None, "bootstrap", 1.0)


def test_other_values_get_the_bootstraps_interval_and_the_same_one_again() -> None:
    values = np.random.default_rng(3).normal(5, 2, 200).tolist()
    made = figure("loss", mean(values), values, mean, resamples=1000, seed=1)
    again = figure("loss", mean(values), values, mean, resamples=1000, seed=1)
    assert made == again
    reach = 1.96 * np.std(values) / math.sqrt(200)
    assert made.low == pytest.approx(mean(values) - reach, abs=0.06)
    assert made.high == pytest.approx(mean(values) + reach, abs=0.06)


@pytest.mark.parametrize(("value", "values"), [(None, [1.0]), (1.0, [])])
def test_what_cannot_be_measured_has_no_value(value: float | None, values: list[float]) -> None:
    assert figure("acc", value, values, mean, resamples=100, seed=0).value is None


SMALL = Figure("acc", 0.5, 2, 0.1, 0.9, "wilson", 1)
LARGE = Figure("acc", 0.9, 10, 0.6, 0.98, "wilson", 9)


def test_a_group_by_size_is_the_share_of_all_its_questions() -> None:
    made = group_figure("acc", [SMALL, LARGE], by_size=True)
    assert (made.value, made.n, made.hits) == (pytest.approx(10 / 12), 12, 10)


def test_a_group_of_equals_is_the_mean_of_its_tasks() -> None:
    made = group_figure("acc", [SMALL, LARGE], by_size=False)
    assert (made.value, made.method) == (pytest.approx(0.7), "stderr")
    # Half of each one's reach, 0.4 and 0.19, put together at a right angle.
    assert made.high == pytest.approx(0.7 + math.hypot(0.2, 0.095))


def test_a_group_of_shares_ends_within_zero_and_one() -> None:
    sure = Figure("acc", 1.0, 2, 0.34, 1.0, "wilson", 2)
    made = group_figure("acc", [sure, LARGE], by_size=False)
    assert made.low is not None and made.low < 0.95
    assert made.high == 1.0


def test_one_question_has_no_interval_but_of_a_share_and_its_group_none_either() -> None:
    one = figure("f1", 0.4, [0.4], mean, resamples=100, seed=0)
    assert (one.value, one.n, one.low, one.high) == (0.4, 1, None, None)
    group = group_figure("f1", [one, LARGE], by_size=False)
    assert (group.value, group.low, group.high) == (pytest.approx(0.65), None, None)
    assert figure("acc", 1.0, [1.0], mean, resamples=100, seed=0).method == "wilson"


def test_a_group_with_a_task_that_was_not_measured_has_no_value() -> None:
    assert group_figure("acc", [SMALL, Figure("acc", None, 0)], by_size=True).value is None


def test_metrics_carry_the_task_in_their_name_and_a_groups_task_as_slice() -> None:
    group = Outcome("mmlu", (LARGE,), (Outcome("mmlu_law", (SMALL,)),))
    made = metrics_of(Measured((group,), (), "harness"))
    assert made == (
        Metric("mmlu_acc", 0.9, 10, 0.6, 0.98, method="wilson"),
        Metric("mmlu_acc", 0.5, 2, 0.1, 0.9, slice="mmlu_law", method="wilson"),
        Metric("accuracy", None, 0, method="wilson"),
    )


def test_a_task_of_which_no_answer_is_right_or_wrong_has_no_accuracy() -> None:
    outcomes = (
        Outcome("arc", (Figure("acc", 0.5, 2, 0.1, 0.9, "wilson", 1),)),
        Outcome("wiki", (Figure("word_perplexity", 12.0, 2, 9.0, 15.0, "bootstrap"),)),
    )
    questions = tuple(
        Question(f"{task}/{n}", "1", "1", "1", right, "d", "p", (f"task={task}",))
        for task, rights in (("arc", (True, False)), ("wiki", (False, False)))
        for n, right in enumerate(rights)
    )
    made = metrics_of(Measured(outcomes, questions, "harness"))
    assert [(m.slice, m.value, m.n) for m in made if m.name == "accuracy"] == [("task=arc", 0.5, 2)]


def test_accuracy_is_over_all_questions_and_of_each_task() -> None:
    questions = tuple(
        Question(f"{task}/{n}", "1", "1", "1", n == 0, "d", "p", (f"task={task}",))
        for task in ("a", "b")
        for n in range(4)
    )
    made = metrics_of(Measured((), questions, "harness"))
    assert [(m.name, m.slice, m.value, m.n) for m in made] == [
        ("accuracy", "", 0.25, 8),
        ("accuracy", "task=a", 0.25, 4),
        ("accuracy", "task=b", 0.25, 4),
    ]
