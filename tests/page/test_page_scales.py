import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.page.scales import LogScale, Scale, log_scale_of, nice_step, scale_of, smooth, thin

numbers = st.floats(-1e15, 1e15, allow_nan=False)


def test_places_are_percent_of_the_axis_and_stay_on_it() -> None:
    axis = Scale(0.0, 50.0)
    assert [axis.at(value) for value in (0, 25, 50, -10, 99)] == [0, 50, 100, 0, 100]


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_an_axis_of_no_length_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="an axis must run upwards"):
        Scale(*ends)


@pytest.mark.parametrize(
    ("span", "step"), [(1.0, 0.2), (4.31, 1.0), (237, 50), (800, 200), (0.011, 0.0025)]
)
def test_steps_are_round(span: float, step: float) -> None:
    assert nice_step(span, 5) == pytest.approx(step)


def test_ticks_are_round_and_read_well() -> None:
    assert Scale(0.0, 1.0).ticks(4) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert Scale(0.0, 0.6).ticks(6) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@given(st.lists(numbers, min_size=1))
def test_every_value_finds_its_place_between_two_ticks(values: list[float]) -> None:
    axis = scale_of(values)
    slack = 1e-6 * max(1.0, abs(axis.low), abs(axis.high))
    assert axis.low <= min(values) + slack
    assert max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks()) <= 8


@pytest.mark.parametrize("values", [[], [0.0], [3.0, 3.0], [-2.0], [math.nan], [1e15, 1e15]])
def test_an_axis_needs_no_spread(values: list[float]) -> None:
    axis = scale_of(values)
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values if math.isfinite(value))


def test_zero_can_be_asked_for() -> None:
    assert scale_of([3.0, 4.0], include=(0.0,)) == Scale(0.0, 4.0)


def test_a_logarithmic_axis_gives_every_decade_the_same_room() -> None:
    axis = LogScale(0.1, 10.0)
    assert [axis.at(value) for value in (0.01, 0.1, 1, 10, 99)] == [0, 0, 50, 100, 100]
    assert axis.ticks() == (0.1, 0.2, 0.5, 1, 2, 5, 10)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (2.0, 2.0), (1.0, math.inf)])
def test_a_logarithmic_axis_never_reaches_zero(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must run above 0"):
        LogScale(*ends)


@given(st.lists(st.floats(1e-9, 1e9), min_size=1))
def test_a_logarithmic_axis_holds_its_values_and_ends_on_ticks(values: list[float]) -> None:
    axis = log_scale_of(values)
    assert axis.low <= min(values)
    assert max(values) <= axis.high
    assert (axis.ticks()[0], axis.ticks()[-1]) == (axis.low, axis.high)


@given(st.lists(st.floats(-10, 10), max_size=400), st.integers(1, 300))
def test_thinning_keeps_few_values_and_their_range(values: list[float], groups: int) -> None:
    kept = thin(values, groups)
    assert len(kept) <= groups
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for value in kept)
    assert bool(kept) == bool(values)


def test_smoothing_averages_around_each_value() -> None:
    assert smooth([0.0, 3.0, 0.0, 3.0], 3) == [1.5, 1.0, 2.0, 1.5]
    assert smooth([1.0, 5.0], 1) == [1.0, 5.0]
