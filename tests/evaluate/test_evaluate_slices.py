"""Scores of parts of the data: by label, by group, by the length of the prompt."""

import pytest

from wherry.contracts import Message, Row
from wherry.contracts.errors import SettingsError
from wherry.contracts.settings import read_settings
from wherry.evaluate.estimates import Draws
from wherry.evaluate.measures.choice import choose
from wherry.evaluate.settings import EvaluateSettings
from wherry.evaluate.slices import Slicing
from wherry.evaluate.step import Answer, Exam, predict, quality

LABELS = ("bone", "skin")
LENGTHS = ("10+", "4-9", "10+", "4-9", "0-3")


def _row(number: int, group: str, length: int) -> Row:
    turns = (Message("user", "x" * length), Message("assistant", "bone"))
    return Row(f"r{number}", turns, LABELS[number % 2], group=group)


@pytest.mark.parametrize(
    ("length", "name"),
    [(0, "0-3"), (3, "0-3"), (4, "4-9"), (9, "4-9"), (10, "10+"), (999, "10+")],
)
def test_a_length_belongs_to_the_bucket_that_it_reaches(length: int, name: str) -> None:
    slicing = Slicing(("length",), edges=(4, 10))
    assert slicing.of(_row(1, "g", length)) == (f"length={name}",)


def test_the_reference_is_not_part_of_the_length() -> None:
    turns = (Message("system", "ab"), Message("user", "c"), Message("assistant", "d" * 50))
    assert Slicing(("length",), edges=(4,)).of(Row("r", turns)) == ("length=0-3",)


def test_plain_text_has_no_prompt_and_its_own_length() -> None:
    assert Slicing(("length",), (64, 256)).of(Row("r", text="t" * 64)) == ("length=64-255",)


def test_no_group_is_no_slice() -> None:
    slicing = Slicing(("group", "length"), edges=(4,))
    assert slicing.of(_row(1, "", 1)) == ("length=0-3",)
    assert slicing.of(_row(1, "K70", 1)) == ("group=K70", "length=0-3")
    assert Slicing(("label",)).of(_row(1, "K70", 1)) == ()


def test_lengths_come_from_short_to_long_then_groups_and_small_slices_are_left_out() -> None:
    slicing = Slicing(("group", "length"), edges=(4, 10), least=2)
    rows = [(f"group={g}", f"length={b}") for g, b in zip("bbaac", LENGTHS, strict=True)]
    assert slicing.named(rows) == ["length=4-9", "length=10+", "group=a", "group=b"]


def test_each_slice_counts_its_own_rows() -> None:
    rows = [_row(n, "ab"[n // 4 % 2], 2 if n < 6 else 20) for n in range(8)]
    slicing = Slicing(("label", "group", "length"), edges=(10,))
    exam = Exam(rows, LABELS, choose((), LABELS, {}, "chat"), slicing)
    answers = [Answer("bone" if n < 6 else "skin", (-1.0, -2.0)) for n in range(8)]
    made = predict(exam, answers)
    metrics = quality(made, exam.chosen.measures, LABELS, slicing, Draws(100, 0))
    found = {(m.name, m.slice): m for m in metrics}
    # Rows 0, 2, 4, 6 are bone and 7 skin; 0-5 answered bone, 6-7 skin.
    for slice_, hits, n in [
        ("", 4, 8),
        ("bone", 3, 4),
        ("skin", 1, 4),
        ("group=a", 2, 4),
        ("group=b", 2, 4),
        ("length=0-9", 3, 6),
        ("length=10+", 1, 2),
    ]:
        assert (found["accuracy", slice_].value, found["accuracy", slice_].n) == (hits / n, n)
    assert ("macro_f1", "group=a") in found
    assert ("macro_f1", "bone") not in found
    # F1 of a class within a group would be a slice of a slice.
    assert [m.name for m in metrics if m.slice == "group=a"].count("f1") == 0


def test_settings_name_the_slices_and_their_edges() -> None:
    read = read_settings(EvaluateSettings, '{"slices": ["length"], "length_edges": [10, 20]}')
    assert (read.slices, read.length_edges) == (("length",), (10, 20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"length_edges": [20, 10]}', "length_edges must rise"),
        ('{"length_edges": [0]}', "length_edges must rise"),
        ('{"slices": ["model"]}', "label, group, length"),
        ('{"slice_rows": 0}', "slice_rows must be at least 1"),
        ('{"save_every": 0}', "save_every must be at least 1"),
        ('{"measures": ["blue"]}', "expected one of .*bleu"),
        ('{"measures": ["schema_valid"]}', "given together"),
        ('{"json_schema": {"type": "object"}}', "given together"),
        ('{"endpoint": {"top_logprobs": 21}}', "top_logprobs must be in"),
        ('{"endpoint": {"digest": "sha256:12"}}', "endpoint.digest must be sha256:"),
        ('{"endpoint": {"timeout": 0}}', "endpoint.timeout must be above 0"),
        ('{"endpoint": {"api_key": "x"}}', "api_key"),
    ],
)
def test_what_cannot_be_meant_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(EvaluateSettings, text)
