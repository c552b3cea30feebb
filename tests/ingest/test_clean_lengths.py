"""Rows that are too long: left out, or shortened without touching an answer."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.contracts import Message, Row, fault_of
from wherry.contracts.errors import FormatError
from wherry.ingest.clean.lengths import Characters, DropTooLong, Truncate, length, lengths
from wherry.ingest.clean.steps import Step


def talk(*texts: str, system: str = "", **more: Any) -> Row:
    roles = ("user", "assistant") * len(texts)
    turns = tuple(Message(role, text) for role, text in zip(roles, texts, strict=False))  # type: ignore[arg-type] # mypy takes the pair for two str
    return Row("1", (*([Message("system", system)] if system else []), *turns), **more)


def through(step: Step, *rows: Row) -> list[Row]:
    return [row for _, part in step([("train", list(rows))]) for row in part]


def size(row: Row) -> int:
    return length(lengths([row], Characters())[0])


def test_a_row_is_as_long_as_all_its_texts_and_the_longer_answer() -> None:
    assert size(talk("abc", "de", system="f")) == 6
    assert size(talk("abc", "de", rejected="fghij")) == 8
    assert size(Row("1", text="abcd")) == 4


def test_too_long_rows_are_left_out_and_counted() -> None:
    step = DropTooLong("drop_too_long", 5, Characters())
    short, long = talk("abc", "de"), talk("abc", "def")
    assert through(step, short, long, Row("2", text="abcdef")) == [short]
    told = step.cleaned()
    assert (told.rows, told.dropped, told.note) == (3, 2, "2 of more than 5 characters")


def test_the_oldest_turns_go_first_and_the_system_turn_stays() -> None:
    step = Truncate("truncate", 8, Characters())
    row = talk("one", "two", "six", "ten", system="be")
    assert through(step, row) == [talk("six", "ten", system="be")]
    assert step.cleaned().note == "1 conversations begun later"
    assert step.cleaned().changed == 1


def test_then_the_end_of_the_question_goes() -> None:
    step = Truncate("truncate", 8, Characters())
    assert through(step, talk("o", "k", "a question", "answer")) == [talk("a ", "answer")]
    assert step.cleaned().note == "1 questions cut"


def test_an_answer_is_never_cut() -> None:
    step = Truncate("truncate", 5, Characters())
    assert through(step, talk("why", "answer"), talk("w", "hello", rejected="")) == []
    assert step.cleaned().dropped == 2
    assert "answer alone" in step.cleaned().note


def test_the_rejected_answer_counts_too() -> None:
    step = Truncate("truncate", 7, Characters())
    assert through(step, talk("question", "yes", rejected="never")) == [
        talk("qu", "yes", rejected="never")
    ]


def test_plain_text_is_cut_at_its_end() -> None:
    step = Truncate("truncate", 3, Characters())
    assert through(step, Row("1", text="abcdef")) == [Row("1", text="abc")]


@given(
    st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=3),
    st.integers(1, 40),
    st.text(max_size=5),
)
def test_what_is_left_is_short_enough_and_sound(texts: list[str], most: int, system: str) -> None:
    turns = [text for question in texts for text in (question, question[::-1])]
    row = talk(*turns, system=system)
    found = through(Truncate("truncate", most, Characters()), row)
    last = talk(*turns[-2:], system=system)
    assert len(found) == 1 if size(last) <= most else len(found) <= 1
    for left in found:
        assert size(left) <= most
        assert fault_of(left, "chat") == ""
        assert left.completion == row.completion
        assert left.prompt[-1].content in row.prompt[-1].content


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that has a token a word, as real ones have for frequent words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["[UNK]", "one", "two", "three", "four"])}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment] # its stubs lack the setter
    made.enable_truncation(2)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def test_tokens_are_counted_by_the_tokenizer_that_is_named(tokenizer: Path) -> None:
    from wherry.ingest.adapters.tokens import TokenMeasure

    measure = TokenMeasure(tokenizer)
    assert measure.lengths(["one two three", ""]) == [3, 0]
    assert measure.cut("one two three four", 2).strip() == "one two"
    assert measure.cut("one", 2) == "one"
    step = Truncate("truncate", 3, measure)
    [short] = through(step, talk("one two three", "four"))
    assert short.prompt[0].content.strip() == "one two"
    assert short.completion == "four"


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    from wherry.ingest.adapters.tokens import TokenMeasure

    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(FormatError, match="tokenizer.json is no tokenizer"):
        TokenMeasure(tmp_path / "tokenizer.json")
