"""What changed between two reports on one data set."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.records import dataset, digest, validation
from wherry.contracts.validation import (
    Change,
    Column,
    Expectation,
    ReasonCount,
    ValidationReport,
)
from wherry.validate.changes import distance, since

REPORT = replace(validation(), source=dataset().source)
counts = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 50))


def with_columns(*columns: Column) -> ValidationReport:
    rows = sum(columns[0].counts) if columns else 0
    return replace(REPORT, rows=rows, columns=columns)


def lengths(values: list[int], width: int, start: int = 0) -> Column:
    """Counts values in bins of a width, as a report does."""
    found = Counter((value - start) // width for value in values)
    used = range(max(found) + 1)
    bins = [(start + n * width, start + (n + 1) * width - 1) for n in used]
    names = tuple(str(a) if a == b else f"{a}-{b}" for a, b in bins)
    return Column("prompt_tokens", "train", names, tuple(found[n] for n in used))


def labels(**rows: int) -> Column:
    return Column("label", "train", tuple(rows), tuple(rows.values()))


def changed(before: ValidationReport, now: ValidationReport) -> dict[str, Change]:
    return {change.what: change for change in since(before, now).changes}


def test_the_same_data_has_not_changed() -> None:
    found = since(REPORT, REPORT)
    assert found.changes == ()
    assert found.source == dataset().source
    assert found.dataset_digest == digest("data")


def test_rows_are_compared_by_split() -> None:
    now = with_columns(replace(labels(ear=5, eye=5), split="eval"), labels(ear=90, eye=90))
    before = with_columns(labels(ear=100, eye=100))
    found = changed(replace(before, rows=200), replace(now, rows=190))
    assert (found["rows"].before, found["rows"].now) == ("200", "190")
    assert (found["rows of train"].before, found["rows of train"].now) == ("200", "180")
    assert (found["rows of eval"].before, found["rows of eval"].now) == ("0", "10")
    assert "label" not in found


def test_rows_set_aside_are_compared() -> None:
    now = replace(REPORT, set_aside=(ReasonCount("no JSON", 3), ReasonCount("too long", 1)))
    assert since(REPORT, now).changes == (Change("rows set aside", "0", "4"),)


def test_a_label_that_moved_is_named_with_its_shares() -> None:
    found = changed(with_columns(labels(ear=50, eye=50)), with_columns(labels(ear=75, eye=25)))
    assert found == {"label": Change("label", "ear: 50%", "ear: 75%", 0.25)}


def test_labels_that_came_and_went_are_named_however_few_their_rows() -> None:
    before = with_columns(labels(ear=9990, eye=10))
    now = with_columns(labels(ear=9990, lip=10))
    found = changed(before, now)
    assert found["label values"].now == "2; new: lip; gone: eye"
    assert "label" not in found


def test_labels_that_look_like_numbers_are_names_still() -> None:
    first, second = (
        Column("label", "train", ("0", "1"), (50, 50)),
        Column("label", "train", ("0", "1"), (90, 10)),
    )
    found = changed(with_columns(first), with_columns(second))
    assert (found["label"].before, found["label"].now) == ("0: 50%", "0: 90%")


def test_lengths_in_other_bins_are_no_change() -> None:
    values = [n * n % 97 for n in range(4000)]
    before, now = (with_columns(lengths(values, width)) for width in (4, 8))
    assert since(before, now).changes == ()


def test_lengths_whose_bins_share_few_edges_are_compared_about() -> None:
    values = [n % 100 for n in range(5000)]
    before = with_columns(lengths(values, 7))
    assert since(before, with_columns(lengths(values, 9))).changes == ()
    longer = with_columns(lengths([value + 50 for value in values], 9))
    found = changed(before, longer)["prompt_tokens"]
    assert found.distance == pytest.approx(0.5)


def test_a_shift_of_lengths_says_in_which_bin_the_middle_row_lies() -> None:
    before = with_columns(lengths([10] * 50 + [30] * 50, 10))
    now = with_columns(lengths([30] * 80 + [50] * 20, 10))
    found = changed(before, now)["prompt_tokens"]
    assert (found.before, found.now) == ("median 10 to 19", "median 30 to 39")
    assert found.distance == 0.5


def test_failures_that_are_new_or_gone_are_told() -> None:
    first, second, *rest = validation().expectations
    before = replace(REPORT, expectations=(replace(first, passed=False), second, *rest))
    now = replace(
        REPORT, expectations=(first, replace(second, passed=False, unexpected_count=12), *rest)
    )
    assert since(before, now).changes == (
        Change("check: Enough rows", "failed", "held"),
        Change("check: No missing values: prompt", "held", "failed in 12 rows"),
    )


def test_a_failing_check_that_was_taken_out_of_the_suite_is_told() -> None:
    first, *rest = validation().expectations
    before = replace(REPORT, expectations=(replace(first, passed=False), *rest))
    now = replace(REPORT, expectations=tuple(rest), suite_digest=digest("weaker"))
    assert since(before, now).changes == (
        Change("checks in the suite", "11", "10"),
        Change("check: Enough rows", "failed", "not asked"),
    )


def test_of_two_checks_of_one_name_the_worse_counts() -> None:
    held = Expectation("expect_table_row_count_to_be_between", "", "critical", True, "", "")
    before = replace(REPORT, expectations=(held, held))
    now = replace(REPORT, expectations=(replace(held, passed=False), held))
    assert since(before, now).changes == (Change("check: Enough rows", "held", "failed"),)


def test_reports_without_rows_or_source_are_compared_too() -> None:
    empty = replace(REPORT, rows=0, columns=(), source=None)
    found = since(empty, REPORT)
    assert found.source.uri == ""
    assert Change("rows", "0", "2,520") in found.changes


@given(counts, counts)
def test_a_distance_is_a_distance(first: dict[str, int], second: dict[str, int]) -> None:
    assert 0 <= distance(first, second) <= 1 + 1e-9
    assert distance(first, first) == 0
    assert distance(first, second) == pytest.approx(distance(second, first))


@given(st.lists(st.integers(0, 300), min_size=1), st.integers(1, 30), st.integers(1, 30))
def test_no_binning_of_the_same_rows_loses_or_makes_rows(
    values: list[int], width: int, other: int
) -> None:
    before, now = (with_columns(lengths(values, each)) for each in (width, other))
    assert not {"rows", "rows of train"} & set(changed(before, now))
    if other % width == 0 and len(lengths(values, other).bins) >= 4:
        assert "prompt_tokens" not in changed(before, now)
