"""Redaction leaves nothing that a measure would find, and touches nothing else."""

import string

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.contracts.errors import SettingsError
from wherry.text.measure import MEASURES, measure
from wherry.text.patterns import PII, SECRETS, Pattern
from wherry.text.redact import redact, redact_series, redact_turns

ALL = (*PII, *SECRETS)
FOUND = [name for name in MEASURES if name.startswith(("pii_", "secret_"))]

NOTE = (
    "Write to ann@example.org or call 212-555-0123. Card 4111 1111 1111 1111, SSN 123-45-6789, "
    "IBAN DE89 3704 0044 0532 0130 00, host 10.2.3.4, MRN: 0012345."
)


def test_each_match_gives_way_to_its_name() -> None:
    clean, counts = redact(NOTE, PII)
    assert clean == (
        "Write to [EMAIL] or call [PHONE]. Card [CARD], SSN [SSN], IBAN [IBAN], host [IP], "
        "MRN: [MRN]."
    )
    assert counts == dict.fromkeys(("email", "phone", "card", "ssn", "iban", "ip", "mrn"), 1)


def test_only_the_secret_goes_not_its_name() -> None:
    clean, counts = redact("set password = " + "hunter2!x" + " now", SECRETS)
    assert clean == "set password = [PASSWORD] now"
    assert counts == {"password": 1}


def test_a_clean_text_stays_as_it_is() -> None:
    text = "Fracture of the left radius, E11.9, 2024-03-12, version 1.2.3.4."
    assert redact(text, ALL) == (text, {})


def test_a_pattern_that_was_not_asked_for_stays() -> None:
    emails = [pattern for pattern in PII if pattern.name == "email"]
    assert redact("ann@example.org, 10.2.3.4", emails)[0] == "[EMAIL], 10.2.3.4"


def test_every_match_of_a_text_is_counted() -> None:
    clean, counts = redact("a@b.org, c@d.org and e@f.org", PII)
    assert clean == "[EMAIL], [EMAIL] and [EMAIL]"
    assert counts["email"] == 3


def test_letters_beyond_ascii_do_not_shift_the_cut() -> None:
    assert redact("Größe 漢字 🙂 ann@example.org ✓", PII)[0] == "Größe 漢字 🙂 [EMAIL] ✓"


def test_a_turn_is_read_after_the_one_before_it() -> None:
    talk = [
        "What is your phone number?",
        "",
        "212-555-0123 or a@b.org, not on a Sunday",
        "212-555-01",
    ]
    clean, counts = redact_turns([talk, ["212-555-0123"], []], PII)
    assert clean == [
        ["What is your phone number?", "", "[PHONE] or [EMAIL], not on a Sunday", "212-555-01"],
        ["212-555-0123"],
        [],
    ]
    assert counts == {"phone": 1, "email": 1}
    assert redact_turns(clean, PII) == (clean, {})


def test_what_reaches_into_the_next_turn_goes_from_both() -> None:
    own = Pattern("code", r"A-\s[0-9]+")
    assert redact_turns([["keep A-", "42 too"]], [own])[0] == [["keep [CODE]", "[CODE] too"]]


def test_a_column_keeps_its_nulls_and_is_not_changed_in_place() -> None:
    texts = pl.Series("note", ["a@b.org", None, "fine", "x c@d.org", ""])
    clean, counts = redact_series(texts, PII)
    assert clean.to_list() == ["[EMAIL]", None, "fine", "x [EMAIL]", ""]
    assert texts.to_list()[0] == "a@b.org"
    assert counts == {"email": 2}


def test_an_empty_column_is_redacted_too() -> None:
    assert redact_series(pl.Series([], dtype=pl.String), PII)[0].to_list() == []


def test_a_placeholder_is_no_context_for_what_stands_beside_it() -> None:
    clean, _ = redact("+44 20 7946 0958 or 020 7946 0000", PII)
    assert clean == "[PHONE] or 020 7946 0000"


def test_a_team_s_pattern_never_eats_a_placeholder() -> None:
    shout = Pattern("shout", "[A-Z]{4,}")
    clean, counts = redact("HELP ann@example.org", [*PII, shout])
    assert clean == "[SHOUT] [EMAIL]"
    assert redact(clean, [*PII, shout]) == (clean, {})
    assert counts == {"email": 1, "shout": 1}


def test_marks_of_our_own_in_a_text_do_no_harm() -> None:
    text = "\ufdd0 ann@example.org \ufdd2\ufdd1\ufdd3"
    assert redact(text, PII)[0] == "\ufdd0 [EMAIL] \ufdd2\ufdd1\ufdd3"


def test_an_unfit_expression_is_refused() -> None:
    with pytest.raises(SettingsError, match="'badge'"):
        redact("x", [Pattern("badge", "(?!a)")])


PIECES = st.one_of(
    st.sampled_from(
        [
            "ann@example.org", "4111 1111 1111 1111", "DE89370400440532013000", "123-45-6789",
            "10.2.3.4", "2001:db8::1", "MRN: 0012345", "patient id ", "tel ", "call ",
            "+44 20 7946 0958", "212-555-0123", "password=", "hunter2!x", "[EMAIL]", "[PHONE]",
            "SSN", "version ", "://u:p4ss" + "word@h", "sk-" + "a1B2" * 8, "AK" + "IA" + "Q2W3" * 4,
            "-----BEGIN " + "PRIVATE KEY-----", "0012345", " ", "-", ".", ":", "\n", "=",
        ]
    ),
    st.text(string.ascii_letters + string.digits + " .:@-+/=_[]()", max_size=8),
)  # fmt: skip


# Several texts at once: most of the time is spent for a call, little for a text.
TEXTS = st.lists(st.lists(PIECES, max_size=14).map("".join), min_size=1, max_size=8)


def column(texts: list[str]) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


@settings(deadline=None, max_examples=10)
@given(TEXTS)
def test_afterwards_a_measure_finds_nothing(texts: list[str]) -> None:
    clean, counts = redact_series(column(texts), ALL)
    table = measure(clean, FOUND)
    assert not any(map(any, table.rows())), [name for name in FOUND if table[name].any()]
    again, more = redact_series(clean, ALL)
    assert (again.to_list(), more) == (clean.to_list(), {})
    assert bool(counts) == (clean.to_list() != texts)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=4), max_size=4))
def test_afterwards_a_measure_finds_nothing_in_a_conversation(talks: list[list[str]]) -> None:
    clean, _ = redact_turns(talks, ALL)
    texts = [text for own in clean for text in [*own, "\n".join(filter(None, own))]]
    table = measure(column(texts), FOUND)
    assert not any(map(any, table.rows())), [name for name in FOUND if table[name].any()]


@settings(deadline=None, max_examples=10)
@given(TEXTS)
def test_what_a_measure_finds_is_redacted_and_nothing_else(texts: list[str]) -> None:
    table = measure(column(texts), FOUND)
    for name in FOUND:
        patterns = [p for p in ALL if f"pii_{p.name}" == name or f"secret_{p.name}" == name]
        clean, _ = redact_series(column(texts), patterns)
        assert table[name].to_list() == (clean != column(texts)).to_list(), name


@settings(deadline=None, max_examples=10)
@given(TEXTS)
def test_a_column_is_redacted_as_its_texts_are_one_by_one(texts: list[str]) -> None:
    clean, _ = redact_series(column(texts), PII)
    assert clean.to_list() == [redact(text, PII)[0] for text in texts]
