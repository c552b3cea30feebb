"""What a row shows by itself, and beside the others."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.fakes.rows import LABELS, chat, row, splits
from wherry.contracts import Row
from wherry.validate.features import COLUMNS, Features, Table, features, normalised, table


def words(texts: Sequence[str]) -> list[int]:
    """Counts words, where the model counts tokens."""
    return [len(text.split()) for text in texts]


def of(found: dict[str, list[dict[str, Any]]], labels: Sequence[str] = LABELS) -> Table:
    """The table of raw rows by split."""
    seen: list[Features] = []
    for split, ones in found.items():
        seen += features(split, msgspec.convert(ones, list[Row]), labels, words)
    return table(seen)


def only(*ones: dict[str, Any]) -> Table:
    return of({"train": list(ones)})


def test_the_table_has_every_column_for_every_row() -> None:
    found = of(splits(train=30, held_out=9))
    assert tuple(found) == COLUMNS
    assert {len(column) for column in found.values()} == {48}


def test_sound_data_shows_no_flaw() -> None:
    found = of(splits())
    for flaw in ("duplicate", "contradicted", "prompt_in_other_split", "group_in_other_split"):
        assert not any(found[flaw]), flaw
    assert all(found["label_known"])
    assert all(found["label_answered"])
    assert not any(found["garbled"])
    assert set(found["label_balance"]) == {1.0}
    assert None not in found["id"] + found["prompt"] + found["completion"] + found["group"]


def test_lengths_are_those_of_the_turns() -> None:
    messages = chat(("system", "ab cd"), ("user", "e f g"), ("assistant", "eye sore"))
    found = only(row(0, messages=messages))
    assert found["prompt_tokens"] == [5]
    assert found["completion_tokens"] == [2]
    assert found["tokens"] == [7]
    assert found["prompt_characters"] == [10]
    assert found["completion_characters"] == [8]
    assert found["roles"] == ["system user assistant"]


def test_more_rows_than_a_batch_keep_their_order_and_lengths() -> None:
    many = [
        row(n, messages=chat(("user", "x " * (n + 1)), ("assistant", "eye"))) for n in range(1100)
    ]
    found = of({"train": many})
    assert found["prompt_tokens"] == list(range(1, 1101))
    assert found["line"] == list(range(1, 1101))


def test_empty_texts_are_null() -> None:
    empty = chat(("user", "  \n"), ("assistant", ""))
    found = only(row(0, id="", label="", group=" ", messages=empty))
    for column in ("id", "prompt", "completion", "group", "label"):
        assert found[column] == [None], column


def test_the_same_question_in_another_form_is_a_duplicate() -> None:
    first = chat(("user", "Café  of the EYE"), ("assistant", "eye"))
    again = chat(("user", "cafe\u0301 of the eye\n"), ("assistant", "eye"))
    found = only(row(0, messages=first), row(3, messages=again))
    assert found["duplicate"] == [False, True]
    assert found["contradicted"] == [False, False]


def test_two_answers_to_one_question_contradict() -> None:
    one = row(0)
    other = row(1) | {"messages": [*one["messages"][:2], row(1)["messages"][2]]}
    assert only(one, other)["contradicted"] == [True, True]


def test_another_system_message_does_not_hide_an_overlap() -> None:
    turns = (("user", "Sore eye"), ("assistant", "eye"))
    found = of(
        {
            "train": [row(0, messages=chat(("system", "A"), *turns))],
            "test": [row(0, "test", messages=chat(("system", "B"), *turns)), row(1, "test")],
        }
    )
    assert found["prompt_in_other_split"] == [True, True, False]
    assert found["duplicate"] == [False, False, False]


def test_a_group_in_two_splits_is_seen_and_an_empty_one_is_not() -> None:
    found = of(
        {
            "train": [row(0, group="H60"), row(1, group="")],
            "test": [row(0, "test", group="H60"), row(1, "test", group="")],
        }
    )
    assert found["group_in_other_split"] == [True, False, True, False]


def test_rows_without_a_prompt_are_not_duplicates_of_each_other() -> None:
    empty = chat(("user", ""), ("assistant", "eye"))
    assert only(row(0, messages=empty), row(3, messages=empty))["duplicate"] == [False, False]


def test_balance_is_relative_to_the_mean_of_the_split() -> None:
    found = only(row(0), row(3), row(6), row(1))
    assert found["label_balance"] == [1.5, 1.5, 1.5, 0.5]


def test_labels_are_held_against_the_label_set_and_the_answer() -> None:
    found = only(row(0, label="ear"), row(0, label=""), row(0))
    assert found["label_known"] == [False, False, True]
    assert found["label_answered"] == [False, True, True]


def test_free_text_has_no_labels_to_break() -> None:
    found = of({"train": [row(0, label="")]}, labels=())
    assert found["label_known"] == [True]
    assert found["label_balance"] == [None]


@pytest.mark.parametrize(
    ("text", "garbled"), [("a\x00b", True), ("a\ufffdb", True), ("a\tü\n", False)]
)
def test_garbled_text_is_seen(text: str, garbled: bool) -> None:
    found = only(row(0, messages=chat(("user", text), ("assistant", "eye"))))
    assert found["garbled"] == [garbled]


def test_no_text_is_in_the_table() -> None:
    secret = chat(("user", "Jane Doe, 555-0100"), ("assistant", "eye"))
    found = only(row(0, id="Jane Doe 1", group="Jane Doe", messages=secret))
    assert "Jane" not in repr(found)


def test_normalising_keeps_what_has_a_meaning() -> None:
    assert normalised("A  b\n") == normalised("a b")
    assert normalised("x > y") != normalised("x < y")
