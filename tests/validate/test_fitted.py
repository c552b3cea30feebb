"""A first suite, fitted to a sample of a team's data."""

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.contracts.errors import DataError
from wherry.rows.settings import Columns
from wherry.validate.features.columns import column_types
from wherry.validate.fitted.fit import Fitted, fit
from wherry.validate.fitted.observed import Observed, Spread
from wherry.validate.fitted.propose import Proposal, proposals
from wherry.validate.fitted.write import suite_text

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LABELS = ("ear", "eye", "skin")
TOPICS = (
    *("rash", "cough", "fever", "pain", "burn", "cramp", "bruise", "swelling", "itch", "chill"),
    *("sprain", "wound", "cyst", "ulcer", "spasm", "lump", "sore", "blister", "wart", "stye"),
)


def rows(count: int = 60, **others: Any) -> Iterator[dict[str, Any]]:
    for n in range(count):
        label = LABELS[n % 3]
        asked = f"Which part of a body has {TOPICS[n % 20]} number {n * 7919} {TOPICS[n // 20]}?"
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": label}]
        row = {"id": f"r{n}", "messages": turns, "label": label, "group": f"g{n}"}
        yield {**row, **{key: value(n) for key, value in others.items()}}


def write(path: Path, lines: Iterator[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def fitted(path: Path, **options: Any) -> Fitted:
    return fit({"train": path}, options.pop("kind", "chat"), Columns(), now=NOW, **options)


def rules(found: Fitted) -> list[Mapping[str, Any]]:
    return list(yaml.safe_load(found.text)["expectations"])


def rule(found: Fitted, column: str, part: str = "") -> Mapping[str, Any]:
    (one,) = [
        each
        for each in rules(found)
        if each["kwargs"].get("column") == column and part in each["type"]
    ]
    return one


def observed(**changed: Any) -> Observed:
    return Observed(**{"kind": "chat", "rows": 100, "splits": {"train": 100}, **changed})


def proposed(column: str, **changed: Any) -> Proposal:
    (one,) = [
        each for each in proposals(observed(**changed)) if each.kwargs.get("column") == column
    ]
    return one


def test_the_suite_is_yaml_whose_every_rule_has_a_reason(tmp_path: Path) -> None:
    found = fitted(write(tmp_path / "a.jsonl", rows()))
    assert len(rules(found)) == len(found.proposals) > 20
    for each in rules(found):
        assert set(each) == {"type", "kwargs", "severity", "notes"}
        assert each["notes"]
    known = column_types()
    assert {each["kwargs"]["column"] for each in rules(found)[1:]} <= set(known)


def test_every_rule_stands_below_a_comment_that_says_what_was_seen(tmp_path: Path) -> None:
    lines = fitted(write(tmp_path / "a.jsonl", rows())).text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("  - type")]
    assert all(lines[n - 1].startswith("  # ") for n in starts)
    assert max(map(len, lines)) <= 100


def test_the_same_sample_gives_the_same_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows())
    assert fitted(path).text == fitted(path).text


def test_no_text_of_the_data_but_labels_is_in_it(tmp_path: Path) -> None:
    text = fitted(write(tmp_path / "a.jsonl", rows())).text
    assert "Which part" not in text
    assert not [topic for topic in TOPICS if topic in text]
    assert rule(fitted(tmp_path / "a.jsonl"), "label", "in_set")["kwargs"]["value_set"] == [*LABELS]


def test_a_name_that_no_row_has_a_value_for_is_refused(tmp_path: Path) -> None:
    """Else the suite would have no rule on labels, and nobody would notice."""
    files = {"train": write(tmp_path / "a.jsonl", rows(topic=lambda n: "eye"))}
    assert fit(files, "chat", Columns(label="topic"), now=NOW).seen.label_count == 1
    with pytest.raises(DataError, match="No row has a value for 'topik'") as refused:
        fit(files, "chat", Columns(label="topik"), now=NOW)
    assert "--columns" in refused.value.remedy


def test_labels_that_may_be_private_are_counted_and_not_written(tmp_path: Path) -> None:
    mails = ["ann@example.org", "bob@example.org", "ear"]
    path = write(tmp_path / "a.jsonl", rows(label=lambda n: mails[n % 3]))
    found = fitted(path)
    assert "@" not in found.text
    assert rule(found, "label", "unique_value")["kwargs"]["max_value"] == 4
    assert "2 of them look like personal data" in " ".join(found.text.replace("#", "").split())


@pytest.mark.parametrize("odd", ["\x1b[31mred", "x" * 65, "line\nbreak", "turn\u202eround"])
def test_labels_that_are_no_names_are_not_written(odd: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows(label=lambda n: odd if n % 2 else "ear"))
    text = fitted(path).text
    assert not {"\x1b", "\u202e"} & set(text)
    assert "xxxx" not in text
    assert "value_set: [ear" not in text


def test_labels_of_any_script_are_written_as_people_write_them(tmp_path: Path) -> None:
    labels = ["می\u200cخواهم", "क्\u200dष", "👩\u200d⚕️", "عربي", "two words"]
    path = write(tmp_path / "a.jsonl", rows(80, label=lambda n: labels[n % 5]))
    found = fitted(path)
    assert rule(found, "label", "in_set")["kwargs"]["value_set"] == sorted(labels)
    assert all(label in found.text for label in labels)


def test_labels_that_yaml_would_read_as_something_else_stay_texts(tmp_path: Path) -> None:
    odd = ["no", "1", "null", "a: b", "- c", "'d", "{e}", "#f"]
    path = write(tmp_path / "a.jsonl", rows(80, label=lambda n: odd[n % 8]))
    assert rule(fitted(path), "label", "in_set")["kwargs"]["value_set"] == sorted(odd)


def test_personal_data_that_is_there_stays_forbidden_and_is_counted(tmp_path: Path) -> None:
    def turns(n: int) -> list[dict[str, str]]:
        mail = " Write to ann@example.org." if n % 20 == 3 else ""
        asked = f"Which part has {TOPICS[n % 20]} number {n * 7919}?{mail}"
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": "ear"}]

    found = fitted(write(tmp_path / "a.jsonl", rows(messages=turns)))
    assert rule(found, "pii_email")["severity"] == "critical"
    assert "3 rows broke this today." in found.text
    assert "Today's data breaks 1 critical rule: pii_email." in found.text
    assert "@" not in found.text
    assert [each.kwargs["column"] for each in found.broken if each.severity == "critical"] == [
        "pii_email"
    ]


def test_a_fault_that_a_team_may_live_with_is_a_warning_until_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, rows())
    path.write_text(path.read_text() + path.read_text().splitlines()[0].replace("r0", "r61") + "\n")
    found = fitted(path)
    assert rule(found, "duplicate")["severity"] == "warning"
    assert rule(found, "contradicted")["severity"] == "critical"
    assert ("duplicate", 1) in [(each.kwargs["column"], each.broken) for each in found.broken]


def test_splits_are_asked_for_apart_and_not_to_overlap(tmp_path: Path) -> None:
    files = {name: write(tmp_path / f"{name}.jsonl", rows(30)) for name in ("train", "test")}
    found = fit(files, "chat", Columns())
    conditions = [each["kwargs"].get("row_condition") for each in rules(found)[:3]]
    assert conditions == [None, 'split == "train"', 'split == "test"']
    assert rule(found, "prompt_in_other_split")["severity"] == "critical"
    alone = [each["kwargs"].get("column") for each in rules(fitted(files["train"]))]
    assert not [name for name in alone if name and name.endswith("_other_split")]


def test_freshness_is_asked_for_where_rows_have_a_time(tmp_path: Path) -> None:
    times = write(tmp_path / "a.jsonl", rows(time=lambda n: f"2026-11-{n % 19 + 1:02}T00:00:00Z"))
    asked = rule(fitted(times), "age_days", "min")["kwargs"]
    # A row of the far future would be the newest for ever.
    assert (asked["min_value"], asked["max_value"]) == (-1, 7)
    without = fitted(write(tmp_path / "b.jsonl", rows()))
    assert not [each for each in rules(without) if each["kwargs"].get("column") == "age_days"]


def test_only_the_beginning_of_long_files_is_read_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows(60)).encode()))
    found = fitted(path, sample_rows=25)
    assert (found.seen.rows, found.seen.whole) == (25, False)
    assert "the first 25 chat rows" in found.text
    assert fitted(path, sample_rows=60).seen.whole


def test_rows_that_cannot_be_read_are_counted_and_in_no_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows())
    path.write_text(path.read_text() + "no row\n[1]\n")
    found = fitted(path)
    assert (found.seen.rows, found.seen.bad) == (60, 2)


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        ("", "chat", "there is no row."),
        ("{}\n", "chat", r"`prompt` is missing \(1 row\)"),
        (json.dumps(next(rows(1))) + "\n", "preference", "`rejected` is missing"),
    ],
)
def test_a_file_without_any_row_of_the_kind_is_refused(
    content: str, kind: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError, match=told):
        fitted(tmp_path / "a.jsonl", kind=kind)


def test_plain_text_is_asked_for_no_turns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        ({"id": f"{n}", "text": f"Text {n} of {TOPICS[n]}."} for n in range(20)),
    )
    columns = {each["kwargs"].get("column") for each in rules(fitted(path, kind="text"))}
    assert not columns & {"prompt", "roles_in_order", "prompt_characters", "label"}
    assert {"completion", "completion_characters", "duplicate"} <= columns


class TestLimits:
    @pytest.mark.parametrize(
        ("rows", "least"), [(1, 1), (7, 5), (100, 80), (2310, 1800), (1_234_567, 980_000)]
    )
    def test_the_row_minimum_is_round_and_below_what_was_there(self, rows: int, least: int) -> None:
        first = proposals(observed(rows=rows))[0]
        assert first.kwargs == {"min_value": least}
        assert first.severity == "critical"

    def test_lengths_have_a_margin_above_the_longest(self) -> None:
        asked = [
            each
            for each in proposals(observed(spreads={"prompt_tokens": Spread(5, 20, 51, 58)}))
            if each.kwargs.get("column") == "prompt_tokens"
        ]
        assert asked[0].kwargs == {"column": "prompt_tokens", "min_value": 1, "max_value": 73}
        assert asked[0].severity == "critical"
        assert asked[0].seen.startswith("There were 5 to 58, in 99% of rows at most 51;")
        assert asked[1].kwargs["quantile_ranges"]["value_ranges"] == [[10, 40]]

    def test_an_empty_length_is_allowed_where_there_is_one(self) -> None:
        (asked, _) = [
            each
            for each in proposals(observed(spreads={"prompt_tokens": Spread(0, 20, 51, 58)}))
            if each.kwargs.get("column") == "prompt_tokens"
        ]
        assert asked.kwargs["min_value"] == 0

    def test_a_column_that_hardly_any_row_fills_is_not_asked_for(self) -> None:
        columns = [each.kwargs.get("column") for each in proposals(observed(nulls={"group": 99}))]
        assert "group" not in columns

    def test_a_value_that_some_rows_lack_is_a_warning(self) -> None:
        one = proposed("group", nulls={"group": 2})
        assert (one.severity, one.broken, one.seen) == ("warning", 2, "2 rows had none today.")

    def test_many_labels_are_counted(self) -> None:
        asked = [
            each
            for each in proposals(observed(label_count=400, nulls={"label": 0}))
            if each.kwargs.get("column") == "label"
        ]
        assert asked[1].kwargs == {"column": "label", "min_value": 1, "max_value": 500}
        assert "Too many to list" in asked[1].seen

    def test_rare_languages_are_room_in_the_share_and_not_in_the_list(self) -> None:
        one = proposed("language", languages={"en": 90, "de": 6, "fr": 2, "und": 2})
        assert one.kwargs == {
            "column": "language",
            "value_set": ["en", "de", "und"],
            "mostly": 0.96,
        }

    def test_a_label_set_is_not_asked_for_of_free_answers(self) -> None:
        free = observed(label_count=0, nulls={"label": 100})
        assert "label" not in [each.kwargs.get("column") for each in proposals(free)]


names = st.text(max_size=30)


@given(
    labels=st.lists(names.filter(str.isprintable), unique=True, max_size=8),
    splits=st.dictionaries(names.filter(bool), st.integers(1, 10**6), min_size=1, max_size=3),
    name=names,
    numbers=st.lists(st.floats(0, 1e6), min_size=4, max_size=4),
)
@settings(max_examples=15, deadline=None)
def test_whatever_was_seen_the_suite_is_yaml_that_says_the_same(
    labels: list[str], splits: dict[str, int], name: str, numbers: list[float]
) -> None:
    spread = Spread(*sorted(numbers))
    seen = observed(
        splits=splits,
        labels=tuple(sorted(labels)),
        label_count=len(labels),
        nulls={"label": 0},
        spreads={"prompt_tokens": spread, "label_balance": spread, "age_days": spread},
        flagged={"pii_email": 3, "garbled": 0},
        languages={"en": 5},
    )
    asked = proposals(seen)
    read = yaml.safe_load(suite_text(name, seen, asked))
    assert read["name"] == name
    assert [each["kwargs"] for each in read["expectations"]] == [each.kwargs for each in asked]
    assert [each["notes"] for each in read["expectations"]] == [each.notes for each in asked]
