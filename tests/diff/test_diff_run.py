"""Two versions of data on disk, compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.rows import chat, lines, row, rows, splits, write
from wherry.contracts import Manifest
from wherry.contracts.errors import DigestError
from wherry.diff.run import run as compare
from wherry.diff.step import DataDiff, SplitRows
from wherry.ingest.run import run as ingest

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    return tmp_path


def version(place: Path, name: str, found: Rows, **settings: Any) -> Path:
    write(place / f"{name}-data", found)
    chosen = json.dumps({"path": ".", "splits": sorted(found), **settings})
    ingest(place / name, f"file:{name}-data", settings=chosen)
    return place / name


def difference(place: Path, before: Rows, after: Rows, **settings: Any) -> DataDiff:
    versions = version(place, "before", before), version(place, "after", after)
    compare(*versions, place / "diff.json", json.dumps(settings))
    return DataDiff.read(place / "diff.json")


def of(found: DataDiff, split: str) -> SplitRows:
    return next(one for one in found.rows if one.split == split)


def test_the_same_data_has_no_difference(place: Path) -> None:
    found = difference(place, splits(), splits())
    assert found.same
    assert {shift.distance for shift in (*found.lengths, *found.shares)} == {0}
    assert [one.before for one in found.rows] == [30, 9, 9]


def test_the_order_of_rows_is_no_difference(place: Path) -> None:
    turned = {name: found[::-1] for name, found in splits().items()}
    assert difference(place, splits(), turned).same


def test_rows_are_known_by_their_ids(place: Path) -> None:
    before, after = splits(), splits()
    after["train"] = [*after["train"][5:], *rows(40)[33:]]
    after["train"][0] = row(5, label="eye", group="train5")
    after["test"][0] = row(0, "test", group="another")
    train, test = (of(difference(place, before, after), name) for name in ("train", "test"))
    assert (train.added, train.removed, train.changed, train.moved_in) == (7, 5, 1, 0)
    assert (train.before, train.after) == (30, 32)
    assert (test.added, test.removed, test.changed) == (0, 0, 1)


def test_a_row_that_moved_to_another_split_is_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = splits(), splits()
    after["test"].append(after["train"].pop())
    found = difference(place, before, after)
    assert of(found, "test").moved_in == 1
    assert of(found, "train").moved_in == 0
    assert (of(found, "test").added, of(found, "train").removed) == (0, 0)
    assert "0 added, 0 removed, 0 changed, 1 moved" in capsys.readouterr().err


def test_an_id_that_stands_twice_names_nobody(place: Path) -> None:
    before: Rows = {"train": [row(1), row(2, id="same"), row(3, id="same"), row(3, id="same")]}
    after: Rows = {"train": [row(1), row(4, id="same"), row(3, id="same")]}
    train = of(difference(place, before, after), "train")
    assert (train.added, train.removed, train.changed) == (1, 2, 0)


def test_rows_without_an_id_are_known_by_their_content(place: Path) -> None:
    own = [{"prompt": f"Why {n}?", "completion": "So."} for n in range(9)]
    before: Rows = {"train": own[:6]}
    after: Rows = {"train": [{**own[0], "completion": "No."}, *own[1:8]]}
    versions = [
        version(place, name, found, kind="instruction", columns={"prompt": "prompt"})
        for name, found in (("before", before), ("after", after))
    ]
    compare(*versions, place / "diff.json")
    train = of(DataDiff.read(place / "diff.json"), "train")
    assert (train.added, train.removed, train.changed) == (3, 1, 0)


def test_shifts_of_lengths_labels_and_languages_are_measured(place: Path) -> None:
    german = "Der Patient klagt seit gestern über starke Schmerzen im linken Knie."
    english = "The patient has complained of severe pain in the left knee since yesterday."

    def asked(texts: list[str], label: str) -> list[dict[str, Any]]:
        return [
            row(n, label=label, messages=chat(("user", f"{text} {n}"), ("assistant", label)))
            for n, text in enumerate(texts)
        ]

    before: Rows = {"train": asked([english] * 20, "knee")}
    after: Rows = {"train": asked([english] * 10 + [german] * 10, "knees")}
    found = difference(place, before, after)
    lengths = {shift.feature: shift for shift in found.lengths}
    assert lengths["prompt_characters"].distance == pytest.approx(0.5, abs=0.05)
    assert lengths["completion_characters"].distance == 1
    shares = {shift.feature: shift for shift in found.shares}
    assert shares["label"].distance == 1
    assert shares["language"].distance == pytest.approx(0.5)
    assert {share.name for share in shares["language"].shares} == {"en", "de"}
    assert "Patient" not in (place / "diff.json").read_text()


def test_a_label_that_may_be_private_is_counted_and_not_named(place: Path) -> None:
    found = splits()
    for one in found["train"][:10]:
        one["label"] = "ann@example.org"
    told = difference(place, splits(), found)
    assert "@" not in told.to_json()
    shares = next(each.shares for each in told.shares if each.feature == "label")
    assert "(others)" in {share.name for share in shares}
    assert sum(share.after for share in shares) == pytest.approx(1)


def test_a_shift_between_labels_that_are_not_named_is_measured_all_the_same(place: Path) -> None:
    found, moved = splits(), splits()
    for one in found["train"]:
        one["label"] = "ann@example.org"
    for one in moved["train"]:
        one["label"] = "bob@example.org"
    shift = next(each for each in difference(place, found, moved).shares)
    assert (shift.feature, shift.split, shift.distance) == ("label", "train", 1)
    assert [(share.name, share.before, share.after) for share in shift.shares] == [
        ("(others)", 1, 1)
    ]


def test_languages_are_left_out_if_not_asked_for(place: Path) -> None:
    found = difference(place, splits(), splits(), language_rows=0)
    assert {shift.feature for shift in found.shares} == {"label"}


def test_a_folder_that_was_changed_is_refused(place: Path) -> None:
    versions = version(place, "before", splits()), version(place, "after", splits())
    (versions[1] / "train.jsonl").write_bytes(lines(rows(2)))
    with pytest.raises(DigestError, match=r"train\.jsonl"):
        compare(*versions, place / "diff.json")
    assert not (place / "diff.json").exists()
    Manifest.verified(versions[0])
