"""Normal forms agree with Python's to the letter, and broken text is told from odd text."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.text.garbled import is_garbled
from wherry.text.normal import (
    normalise_series,
    normalised,
    strip_control,
)

# A column cannot hold half of a surrogate pair.
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8)
ASCII = st.lists(st.text(st.characters(max_codepoint=127), max_size=30), max_size=8)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Two\t words\n", "two words"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("Ｆｕｌｌ　width", "full width"),
        ("a\u00a0b", "a b"),
        ("", ""),
        ("\x1c a \x1f", "a"),
        ("ΣΑΣ", "σασ"),
    ],
)
def test_what_is_mere_form_goes(text: str, normal: str) -> None:
    assert normalised(text) == normal
    assert normalise_series(pl.Series([text])).to_list() == [normal]


@settings(deadline=None)
@given(st.one_of(TEXTS, ASCII))
def test_a_column_is_normalised_as_python_does_it(texts: list[str]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    assert normalise_series(column).to_list() == [normalised(text) for text in texts]
    assert column.to_list() == texts


@settings(deadline=None)
@given(TEXTS)
def test_control_characters_are_stripped_and_no_others(texts: list[str]) -> None:
    for text in texts:
        kept = [c for c in text if unicodedata.category(c) != "Cc" or c in "\t\n\r"]
        assert strip_control(text) == "".join(kept)


def test_nulls_stay_null() -> None:
    texts = pl.Series(["A", None, "É", " b"])
    assert normalise_series(texts).to_list() == ["a", None, "é", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "nul\x00",
        "bell\x07",
        "del\x7f",
        "c1\x85",
        "what\ufffd",
        "cafÃ©",
        "naÃ¯ve",
        "10 Â°C",
        "donâ€™t",
        "â‚¬ 5",
        "Ã–l und GrÃ¶ÃŸe",
        "ðŸ˜€",
        "ï»¿start",
        "ÐŸÑ€Ð¸Ð²ÐµÑ‚",
        "It\u00e2\x80\x99s",
    ],
)
def test_broken_text_is_garbled(text: str) -> None:
    assert is_garbled(pl.Series([text]))[0]


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "tab\tline\r\nend",
        "café, naïve, Größe",
        "AMANHÃ, “IRMÃ” e MANHÃ…",
        "château, âge, Âge",
        "10 °C, 5 €, ‘so’",
        "Привет",
        "漢字 🙂 שלום",
        "São João",
        "",
    ],
)
def test_odd_text_is_not(text: str) -> None:
    assert not is_garbled(pl.Series([text]))[0]


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0xC0, max_codepoint=0xFF), min_size=1, max_size=9))
def test_latin_letters_read_wrongly_are_garbled(word: str) -> None:
    assert is_garbled(pl.Series([word.encode().decode("latin-1")]))[0]
