"""What pages say of data: checks, distributions, faulty rows, cleaning."""

from dataclasses import replace

import pytest

from tests.report.records import LABELS, validation
from wherry.contracts.dataset import Cleaned
from wherry.contracts.validation import Column, Expectation, Quarantined, ReasonCount
from wherry.page.data.checks import broken_plot, checks_of, named, reason_of
from wherry.page.data.cleaning import steps_of
from wherry.page.data.faults import faults_of, set_aside_causes
from wherry.page.data.spread import spread_of

LENGTHS = "expect_column_values_to_be_between"


def lengths(*bins: str) -> Column:
    return Column("prompt_tokens", "train", bins, tuple(range(1, len(bins) + 1)))


class TestChecks:
    def test_what_failed_stands_first(self) -> None:
        asked = checks_of(validation().expectations).asked
        assert asked[0].result.word == "Warned"
        assert {each.result.word for each in asked[1:]} == {"Passed"}

    @pytest.mark.parametrize(
        ("severity", "word", "state"),
        [("critical", "Failed", "bad"), ("warning", "Warned", "warn"), ("info", "Noted", "none")],
    )
    def test_severity_decides_how_grave_a_failure_is(
        self, severity: str, word: str, state: str
    ) -> None:
        failed = replace(validation().expectations[0], passed=False, severity=severity)
        result = checks_of([failed]).asked[0].result
        assert (result.word, result.state) == (word, state)

    def test_checks_of_one_kind_are_one_chip(self) -> None:
        chips = checks_of(validation().expectations).chips
        said = [(chip.title, chip.columns, chip.times) for chip in chips]
        assert ("No missing values", "prompt, label", 2) in said
        assert ("No duplicates", "", 1) in said
        assert chips[0].state == "warn"

    def test_a_chip_never_hides_a_failure_among_passes(self) -> None:
        passed, other = validation().expectations[1:3]
        checks = checks_of([passed, replace(other, passed=False)])
        assert [(c.state, c.columns) for c in checks.chips] == [
            ("bad", "label"),
            ("good", "prompt"),
        ]
        assert not checks.all_passed

    def test_a_long_list_of_values_is_clipped_and_kept_whole_beside(self) -> None:
        asked = replace(validation().expectations[0], expected="one of " + "label, " * 40)
        shown = checks_of([asked]).asked[0]
        assert shown.expected.endswith("…")
        assert shown.expected_whole == asked.expected

    def test_an_expectation_that_nobody_named_still_reads(self) -> None:
        asked = replace(validation().expectations[0], type="expect_rows_to_be_kind", column="mood")
        assert checks_of([asked]).asked[0].title == "Rows to be kind"
        assert named(asked) == "Rows to be kind: mood"

    def test_a_figure_between_limits_is_drawn(self) -> None:
        asked = Expectation(LENGTHS, "x", "critical", True, "2 to 8", "4", low=2, high=8, figure=4)
        plot = checks_of([asked]).asked[0].bullet
        assert plot is not None
        assert len(plot.limits) == 2

    def test_a_share_of_broken_rows_is_drawn_against_what_is_allowed(self) -> None:
        asked = Expectation(
            LENGTHS, "x", "warning", False, "", "", 30, high=9, mostly=0.9, checked_rows=100
        )
        plot = checks_of([asked]).asked[0].bullet
        assert plot is not None
        assert plot.at is not None
        assert plot.at > plot.start + plot.length

    def test_a_check_that_could_not_be_made_says_why(self) -> None:
        unseen = Expectation(LENGTHS, "x", "critical", False, "2", "nothing", note="No row.")
        assert reason_of(unseen) == "Values in range: x: No row."

    def test_a_rule_that_holds_or_not_is_not_drawn(self) -> None:
        assert not any(each.bullet for each in checks_of(validation().expectations).asked)

    def test_what_failed_and_what_holds_are_told_apart(self) -> None:
        checks = checks_of(validation().expectations)
        assert [each.column for each in checks.failed] == ["prompt_tokens"]
        assert len(checks.held) == len(checks.asked) - 1

    def test_checks_that_rows_broke_are_bars_by_count(self) -> None:
        few = Expectation(LENGTHS, "tokens", "critical", False, "", "", 3, checked_rows=200)
        many = Expectation(LENGTHS, "pii_emails", "warning", False, "", "", 50, checked_rows=200)
        plot = broken_plot([few, many, replace(many, passed=True)])
        assert plot is not None
        assert [(row.full, row.value) for row in plot.rows] == [
            ("Values in range: pii_emails", "50"),
            ("Values in range: tokens", "3"),
        ]
        assert plot.rows[0].segments[0].tip == "Values in range: pii_emails: 50 (25.0%)"
        assert broken_plot([replace(few, passed=True)]) is None


class TestSpread:
    def test_labels_become_bars_and_lengths_a_histogram(self) -> None:
        spread = spread_of(validation().columns, LABELS)
        assert [plot.frame.title for plot in spread.balances] == ["Rows by label"]
        assert [plot.frame.title for plot in spread.histograms] == ["Rows by prompt tokens"]
        assert [key.name for key in spread.keys] == ["Train", "Eval", "Test"]

    def test_names_are_told_from_ranges_without_a_label_set(self) -> None:
        spread = spread_of([Column("language", "train", ("de", "en"), (5, 9)), lengths("1", "2-3")])
        assert [plot.frame.title for plot in spread.balances] == ["Rows by language"]
        assert [plot.frame.title for plot in spread.histograms] == ["Rows by prompt tokens"]

    def test_bars_are_sorted_and_count_all_splits(self) -> None:
        columns = (
            Column("label", "test", ("ear", "eye"), (1, 5)),
            Column("label", "train", ("ear", "eye", "(others)"), (2, 7, 9)),
        )
        plot = spread_of(columns, LABELS).balances[0]
        assert [(row.label, row.value) for row in plot.rows] == [
            ("eye", "12"),
            ("(others)", "9"),
            ("ear", "3"),
        ]
        assert [part.series for part in plot.rows[0].segments] == ["train", "test"]

    def test_the_tail_of_many_names_is_one_bar_and_no_row_is_lost(self) -> None:
        names = tuple(f"label {index}" for index in range(60))
        plot = spread_of([Column("label", "train", names, tuple(range(60)))]).balances[0]
        assert len(plot.rows) == 26
        assert plot.rows[-1].label == "(35 more)"
        assert sum(int(row.value) for row in plot.rows) == sum(range(60))

    def test_rare_values_share_a_bar_where_ten_have_their_own(self) -> None:
        names = ("en", *(f"l{index}" for index in range(30)))
        plot = spread_of([Column("language", "train", names, (9000, *[5] * 30))]).balances[0]
        assert [plot.rows[0].label, plot.rows[-1].label] == ["en", "(21 more)"]
        assert len(plot.rows) == 11

    def test_a_feature_that_never_varies_is_said_and_not_drawn(self) -> None:
        spread = spread_of((Column("completion_tokens", "train", ("1",), (1890,)),))
        assert spread.histograms == ()
        assert spread.constants == ("Completion tokens: 1 in every row.",)

    def test_limits_of_a_feature_stand_in_its_histogram(self) -> None:
        asked = Expectation(LENGTHS, "prompt_tokens", "critical", False, "", "", low=5, high=14)
        spread = spread_of([lengths("0-9", "10-19")], (), [asked])
        plot = spread.histograms[0]
        assert [(mark.at, mark.text) for mark in plot.limits] == [(25, "5"), (75, "14")]
        assert plot.frame.description.endswith("Allowed: at least 5, at most 14.")

    def test_a_limit_beyond_all_rows_is_said_and_not_drawn(self) -> None:
        asked = Expectation(LENGTHS, "prompt_tokens", "critical", True, "", "", high=900)
        plot = spread_of([lengths("0-9", "10-19")], (), [asked]).histograms[0]
        assert plot.limits == ()
        assert plot.frame.description.endswith("Allowed: at most 900.")


class TestFaults:
    def test_faulty_rows_are_counted_by_reason_and_some_listed(self) -> None:
        rows = tuple(Quarantined("train", n, "too long" if n % 3 else "empty") for n in range(9))
        found = faults_of(rows, 4)
        assert [(c.reason, c.count) for c in found.causes] == [("too long", 6), ("empty", 3)]
        assert (len(found.listed), found.unlisted) == (4, 5)

    def test_unread_rows_are_told_by_reason_the_most_frequent_first(self) -> None:
        found = set_aside_causes((ReasonCount("no JSON", 2), ReasonCount("too long", 5)))
        assert [(cause.reason, cause.count) for cause in found] == [("too long", 5), ("no JSON", 2)]


class TestCleaning:
    def test_a_step_says_what_it_did(self) -> None:
        step = steps_of([Cleaned("redact_pii", 200, changed=3, dropped=1, note="[EMAIL] 3")])[0]
        assert (step.name, step.note, step.idle) == ("Redact pii", "[EMAIL] 3", False)
        assert step.did == "3 of 200 rows changed (1.5%), 1 of 200 rows dropped (0.5%)"

    def test_a_step_that_found_nothing_says_so(self) -> None:
        step = steps_of([Cleaned("drop_duplicates", 1)])[0]
        assert (step.did, step.idle) == ("nothing to do in 1 row", True)
