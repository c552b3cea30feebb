"""The demo data set: what its splits promise, on a made-up list and on the official one."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from examples.icd10.build import LABELS, Diagnosis, Options, build, main, parse, read_xml, write

XML = b"""<ICD10CM.tabular>
  <chapter><name>8</name><section><diag>
    <name>H60</name><desc>Otitis
      externa</desc>
    <diag><name>H60.0</name><desc>Abscess of external ear</desc>
      <inclusionTerm><note>Boil of ear</note><note>Furuncle of ear</note></inclusionTerm>
      <excludes1><note>not this</note></excludes1></diag>
  </diag></section></chapter>
  <chapter><name>22</name><section><diag>
    <name>U07</name><desc>Emergency use</desc></diag></section></chapter>
</ICD10CM.tabular>"""


def diagnoses(groups: int, each: int, label: str = "ear") -> list[Diagnosis]:
    return [
        Diagnosis(f"{label}{g:02}.{n}", f"{label} disease {g} of kind {n}", label, f"{label}{g:02}")
        for g in range(groups)
        for n in range(each)
    ]


@cache
def official() -> dict[str, Sequence[Diagnosis]]:
    return dict(build(parse(read_xml()), Options()))


def test_descriptions_and_inclusion_terms_are_read_and_chapter_22_is_not() -> None:
    assert [(d.id, d.text, d.label, d.group) for d in parse(XML)] == [
        ("H60", "Otitis externa", "ear", "H60"),
        ("H60.0", "Abscess of external ear", "ear", "H60"),
        ("H60.0#1", "Boil of ear", "ear", "H60"),
        ("H60.0#2", "Furuncle of ear", "ear", "H60"),
    ]


def test_the_order_of_the_source_does_not_matter() -> None:
    rows = diagnoses(groups=30, each=4)
    assert build(rows, Options()) == build(rows[::-1], Options())


def test_no_category_is_in_two_splits() -> None:
    splits = [{d.group for d in rows} for rows in build(diagnoses(30, 4), Options()).values()]
    assert all(splits)
    assert sum(map(len, splits)) == len(set.union(*splits))


def test_large_chapters_are_capped_and_small_ones_are_not_padded() -> None:
    rows = diagnoses(100, 5, "skin") + diagnoses(10, 2, "ear")
    counts = Counter(d.label for d in build(rows, Options(train_rows=60))["train"])
    assert counts == {"skin": 60, "ear": 14}


def test_few_rows_draw_on_as_many_categories_as_they_can() -> None:
    rows = build(diagnoses(100, 50), Options(train_rows=40))["train"]
    assert len({d.group for d in rows}) == 40


def test_a_text_under_two_categories_is_left_out() -> None:
    twice = [
        Diagnosis("A01", "Fever", "infection", "A01"),
        Diagnosis("R50", "fever", "sign", "R50"),
    ]
    found = build([*twice, *diagnoses(10, 1)], Options())
    assert not [d for rows in found.values() for d in rows if d.text.casefold() == "fever"]


@pytest.mark.parametrize("text", ["x" * 121, "Conditions in A00-B99"])
def test_long_texts_and_texts_about_other_codes_are_left_out(text: str) -> None:
    found = build([Diagnosis("H61", text, "ear", "H61"), *diagnoses(10, 1)], Options())
    assert text not in [d.text for rows in found.values() for d in rows]


def test_a_row_is_a_conversation_that_ends_with_its_label() -> None:
    row = diagnoses(1, 1)[0].row()
    messages = row["messages"]
    assert isinstance(messages, list)
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
    assert messages[-1]["content"] == row["label"] == "ear"


def test_the_official_list_gives_balanced_splits_of_all_21_chapters() -> None:
    for split, rows in official().items():
        counts = Counter(d.label for d in rows)
        assert set(counts) == set(LABELS.values()), split
        assert max(counts.values()) <= 1.1 * min(counts.values()), split


def test_the_official_list_never_leaks_a_category_or_a_text() -> None:
    for kind in ("group", "text"):
        sets = [{getattr(d, kind).casefold() for d in rows} for rows in official().values()]
        assert sum(map(len, sets)) == len(set.union(*sets)), kind


def test_the_files_are_the_rows_and_nothing_else(tmp_path: Path) -> None:
    write({"train": diagnoses(2, 1), "eval": [], "test": []}, tmp_path)
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["ear00.0", "ear01.0"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "eval.jsonl", "labels.json", "test.jsonl", "train.jsonl",
    ]  # fmt: skip


def test_two_builds_are_equal_byte_for_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        main(["--out", str(tmp_path / name)])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
