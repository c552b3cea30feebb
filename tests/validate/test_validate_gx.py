"""The whole stage on real Great Expectations: each sort of bad data is stopped, and why is told."""

import copy
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.fakes.feature_tables import table_from
from tests.fakes.rows import chat, row, splits, write
from wherry.contracts import (
    Dataset,
    Manifest,
    ReasonCount,
    Source,
    Split,
    ValidationReport,
    digest_file,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import (
    DataError,
    DigestError,
    ManifestError,
    MissingError,
    SettingsError,
    ValidationError,
)
from wherry.contracts.settings import read_settings
from wherry.validate.features.columns import column_types
from wherry.validate.run import run
from wherry.validate.settings import Rule, ValidateSettings
from wherry.validate.step import Judge, rules_of

pytestmark = pytest.mark.local

SUITE: dict[str, Any] = yaml.safe_load(Path("pipelines/settings/suite.yaml").read_text())
"""The demo's own."""
Found = dict[str, list[dict[str, Any]]]


def judge() -> Judge:
    from wherry.validate.adapters.gx import GreatExpectations  # seconds: not while collecting

    return GreatExpectations()


def suite() -> dict[str, Any]:
    """The demo's suite for 30 + 9 + 9 rows of three labels, where a token is a word."""
    given = copy.deepcopy(SUITE)
    for rule in given["expectations"]:
        kwargs = rule["kwargs"]
        for limit in {"min_value", "max_value"} & set(kwargs) if "count" in rule["type"] else ():
            kwargs[limit] = 3 if "column" in kwargs else 9 if "row_condition" in kwargs else 40
        if "quantile_ranges" in kwargs:
            kwargs["quantile_ranges"]["value_ranges"] = [[8, 32], [8, 64]]
    return given


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model's folder as far as this stage reads it: one token a word."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(4)  # as some tokenizer files ask for
    tokenizer.save(str(folder / "tokenizer.json"))
    Manifest.seal(folder)
    return folder


def sealed(folder: Path, found: Found) -> Path:
    """A data set's folder as ingest leaves it."""
    write(folder, found)
    labels = tuple(sorted({one["label"] for one in found["train"]} - {""}))
    described = Dataset(
        kind="chat",
        splits=tuple(
            Split(name, f"{name}.jsonl", len(ones), digest_file(folder / f"{name}.jsonl"))
            for name, ones in found.items()
        ),
        digest=Manifest.of_folder(folder).digest,
        source=Source("dvc:.", "", "data", ""),
        labels=labels,
    )
    described.write(folder / DATASET_NAME)
    Manifest.seal(folder)
    return folder


@pytest.fixture
def judged(tmp_path: Path, base: Path) -> Callable[..., ValidationReport]:
    """Runs the stage on rows; gives the report whatever the verdict, and what was raised."""

    def _judged(found: Found, given: dict[str, Any] | None = None) -> ValidationReport:
        report = tmp_path / "report.json"
        settings = json.dumps({"suite": given or suite()})
        try:
            run(sealed(tmp_path / "data", found), base, report, settings)
        except ValidationError as error:
            assert not ValidationReport.read(report).passed
            assert str(report) in error.remedy
        else:
            assert ValidationReport.read(report).passed
        return ValidationReport.read(report)

    return _judged


def failed(report: ValidationReport) -> set[tuple[str, str]]:
    """Column (or type) and severity of what failed."""
    return {(e.column or e.type, e.severity) for e in report.expectations if not e.passed}


def with_row(odd: dict[str, Any], split: str = "train") -> Found:
    found = splits()
    found[split].append(odd)
    return found


def test_sound_data_passes_the_demos_suite(judged: Callable[..., ValidationReport]) -> None:
    report = judged(splits())
    assert report.passed
    assert failed(report) == set()
    assert len(report.expectations) == len(SUITE["expectations"])
    assert report.quarantined == ()


LONG = chat(("system", "S"), ("user", "word " * 200), ("assistant", "eye"))
WRONG_ROLES = chat(("user", "Sore eye of the left side"), ("assistant", "eye"))
LONG_ANSWER = chat(("system", "S"), ("user", "a sore left eye"), ("assistant", "eye " * 9))
GARBLED = chat(("system", "S"), ("user", "a sore \x01 left eye"), ("assistant", "eye"))
COPY = row(0)["messages"]
OTHER_ANSWER = [*COPY[:2], {"role": "assistant", "content": "skin"}]
EMPTY = chat(("system", "Name the chapter of it"), ("user", " "), ("assistant", "eye"))
SILENT = chat(("system", "S"), ("user", "a sore left eye"), ("assistant", ""))

BAD_ROWS = [
    ("an empty question", row(90, messages=EMPTY), "train", "prompt", "critical"),
    ("an empty answer", row(90, messages=SILENT), "train", "completion", "critical"),
    ("no label", row(90, label=""), "train", "label", "critical"),
    ("no group", row(90, group=""), "train", "group", "critical"),
    ("wrong roles", row(90, messages=WRONG_ROLES), "train", "roles", "critical"),
    ("a long question", row(90, messages=LONG), "train", "prompt_tokens", "critical"),
    ("a long answer", row(90, messages=LONG_ANSWER), "train", "completion_tokens", "critical"),
    ("an id twice", row(90, id="train-0"), "train", "id", "critical"),
    ("a question twice", row(0, id="x", messages=COPY), "train", "duplicate", "critical"),
    (
        "a contradiction",
        row(2, id="x", label="skin", messages=OTHER_ANSWER),
        "train",
        "contradicted",
        "critical",
    ),
    ("a misspelt label", row(90, label="eyes"), "train", "label", "critical"),
    ("a label that train lacks", row(90, "test", label="toe"), "test", "label_known", "critical"),
    ("another answer than the label", row(90, label="skin"), "train", "label_answered", "critical"),
    (
        "a trained question in test",
        row(0, "test", messages=COPY),
        "test",
        "prompt_in_other_split",
        "critical",
    ),
    (
        "a trained group in test",
        row(90, "test", group="train0"),
        "test",
        "group_in_other_split",
        "critical",
    ),
    ("garbled text", row(90, messages=GARBLED), "train", "garbled", "warning"),
]


@pytest.mark.parametrize(
    ("odd", "split", "column", "severity"),
    [pytest.param(*case[1:], id=case[0]) for case in BAD_ROWS],
)
def test_one_bad_row_is_found_and_listed(
    judged: Callable[..., ValidationReport],
    odd: dict[str, Any],
    split: str,
    column: str,
    severity: str,
) -> None:
    report = judged(with_row(odd, split))
    assert (column, severity) in failed(report)
    assert report.passed == (severity == "warning")
    line = len(splits()[split]) + 1
    if column != "label" or not odd["label"]:
        reasons = [q.reason for q in report.quarantined if (q.split, q.line) == (split, line)]
        assert [reason for reason in reasons if column in reason]


def test_an_unbalanced_label_is_found(judged: Callable[..., ValidationReport]) -> None:
    found = splits()
    found["train"] += [row(3 * n, id=f"more-{n}", group=f"more{n}") for n in range(40, 120)]
    assert ("label_balance", "critical") in failed(judged(found))


def test_too_few_rows_in_one_split_are_found(judged: Callable[..., ValidationReport]) -> None:
    report = judged(splits(train=60, held_out=9) | {"test": splits()["test"][:6]})
    (rows,) = [e for e in report.failures if "row_count" in e.type]
    assert rows.expected == 'at least 9, where split == "test"'
    assert rows.observed == "6"


def test_a_data_set_without_rows_fails_every_expectation(
    judged: Callable[..., ValidationReport],
) -> None:
    report = judged({"train": [], "eval": [], "test": []})
    assert not any(e.passed for e in report.expectations)
    assert all("There is no row to check." in e.note for e in report.expectations)


def test_a_failure_names_expectation_limit_observation_and_report(
    tmp_path: Path, base: Path
) -> None:
    data = sealed(tmp_path / "data", with_row(row(90, messages=LONG)))
    with pytest.raises(ValidationError) as caught:
        run(data, base, tmp_path / "report.json", json.dumps({"suite": suite()}))
    told = str(caught.value)
    for part in ("prompt_tokens", "between 4 and 96", "1 of 49 rows", "report.json"):
        assert part in told


def test_no_text_of_the_data_reaches_the_report(judged: Callable[..., ValidationReport]) -> None:
    private = "JaneDoe5550100"
    bad = [
        row(90, id=private, group=private),
        row(91, id=private, label=private),
        row(92, messages=chat(("user", private), ("assistant", private))),
        row(
            93, messages=chat(("system", private), ("user", f"{private} " * 99), ("assistant", ""))
        ),
    ]
    found = splits()
    found["train"] += bad
    report = judged(found)
    assert not report.passed
    assert private not in report.to_json()
    assert private.casefold() not in report.to_json()


def outcome(judged: Callable[..., ValidationReport], rule: dict[str, Any]) -> Any:
    """What becomes of one more expectation on sound data."""
    given = suite()
    given["expectations"].append(rule)
    return judged(splits(), given).expectations[-1]


def test_an_expectation_whose_condition_selects_nothing_has_failed(
    judged: Callable[..., ValidationReport],
) -> None:
    """Great Expectations itself says success."""
    kwargs = {
        "column": "tokens",
        "max_value": 1,
        "row_condition": 'split == "trian"',
        "condition_parser": "pandas",
    }
    found = outcome(judged, {"type": "expect_column_values_to_be_between", "kwargs": kwargs})
    assert not found.passed
    assert "selects no row" in found.note


def test_an_expectation_on_an_empty_column_has_failed(
    judged: Callable[..., ValidationReport],
) -> None:
    """Great Expectations itself says success."""
    found = splits()
    for ones in found.values():
        for one in ones:
            one["label"] = ""
    given = {
        "expectations": [
            {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
            {
                "type": "expect_column_values_to_be_in_set",
                "kwargs": {"column": "label", "value_set": ["eye"]},
            },
        ]
    }
    last = judged(found, given).expectations[-1]
    assert not last.passed
    assert "label has no value" in last.note


def test_a_check_that_ends_with_an_exception_has_failed(
    judged: Callable[..., ValidationReport],
) -> None:
    kwargs = {"column": "split", "min_value": 3}
    found = outcome(judged, {"type": "expect_column_mean_to_be_between", "kwargs": kwargs})
    assert not found.passed
    assert "ended with" in found.note
    assert "split" in found.note
    assert found.observed == "nothing"


def test_a_quantile_expectation_passes_and_fails(judged: Callable[..., ValidationReport]) -> None:
    """Its result breaks Great Expectations' own checkpoints."""

    def quantile(high: int) -> dict[str, Any]:
        ranges = {"quantiles": [0.5], "value_ranges": [[1, high]]}
        return {
            "type": "expect_column_quantile_values_to_be_between",
            "kwargs": {"column": "prompt_tokens", "quantile_ranges": ranges},
        }

    assert outcome(judged, quantile(50)).passed
    assert not outcome(judged, quantile(2)).passed


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"type": "expect_nonsense", "kwargs": {}}, "expect_nonsense"),
        (
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "tokens", "mx": 3}},
            "mx",
        ),
        ({"type": "expect_column_values_to_be_between", "kwargs": {"column": "tokens"}}, "None"),
    ],
)
def test_great_expectations_would_drop_what_is_refused_here(
    rule: dict[str, Any], reason: str
) -> None:
    given = suite()
    given["expectations"].append(rule)
    with pytest.raises(SettingsError, match=f"Expectation {len(given['expectations'])}.*{reason}"):
        rules_of(given, judge(), column_types())


def test_two_equal_expectations_give_two_results(judged: Callable[..., ValidationReport]) -> None:
    given = suite()
    given["expectations"] *= 2
    assert len(judged(splits(), given).expectations) == len(given["expectations"])


def test_large_hashes_stay_apart(tmp_path: Path) -> None:
    """As floats these two would be one, and a unique column would not be."""
    table = table_from(tmp_path, {"id": [2**62, 2**62 + 1, None]}, {"id": "hash"})
    rule = read_settings(
        Rule, {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}
    )
    (found,) = judge().judge(table, [rule], 10)
    assert found.passed


def test_a_changed_file_or_tokenizer_is_refused(tmp_path: Path, base: Path) -> None:
    settings = json.dumps({"suite": suite()})
    data = sealed(tmp_path / "data", splits())
    (data / "test.jsonl").write_bytes(b"")
    with pytest.raises(DigestError, match=r"test\.jsonl"):
        run(data, base, tmp_path / "report.json", settings)
    (data / "manifest.json").unlink()
    with pytest.raises(ManifestError):
        run(data, base, tmp_path / "report.json", settings)
    other = tmp_path / "base"
    other.mkdir()
    with pytest.raises(MissingError, match=r"tokenizer\.json"):
        run(data, other, tmp_path / "report.json", settings)
    (other / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes() + b" ")
    (other / "manifest.json").write_bytes((base / "manifest.json").read_bytes())
    with pytest.raises(DigestError, match=r"tokenizer\.json"):
        run(data, other, tmp_path / "report.json", settings)
    assert not (tmp_path / "report.json").exists()


def test_tokens_are_counted_whole(base: Path) -> None:
    from wherry.validate.adapters.tokens import TokenCounter

    counted = TokenCounter(base / "tokenizer.json")(["one two three four five six", "", "one"])
    assert counted == [6, 0, 1]


def test_the_demos_suite_reads_as_settings() -> None:
    settings = read_settings(ValidateSettings, json.dumps({"suite": SUITE}))
    assert len(rules_of(settings.suite, judge(), column_types())) == len(SUITE["expectations"])


def test_2500_rows_take_less_than_15_seconds_from_a_cold_start(tmp_path: Path, base: Path) -> None:
    data = sealed(tmp_path / "data", splits(train=1899, held_out=300))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "wherry.validate", "--dataset", str(data)),
            *("--base", str(base), "--report", str(tmp_path / "report.json")),
            *("--settings", json.dumps({"suite": suite()})),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert "2,499 rows" in done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of processor time: the clock would also measure what else the machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15


def test_the_next_report_says_what_changed_since_the_last_that_passed(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    (tmp_path / ".wherry").mkdir()
    settings = json.dumps({"suite": suite()})
    reports = [tmp_path / f"{number}.json" for number in range(3)]
    run(sealed(tmp_path / "a", splits()), base, reports[0], settings)
    with pytest.raises(ValidationError):
        run(sealed(tmp_path / "b", with_row(row(90, group=""))), base, reports[1], settings)
    run(sealed(tmp_path / "c", splits(train=33)), base, reports[2], settings)
    first, refused, third = map(ValidationReport.read, reports)
    assert first.since is None
    assert refused.since is not None
    assert third.since is not None
    assert third.since.dataset_digest == first.dataset_digest
    assert ("rows of train", "30", "33") in [
        (change.what, change.before, change.now) for change in third.since.changes
    ]


def test_a_workspace_without_state_keeps_and_needs_no_report(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    report = tmp_path / "report.json"
    run(sealed(tmp_path / "a", splits()), base, report, json.dumps({"suite": suite()}))
    assert ValidationReport.read(report).since is None
    assert not (tmp_path / ".wherry").exists()


def test_the_page_and_the_quarantine_are_written_before_a_refusal(
    tmp_path: Path, base: Path
) -> None:
    data = sealed(tmp_path / "data", with_row(row(90, group="")))
    (data / "manifest.json").unlink()
    (data / "quarantine.jsonl").write_text(
        '{"file": "raw.csv", "line": 7, "reason": "no answer"}\n' * 2
    )
    Manifest.seal(data)
    report, page = tmp_path / "report.json", tmp_path / "page.html"
    with pytest.raises(ValidationError):
        run(data, base, report, json.dumps({"suite": suite()}), page)
    assert ValidationReport.read(report).set_aside == (ReasonCount("no answer", 2),)
    assert "no answer" in page.read_text()


def test_a_row_that_cannot_be_read_stops_the_run_with_its_line(tmp_path: Path, base: Path) -> None:
    data = sealed(tmp_path / "data", splits())
    with (data / "test.jsonl").open("ab") as file:
        file.write(b"{\n")
    (data / "manifest.json").unlink()
    Manifest.seal(data)
    with pytest.raises(DataError, match=r"test\.jsonl, line 10"):
        run(data, base, tmp_path / "report.json", json.dumps({"suite": suite()}))


def test_rules_on_the_form_of_the_table_and_in_sql_are_refused() -> None:
    for kind, kwargs in (
        ("expect_table_columns_to_match_set", {"column_set": ["id"]}),
        ("expect_column_to_exist", {"column": "id"}),
        ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT 1"}),
        (
            "expect_column_values_to_not_be_null",
            {"column": "id", "result_format": {"result_format": "BOOLEAN_ONLY"}},
        ),
        ("expect_column_values_to_not_be_null", {"column": "id", "catch_exceptions": False}),
    ):
        given = suite()
        given["expectations"].append({"type": kind, "kwargs": kwargs})
        with pytest.raises(SettingsError, match=kind):
            rules_of(given, judge(), column_types())


def test_an_expectation_that_is_not_great_expectations_own_is_refused() -> None:
    """Whoever has code in this process could register one under any name."""
    from great_expectations.expectations import expectation

    class ExpectNothing(expectation.BatchExpectation):
        def _validate(self, **_: object) -> dict[str, bool]:
            return {"success": True}

    given = suite()
    given["expectations"].append({"type": "expect_nothing", "kwargs": {}})
    with pytest.raises(SettingsError, match="none of Great Expectations' own"):
        rules_of(given, judge(), column_types())


def test_a_column_that_was_not_measured_fails_its_checks(tmp_path: Path) -> None:
    table = table_from(tmp_path, {"tokens": [1]}, {"tokens": "int"})
    rule = Rule("expect_column_values_to_not_be_null", {"column": "label"})
    (found,) = judge().judge(table, [rule], 10)
    assert not found.passed
    assert found.fault == "The column label was not measured."


def test_a_crash_of_great_expectations_fails_its_rule_and_no_other(
    judged: Callable[..., ValidationReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    from great_expectations.datasource.fluent.interfaces import Batch

    plain = Batch.validate

    def crash(self: Batch, suite: Any, **more: Any) -> Any:
        if any(one.expectation_type.endswith("_stdev_to_be_between") for one in suite.expectations):
            raise RuntimeError("Jane Doe")
        return plain(self, suite, **more)

    monkeypatch.setattr(Batch, "validate", crash)
    given = suite()
    for kind in ("mean", "stdev"):
        kwargs = {"column": "tokens", "min_value": 0}
        given["expectations"].append(
            {"type": f"expect_column_{kind}_to_be_between", "kwargs": kwargs}
        )
    report = judged(splits(), given)
    assert [e.passed for e in report.expectations[-2:]] == [True, False]
    assert "gave no result" in report.expectations[-1].note
    assert "Jane" not in report.to_json()
