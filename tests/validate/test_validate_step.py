"""Validate's step with a scripted judge."""

from typing import Any

import msgspec
import pytest

from tests.fakes.judge import ScriptedJudge
from tests.fakes.rows import LABELS, row, splits
from wherry.contracts import Dataset, Row, Source, Split, ValidationReport, digest_bytes
from wherry.contracts.errors import SettingsError, ValidationError
from wherry.contracts.settings import read_settings
from wherry.validate.features import Table, features, table
from wherry.validate.settings import Rule, ValidateSettings
from wherry.validate.step import (
    Outcome,
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
BROKEN = Outcome(Rule("x"), False, "3 of 48 rows broke it", 3, (("train", 7), ("test", 2)))


def suite(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "demo", "expectations": list(expectations)}


def sound() -> Table:
    seen = []
    for split, ones in splits().items():
        seen += features(
            split, msgspec.convert(ones, list[Row]), LABELS, lambda texts: [3] * len(texts)
        )
    return table(seen)


def dataset(labels: tuple[str, ...] = LABELS) -> Dataset:
    digest = digest_bytes(b"data")
    split = Split("train", "train.jsonl", 30, digest)
    return Dataset("chat", (split,), digest, Source("dvc:.", "", "data", ""), labels)


def judged(judge: ScriptedJudge, *expectations: dict[str, Any], **more: Any) -> ValidationReport:
    settings = ValidateSettings(suite(MINIMUM, *expectations), **more)
    rules = rules_of(settings.suite, judge)
    return validate(sound(), dataset(), rules, judge, settings)


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
    ],
)
def test_a_suite_that_judges_nothing_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        rules_of(given, ScriptedJudge(unknown=("expect_magic",)))


def test_there_is_no_default_suite() -> None:
    with pytest.raises(SettingsError, match="suite"):
        read_settings(ValidateSettings, "")


def test_the_distributions_count_every_row_once() -> None:
    report = judged(ScriptedJudge(), bins=4)
    for name in ("prompt_tokens", "completion_tokens", "label"):
        of_name = {c.split: sum(c.counts) for c in report.columns if c.name == name}
        assert of_name == {"train": 30, "eval": 9, "test": 9}, name


def test_bins_share_their_edges_between_splits() -> None:
    seen = sound()
    seen["prompt_tokens"] = [4] * 30 + [11] * 9 + [9] * 9
    settings = ValidateSettings(suite(MINIMUM), bins=4)
    judge = ScriptedJudge()
    report = validate(seen, dataset(), rules_of(settings.suite, judge), judge, settings)
    columns = {c.split: c for c in report.columns if c.name == "prompt_tokens"}
    assert columns["train"].bins == columns["test"].bins == ("4-5", "6-7", "8-9", "10-11")
    assert columns["train"].counts == (30, 0, 0, 0)
    assert columns["eval"].counts == (0, 0, 0, 9)
    assert columns["test"].counts == (0, 0, 9, 0)


def test_a_text_that_slipped_in_as_a_label_is_not_shown() -> None:
    rows = splits()
    rows["train"].append(row(0, label="Jane Doe", id="odd"))
    seen = []
    for split, ones in rows.items():
        seen += features(
            split, msgspec.convert(ones, list[Row]), LABELS, lambda texts: [3] * len(texts)
        )
    settings = ValidateSettings(suite(MINIMUM))
    judge = ScriptedJudge()
    found = validate(
        table(seen),
        dataset((*LABELS, "Jane Doe")),
        rules_of(settings.suite, judge),
        judge,
        settings,
    )
    assert "Jane" not in found.to_json()
    train = next(c for c in found.columns if (c.name, c.split) == ("label", "train"))
    assert dict(zip(train.bins, train.counts, strict=True))["(others)"] == 1


def test_a_suite_has_one_identity_whatever_the_order_of_its_keys() -> None:
    assert suite_digest({"a": 1, "b": 2}) == suite_digest({"b": 2, "a": 1})
    assert suite_digest({"a": 1}) != suite_digest({"a": 2})


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


def test_a_report_survives_its_file() -> None:
    report = judged(ScriptedJudge({LENGTHS["type"]: BROKEN}), LENGTHS)
    assert ValidationReport.from_json(report.to_json()) == report
