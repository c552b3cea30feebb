from itertools import pairwise

import pytest

from wherry.page.plots.bars import Part, bar_plot, histogram
from wherry.page.plots.bullet import bullet, bullet_between
from wherry.page.plots.dots import Dot, dot_plot
from wherry.page.plots.frame import Tick
from wherry.page.plots.lines import Line, line_plot
from wherry.page.plots.scatter import Point, scatter_plot
from wherry.page.words import number, percent


def test_a_dot_stands_at_its_share_with_its_whisker_around_it() -> None:
    dot = Dot("tuned", 0.7, "tip", 0.6, 0.8)
    row = dot_plot("id", "title", "text", [("cancer", [dot], "70%")]).rows[0]
    assert (row.marks[0].start, row.marks[0].at, row.marks[0].end) == (60, 70, 80)


def test_dots_of_one_row_stand_apart_if_asked() -> None:
    dots = [Dot("base", 0.5, "", 0.4, 0.6), Dot("quantized", 0.5, "", 0.4, 0.6)]
    plot = dot_plot("d", "t", "d", [("a", dots, "")], apart=9)
    assert [mark.shift for mark in plot.rows[0].marks] == [-4.5, 4.5]
    assert [mark.shift for mark in dot_plot("d", "t", "d", [("a", dots, "")]).rows[0].marks] == [
        0,
        0,
    ]


def test_a_row_without_dots_keeps_its_place() -> None:
    rows = dot_plot("id", "t", "d", [("a", [], "-"), ("b", [Dot("base", 1.0, "")], "1")]).rows
    assert rows[0].marks == ()
    assert rows[0].y < rows[1].y


def test_a_long_label_is_clipped_and_kept_whole_beside() -> None:
    name = "endocrine, nutritional and metabolic diseases"
    plot = dot_plot("id", "t", "d", [(name, [], "")])
    assert plot.rows[0].label.endswith("…")
    assert plot.rows[0].full == name
    assert plot.frame.left < 160


def test_parts_of_a_bar_follow_each_other() -> None:
    parts = [Part("train", 60, ""), Part("test", 40, "")]
    plot = bar_plot("id", "t", "d", [("skin", parts, "100"), ("ear", [], "0")], axis=number)
    assert [(s.start, s.length) for s in plot.rows[0].segments] == [(0, 60), (60, 40)]
    assert plot.rows[1].segments == ()
    assert [tick.text for tick in plot.frame.x_ticks] == ["0", "50", "100"]


def test_bars_of_nothing_are_drawn_as_nothing() -> None:
    plot = bar_plot("id", "t", "d", [("skin", [Part("train", 0, "")], "0")])
    assert plot.rows[0].segments[0].length == 0


def test_a_column_stands_on_the_ground_and_parts_on_each_other() -> None:
    parts = [Part("train", 300, ""), Part("test", 100, "")]
    plot = histogram("id", "t", "d", [("0-9", parts)], height=100)
    first, second = plot.stacks[0].segments
    assert first.start + first.length == 100
    assert second.start + second.length == pytest.approx(first.start)


def test_few_labels_stand_below_many_columns() -> None:
    columns = [(str(index), [Part("train", 1, "")]) for index in range(40)]
    plot = histogram("id", "t", "d", columns)
    assert len(plot.frame.x_ticks) <= 7
    assert plot.stacks[-1].at + plot.stacks[-1].width <= 100


def test_labels_that_are_wide_stand_apart_on_a_telephone() -> None:
    columns = [(f"{n * 100}-{n * 100 + 99}", [Part("train", 1, "")]) for n in range(10, 30)]
    plot = histogram("id", "t", "d", columns)
    assert len(plot.frame.x_ticks) * 9 * 7 <= 270


def test_an_empty_histogram_is_a_plot_still() -> None:
    assert histogram("id", "t", "d", []).stacks == ()


def test_a_line_falls_as_its_values_fall() -> None:
    plot = line_plot("id", "t", "d", [Line("train", [0, 50, 100], [4.0, 2.0, 0.0])], height=200)
    assert plot.paths[0].data == "M0 0L50 100L100 200"


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [([11.6, 0.44], True), ([4.0, 0.7], False), ([11.6, 0.0], False), ([-1.0, 20.0], False)],
)
def test_a_wide_range_gets_a_logarithmic_axis(values: list[float], logarithmic: bool) -> None:
    plot = line_plot("id", "t", "d", [Line("eval", [0, 1], values)], height=100)
    assert plot.logarithmic == logarithmic
    high, low = (float(place.split()[1]) for place in plot.paths[0].data[1:].split("L"))
    assert (high < low) == (values[0] > values[1])


def test_only_tipped_points_are_marked() -> None:
    lines = [Line("train", [1, 2], [1, 1]), Line("eval", [2], [0.5], ["step 2"])]
    assert [point.tip for point in line_plot("id", "t", "d", lines).points] == ["step 2"]


def test_a_line_of_one_point_is_a_plot_still() -> None:
    assert line_plot("id", "t", "d", [Line("eval", [0], [0.0], ["only"])]).points[0].y > 0


def test_the_allowed_side_is_above_a_floor_and_below_a_ceiling() -> None:
    floor = bullet(0.71, 0.6, at_least=True)
    ceiling = bullet(145e6, 200e6, at_least=False)
    assert (floor.start, *floor.limits) == (60, 60)
    assert floor.start + floor.length == 100
    assert ceiling.start == 0
    assert ceiling.at is not None
    assert ceiling.at < ceiling.length == ceiling.limits[0] < 100


@pytest.mark.parametrize(("observed", "threshold"), [(0.005, 0.02), (-0.01, 0.02), (0.0, 0.0)])
def test_small_and_negative_values_have_room(observed: float, threshold: float) -> None:
    plot = bullet(observed, threshold, at_least=False)
    assert plot.at is not None
    assert plot.at <= plot.limits[0]


def test_what_was_not_measured_has_no_place() -> None:
    assert bullet(None, 800.0, at_least=False).at is None


def test_axes_of_shares_read_in_percent() -> None:
    plot = dot_plot("id", "t", "d", [("a", [], "")])
    assert [tick.text for tick in plot.frame.x_ticks] == [
        percent(share, 0) for share in (0, 0.25, 0.5, 0.75, 1)
    ]


def test_two_limits_hold_the_allowed_stretch_between_them() -> None:
    plot = bullet_between(30, 10, 40)
    assert plot.limits == (20, 80)
    assert (plot.start, plot.length, plot.at) == (20, 60, 60)


def test_one_allowed_value_is_one_limit() -> None:
    plot = bullet_between(21, 21, 21)
    assert plot.limits == (plot.at,)
    assert plot.length == 0


def test_a_histogram_keeps_the_limits_that_it_is_handed() -> None:
    mark = Tick(50.0, "96")
    columns = [("0-9", [Part("train", 3, "")])]
    assert histogram("id", "t", "d", columns, limits=(mark,)).limits == (mark,)


def test_names_of_points_that_lie_together_are_all_to_be_read() -> None:
    near = [Point("base", f"TYPE_{index}", 100 + index / 10, 0.9, "") for index in range(4)]
    far = Point("base", "OTHER", 150, 0.5, "")
    plot = scatter_plot("s", "t", "d", [*near, far], x_axis=str, y_axis=str)
    names = [spot.y + spot.shift for spot in plot.spots[:4]]
    assert min(below - above for above, below in pairwise(sorted(names))) >= 13
    assert all(0 <= name <= plot.frame.height for name in names)
    assert (plot.spots[0].shift, plot.spots[-1].shift) == (0, 0)  # what stands alone stays
