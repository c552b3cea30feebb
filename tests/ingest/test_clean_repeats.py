"""Repeated rows: the held-out copy stays, the copy in train goes."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.contracts import Message, Row
from wherry.contracts.dataset import SplitName
from wherry.ingest.clean.repeats import Duplicates, NearRepeats, prompt_of
from wherry.ingest.clean.settings import By, DropDuplicates, DropNearDuplicates
from wherry.ingest.clean.spill import Spill
from wherry.ingest.clean.steps import Step

Split = dict[SplitName, list[Row]]


def ask(id_: str, question: str, answer: str = "yes", system: str = "", **more: str) -> Row:
    told = (Message("system", system),) if system else ()
    return Row(id_, (*told, Message("user", question), Message("assistant", answer)), **more)


def left(step: Step, rows: Split) -> dict[str, list[str]]:
    """The ids that are left, by split."""
    found: dict[str, list[str]] = {}
    for split, part in step(list(rows.items())):
        found.setdefault(split, []).extend(row.id for row in part)
    return {split: ids for split, ids in found.items() if ids}


def exact(folder: Path, by: By = "row") -> Duplicates:
    return Duplicates(DropDuplicates(by), "drop_duplicates", folder)


def test_the_first_of_equal_rows_stays(tmp_path: Path) -> None:
    step = exact(tmp_path)
    rows = [ask("1", "Why?"), ask("2", "  WHY?"), ask("3", "Why?", "no"), ask("4", "How?")]
    assert left(step, {"train": rows}) == {"train": ["1", "3", "4"]}
    told = step.cleaned()
    assert (told.rows, told.dropped) == (4, 1)
    assert told.note == "1 repeat a row of the same split"


def test_by_prompt_the_answer_does_not_count(tmp_path: Path) -> None:
    rows = [ask("1", "Why?"), ask("2", "Why?", "no")]
    assert left(exact(tmp_path, "prompt"), {"train": rows}) == {"train": ["1"]}


def test_between_splits_the_prompt_counts_and_the_held_out_copy_stays(tmp_path: Path) -> None:
    step = exact(tmp_path)
    rows: Split = {
        "train": [ask("1", "Why?"), ask("2", "How?"), ask("3", "When?")],
        "eval": [ask("4", "why?", "no"), ask("5", "Where?")],
        "test": [ask("6", "HOW?"), ask("7", "where?")],
    }
    assert left(step, rows) == {"test": ["6", "7"], "eval": ["4"], "train": ["3"]}
    assert step.cleaned().note == "3 repeat a row of a held-out split"


def test_another_system_turn_makes_another_row(tmp_path: Path) -> None:
    rows = [ask("1", "Why?", system="a"), ask("2", "Why?", system="b")]
    assert left(exact(tmp_path), {"train": rows}) == {"train": ["1", "2"]}


def test_another_rejected_answer_makes_another_row(tmp_path: Path) -> None:
    rows = [ask("1", "Why?", rejected="a"), ask("2", "Why?", rejected="b")]
    assert left(exact(tmp_path), {"train": rows}) == {"train": ["1", "2"]}


def test_plain_texts_are_compared(tmp_path: Path) -> None:
    rows: Split = {
        "train": [Row("1", text="abc"), Row("2", text="def"), Row("3", text="DEF")],
        "test": [Row("4", text="Abc")],
    }
    assert left(exact(tmp_path), rows) == {"test": ["4"], "train": ["2"]}


def test_blank_questions_are_compared_by_their_answers(tmp_path: Path) -> None:
    rows: Split = {
        "train": [ask("1", "", "a"), ask("2", " ", "b"), ask("3", "", "a")],
        "test": [ask("4", "", "a")],
    }
    assert left(exact(tmp_path), rows) == {"test": ["4"], "train": ["1", "2"]}


QUESTIONS = st.lists(
    st.tuples(st.sampled_from(["train", "eval", "test"]), st.sampled_from("abcdef"), st.booleans()),
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(QUESTIONS, st.sampled_from(["row", "prompt"]))
def test_nothing_held_out_remains_in_train_and_no_question_is_lost(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[SplitName, str, bool]], by: By
) -> None:
    rows: Split = {}
    for number, (split, question, answer) in enumerate(drawn):
        rows.setdefault(split, []).append(ask(f"{number}", question, str(answer)))
    kept = [
        (split, row)
        for split, part in exact(tmp_path_factory.mktemp("exact"), by)(list(rows.items()))
        for row in part
    ]
    where: dict[str, set[str]] = {}
    for split, row in kept:
        where.setdefault(prompt_of(row), set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())
    assert where.keys() == {question for _, question, _ in drawn}
    order: list[SplitName] = ["test", "eval", "train"]
    for question, splits in where.items():
        asked = {split for split, other, _ in drawn if other == question}
        assert splits == {next(split for split in order if split in asked)}
    contents = [(split, [turn.content for turn in row.messages]) for split, row in kept]
    assert all(contents.count(one) == 1 for one in contents)


def words(seed: int, count: int = 60) -> list[str]:
    return [f"word{random.Random(seed * 1000 + n).randrange(5000)}" for n in range(count)]


def changed(text: list[str], at: int) -> str:
    return " ".join([*text[:at], "changed", *text[at + 1 :]])


def test_near_copies_of_a_held_out_row_leave_train(tmp_path: Path) -> None:
    one, two, three = words(1), words(2), words(3)
    rows: Split = {
        "train": [
            ask("1", changed(one, 30)),
            ask("2", " ".join(two)),
            ask("3", changed(two, 9)),
            ask("4", " ".join(three)),
        ],
        "test": [ask("5", " ".join(one))],
    }
    step = NearRepeats(DropNearDuplicates(), "drop_near_duplicates", tmp_path)
    assert left(step, rows) == {"test": ["5"], "train": ["2", "4"]}
    told = step.cleaned()
    assert (told.rows, told.dropped) == (5, 2)
    assert "1 come near a row of a held-out split" in told.note
    assert "1 come near a row of the same split" in told.note


def test_a_stricter_threshold_keeps_more(tmp_path: Path) -> None:
    one = words(1)
    rows: Split = {"train": [ask("1", " ".join(one)), ask("2", changed(one, 30))]}
    strict = NearRepeats(DropNearDuplicates(threshold=1.0), "d", tmp_path)
    assert left(strict, rows) == {"train": ["1", "2"]}


def test_rows_on_disk_are_those_that_were_given(tmp_path: Path) -> None:
    rows: Split = {
        "train": [ask("1", "a\x1b\u2028b", label="x", group="g"), Row("2", text="t", time="now")],
        "test": [ask("3", "c", rejected="r"), ask("4", "d", system="s")],
    }
    spill = Spill.of(list(rows.items()), tmp_path / "rows")
    assert [(number, split) for split, numbers, _ in spill.numbered() for number in numbers] == [
        *((0, "test"), (1, "test"), (2, "train"), (3, "train"))
    ]
    again: Split = {}
    for split, part in spill:
        again.setdefault(split, []).extend(part)
    assert again == rows
    fewer = spill.without([0, 3])
    assert [row.id for _, part in fewer for row in part] == ["4", "1"]
    assert (fewer.rows, spill.rows) == (2, 4)
    assert [spill.split_of(number) for number in range(4)] == ["test", "test", "train", "train"]
