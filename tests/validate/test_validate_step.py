"""Validate's step with a scripted judge."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.judge import ScriptedJudge
from wherry.contracts import ReasonCount, SetAside, Source, ValidationReport, digest_bytes
from wherry.contracts.errors import SettingsError, ValidationError
from wherry.contracts.settings import read_settings
from wherry.validate.features import FeatureTable, Storage
from wherry.validate.settings import Rule, ValidateSettings
from wherry.validate.step import (
    Outcome,
    columns_of,
    in_words,
    refuse_bad_data,
    rules_of,
    suite_digest,
    validate,
)

MINIMUM = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
LENGTHS = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "tokens", "max_value": 9},
    "notes": "Long rows are cut.",
}
SOURCE = Source("dvc:.", "", "data", "")
COLUMNS: dict[str, Storage] = {
    "tokens": "int", "line": "int", "split": "text", "label": "text", "language": "text",
    "id": "hash", "pii": "bool",
}  # fmt: skip
BROKEN = Outcome(Rule("x"), False, "3 of 48 rows broke it", 3, (("train", 7), ("test", 2)))


def of(**kwargs: Any) -> dict[str, Any]:
    return LENGTHS | {"kwargs": kwargs}


def where(condition: Any) -> dict[str, Any]:
    return of(column="tokens", max_value=9, row_condition=condition, condition_parser="pandas")


def matching(**own: Any) -> dict[str, Any]:
    return {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "label"} | own}


def ranged(quantiles: list[Any], limits: list[Any]) -> dict[str, Any]:
    ranges = {"quantiles": quantiles, "value_ranges": limits}
    kind = "expect_column_quantile_values_to_be_between"
    return {"type": kind, "kwargs": {"column": "tokens", "quantile_ranges": ranges}}


def valued(column: str, *values: Any) -> dict[str, Any]:
    kwargs = {"column": column, "value_set": [*values]}
    return {"type": "expect_column_values_to_not_be_in_set", "kwargs": kwargs}


def suite(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "demo", "expectations": list(expectations)}


def rules(given: dict[str, Any], judge: ScriptedJudge | None = None) -> tuple[Rule, ...]:
    return rules_of(given, judge or ScriptedJudge(), COLUMNS)


def judged(judge: ScriptedJudge, *expectations: dict[str, Any], **more: Any) -> ValidationReport:
    aside = more.pop("set_aside", ())
    settings = ValidateSettings(suite(MINIMUM, *expectations), **more)
    return validate(
        FeatureTable(Path("nowhere"), 48, {}),
        rules(settings.suite, judge),
        judge,
        settings,
        dataset_digest=digest_bytes(b"data"),
        source=SOURCE,
        set_aside=aside,
    )


def test_data_that_keeps_every_rule_passes() -> None:
    report = judged(ScriptedJudge(), LENGTHS)
    assert report.passed
    assert [e.type for e in report.expectations] == [MINIMUM["type"], LENGTHS["type"]]
    assert report.rows == 48
    refuse_bad_data(report, "report.json")


def test_a_critical_failure_is_told_with_what_was_observed_and_where_the_report_lies() -> None:
    report = judged(ScriptedJudge({LENGTHS["type"]: BROKEN}), LENGTHS)
    assert not report.passed
    with pytest.raises(ValidationError) as caught:
        refuse_bad_data(report, "/runs/1/report.json")
    told = str(caught.value)
    for part in (
        "1 of 2",
        LENGTHS["type"],
        "tokens",
        "at most 9",
        "3 of 48",
        "/runs/1/report.json",
    ):
        assert part in told


def test_a_warning_is_reported_and_stops_nothing() -> None:
    report = judged(ScriptedJudge({LENGTHS["type"]: BROKEN}), LENGTHS | {"severity": "warning"})
    assert report.passed
    assert [e.passed for e in report.expectations] == [True, False]
    assert report.failures == ()


def test_a_check_that_could_not_be_made_has_failed_whatever_it_says() -> None:
    faulty = Outcome(Rule("x"), True, "nothing", fault="The check ended with an error.")
    report = judged(ScriptedJudge({LENGTHS["type"]: faulty}), LENGTHS)
    assert not report.passed
    assert report.expectations[1].note == "Long rows are cut. The check ended with an error."


def test_bad_rows_are_listed_by_split_and_line_with_their_reasons() -> None:
    report = judged(ScriptedJudge({LENGTHS["type"]: BROKEN}), LENGTHS, LENGTHS)
    assert [(q.split, q.line) for q in report.quarantined] == [("train", 7), ("test", 2)]
    assert report.quarantined[0].reason == "; ".join(["tokens: expected at most 9"] * 2)
    assert report.expectations[1].unexpected_count == 3


def test_the_list_of_bad_rows_is_capped() -> None:
    many = Outcome(Rule("x"), False, "", 500, tuple(("train", n) for n in range(500)))
    report = judged(ScriptedJudge({LENGTHS["type"]: many}), LENGTHS, listed_rows=5)
    assert len(report.quarantined) == 5


def test_a_judge_that_loses_a_rule_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="2 rules went to the judge, 1 came back"):
        judged(ScriptedJudge(loses=1), LENGTHS)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"expectations": []}, "no critical row minimum"),
        ({}, "expectations"),
        (suite(LENGTHS), "no critical row minimum"),
        (suite(MINIMUM | {"severity": "warning"}), "no critical row minimum"),
        (suite({"type": MINIMUM["type"], "kwargs": {"min_value": 0}}), "no critical row minimum"),
        (suite({"type": MINIMUM["type"], "kwargs": {"max_value": 9}}), "no critical row minimum"),
        (suite(MINIMUM, {"type": "expect_magic"}), "expect_magic"),
        (suite(MINIMUM, LENGTHS | {"kwargs": {"column": "tokns"}}), "unknown column 'tokns'"),
        (suite(MINIMUM, LENGTHS | {"sevrity": "warning"}), "unknown field 'sevrity'"),
        (suite(MINIMUM, LENGTHS | {"severity": "fatal"}), "fatal"),
        (suite(MINIMUM) | {"expectatons": []}, "unknown field 'expectatons'"),
        (suite(MINIMUM, of(column="tokens", mostly=1.2)), "mostly must be in"),
        (suite(MINIMUM, of(column="tokens", mostly=0)), "mostly must be in"),
        (suite(MINIMUM, of(column="tokens", mostly=-1)), "mostly must be in"),
        (suite(MINIMUM, of(column="tokens", mostly=True)), "mostly must be in"),
        (suite(MINIMUM, of(column="tokens", mostly="0.9")), "mostly must be in .*, got '0.9'"),
        (suite(MINIMUM, of(column="tokens", mostly=float("nan"))), "mostly must be in"),
        (suite(MINIMUM, of(column="tokens", max_value=float("inf"))), "max_value must be finite"),
        (suite(MINIMUM, of(column="tokens", value_set=[float("nan")])), "value_set must be finite"),
        (suite(MINIMUM, of(column="tokens", value_set=[])), "value_set must not be empty"),
        (suite(MINIMUM, of(column=["tokens"], max_value=1)), "unknown|must name"),
        (suite(MINIMUM, of(column=7)), "column must name columns"),
        (suite(MINIMUM, of(column_A="tokens", column_B="tokns")), "unknown column 'tokns'"),
        (suite(MINIMUM, of(column_list=["tokens", "tokns"])), "unknown column 'tokns'"),
        (suite(MINIMUM, where("tokns > 1")), "unknown column 'tokns'"),
        (suite(MINIMUM, where("tokens > ")), "cannot be read"),
        (suite(MINIMUM, where("1 == 1")), "names no column"),
        (suite(MINIMUM, where("tokens > tokens.mean()")), "calls nothing but"),
        (suite(MINIMUM, where("@pd.io == split")), "cannot be read|has no"),
        (suite(MINIMUM, where("__import__('os').system('true') == split")), "calls nothing but"),
        (suite(MINIMUM, of(column="tokens", row_condition="tokens > 1")), "condition_parser"),
        (suite(MINIMUM, where({"column": "tokens"})), "row_condition must be a text"),
    ],
)
def test_a_suite_that_judges_nothing_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        rules(given, ScriptedJudge(unknown=("expect_magic",)))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (of(column="tokens"), "passes whatever the data is without min_value or max_value"),
        (of(column="tokens", min_value=None, strict_min=True), "passes whatever the data is"),
        (of(column="tokens", min_value=10, max_value=5), "min_value 10 is above max_value 5"),
        (of(column="tokens", min_value="10"), "min_value must be a number, got '10'"),
        (of(column="tokens", max_value=True), "max_value must be a number, got True"),
        (of(column="tokens", max_value=date(2026, 1, 1)), "max_value must be a number"),
        (of(column="tokens", max_value={"$PARAMETER": "most"}), "max_value must be a number"),
        (ranged([0.5], [[9, 3]]), "the low end 9 is above the high end 3"),
        (ranged([0.5], [[None, None]]), r"must be \[LOW, HIGH\]"),
        (ranged([0.5], [[1]]), r"must be \[LOW, HIGH\]"),
        (ranged([0.5, 0.9], [[1, 2]]), "value_ranges for each"),
        (ranged([1.5], [[1, 2]]), r"in \[0, 1\], got 1.5"),
        (valued("label", False, "yes"), 'label must be texts: quote each, such as "no", got False'),
        (valued("label", 1), "label must be texts"),
        (valued("pii", "true"), "pii must be values without quotes, got 'true'"),
        (valued("language", "en", "English"), "language must be codes such as 'en', got 'English'"),
        (LENGTHS | {"kwargs": {"column": "label", "max_value": 1, "regex": "("}}, "not compile"),
        (matching(), "passes whatever the data is without regex"),
        (matching(regex=""), "passes whatever the data is without regex"),
        (
            {
                "type": "expect_column_kl_divergence_to_be_less_than",
                "kwargs": {"column": "label", "threshold": None},
            },
            "passes whatever the data is without threshold",
        ),
    ],
)
def test_limits_that_nothing_can_break_or_keep_are_refused_before_any_row_is_read(
    rule: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        rules(suite(MINIMUM, rule))


def test_limits_that_mean_something_are_let_through() -> None:
    given = [
        of(column="tokens", min_value=5, max_value=5.0),
        ranged([0, 0.5, 1], [[None, 3], [1, None], [2, 2]]),
        valued("label", "no", "1"),
        valued("pii", True, 1),
    ]
    assert len(rules(suite(MINIMUM, *given))) == 5


def test_there_is_no_default_suite() -> None:
    with pytest.raises(SettingsError, match="suite"):
        read_settings(ValidateSettings, "")


def test_a_suite_has_one_identity_whatever_the_order_of_its_keys() -> None:
    assert suite_digest({"a": 1, "b": 2}) == suite_digest({"b": 2, "a": 1})
    assert suite_digest({"a": 1}) != suite_digest({"a": 2})


def test_a_date_that_a_team_notes_in_meta_is_no_crash_but_a_part_of_the_suite() -> None:
    noted = [suite(MINIMUM | {"meta": {"reviewed": date(2026, 11, day)}}) for day in (1, 2)]
    assert judged(ScriptedJudge(), noted[0]["expectations"][0]).passed
    assert suite_digest(noted[0]) != suite_digest(noted[1])


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"column": "tokens", "min_value": 1, "max_value": 1512}, "between 1 and 1,512"),
        ({"min_value": 21, "max_value": 21}, "21"),
        ({"min_value": 500}, "at least 500"),
        ({"max_value": 2, "mostly": 0.999}, "at most 2, in 99.9% of rows"),
        ({"value_set": [False]}, "false"),
        ({"value_set": ["a", "b"]}, "one of a, b"),
        (
            {"min_value": 3, "row_condition": 'split == "test"', "condition_parser": "pandas"},
            'at least 3, where split == "test"',
        ),
        (
            {"quantile_ranges": {"quantiles": [0.5], "value_ranges": [[None, 9]]}},
            "50% quantile at most 9",
        ),
        ({"regex": "^a"}, "regex ^a"),
    ],
)
def test_limits_are_told_in_words(kwargs: dict[str, Any], words: str) -> None:
    assert in_words(kwargs) == words


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("expect_column_values_to_be_in_set", "one of a, b"),
        ("expect_column_values_to_not_be_in_set", "none of a, b"),
        ("expect_column_distinct_values_to_contain_set", "all of a, b"),
        ("expect_column_distinct_values_to_equal_set", "exactly a, b"),
    ],
)
def test_a_report_says_what_a_set_of_values_is_for(kind: str, words: str) -> None:
    asked = {"type": kind, "kwargs": {"column": "label", "value_set": ["a", "b"]}}
    assert judged(ScriptedJudge(), asked).expectations[-1].expected == words


def test_a_report_survives_its_file() -> None:
    report = judged(ScriptedJudge({LENGTHS["type"]: BROKEN}), LENGTHS)
    assert ValidationReport.from_json(report.to_json()) == report


def test_rows_that_were_set_aside_are_counted_by_reason() -> None:
    aside = [SetAside("a", line, "no JSON" if line < 5 else "no UTF-8") for line in range(1, 8)]
    report = judged(ScriptedJudge(), set_aside=aside)
    assert report.set_aside == (ReasonCount("no JSON", 4), ReasonCount("no UTF-8", 3))
    assert report.source == SOURCE


def test_the_columns_of_a_suite_are_those_of_arguments_and_conditions() -> None:
    given = suite(
        MINIMUM,
        of(column_A="tokens", column_B="line", max_value=9),
        of(column_list=["id", "tokens"], max_value=9),
        where('split == "test" and not label.isnull()'),
    )
    asked = rules_of(given, ScriptedJudge(), COLUMNS)
    assert columns_of(asked) == ("tokens", "line", "id", "label", "split")
