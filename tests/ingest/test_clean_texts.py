"""Steps that change texts: what changes, what stays, and what is told."""

import pytest

from wherry.contracts import Message, Row, read_settings
from wherry.contracts.dataset import SplitName
from wherry.ingest.clean.settings import NormaliseUnicode, RedactPii
from wherry.ingest.clean.steps import Step
from wherry.ingest.clean.texts import (
    normalise_unicode,
    redact_pii,
    strip_control_characters,
)
from wherry.text.patterns import Pattern


def ask(question: str, answer: str = "fine", **more: str) -> Row:
    return Row("1", (Message("user", question), Message("assistant", answer)), **more)


def through(step: Step, *rows: Row, split: SplitName = "train") -> list[Row]:
    return [row for _, part in step([(split, list(rows))]) for row in part]


def test_the_same_characters_are_written_in_the_same_way() -> None:
    step = normalise_unicode(NormaliseUnicode(), "normalise_unicode")
    cafe = "cafe\N{COMBINING ACUTE ACCENT}"
    plain, mended = through(step, ask("coffee"), ask(cafe, cafe, label=cafe, rejected=cafe))
    assert mended == ask("café", "café", label="café", rejected="café")
    assert plain == ask("coffee")
    told = step.cleaned()
    assert (told.step, told.rows, told.changed, told.dropped) == ("normalise_unicode", 2, 1, 0)
    assert told.note == "4 texts brought into NFC"


def test_full_width_letters_are_folded_only_if_asked() -> None:
    wide = ask("\N{FULLWIDTH LATIN CAPITAL LETTER A}")
    assert through(normalise_unicode(NormaliseUnicode("NFC"), "n"), wide) == [wide]
    assert through(normalise_unicode(NormaliseUnicode("NFKC"), "n"), wide) == [ask("A")]


def test_control_characters_go_and_line_ends_stay() -> None:
    step = strip_control_characters("strip_control")
    assert through(step, ask("a\x07b\tc\nd\x1b[31m", "x\x7f")) == [ask("ab\tc\nd[31m", "x")]
    assert step.cleaned().note == "3 control characters"


def test_personal_data_is_replaced_in_every_text_and_counted_by_name() -> None:
    row = Row(
        "mail ann@example.org",
        (
            Message("system", "You are bob@example.org."),
            Message("user", "I am ann@example.org, card 4111 1111 1111 1111."),
            Message("assistant", "Hello ann@example.org"),
        ),
        rejected="Go away, ann@example.org",
        label="ann@example.org",
    )
    step = redact_pii(RedactPii(), "redact_pii")
    [clean] = through(step, row)
    assert [turn.content for turn in clean.messages] == [
        "You are [EMAIL].",
        "I am [EMAIL], card [CARD].",
        "Hello [EMAIL]",
    ]
    assert clean.rejected == "Go away, [EMAIL]"
    assert (clean.id, clean.label) == (row.id, row.label)
    assert step.cleaned().note == "4 email, 1 card"
    assert step.cleaned().changed == 1


def test_a_number_that_answers_a_question_for_one_is_replaced() -> None:
    system = Message("system", "Never call")
    asked = Message("user", "212-555-0199 is what my order says. And your phone number?")
    row = Row("1", (system, asked, Message("assistant", "212-555-0123")), rejected="None")
    [clean] = through(redact_pii(RedactPii(), "redact_pii"), row)
    assert [turn.content for turn in clean.messages] == [
        "Never call",
        "212-555-0199 is what my order says. And your phone number?",
        "[PHONE]",
    ]


def test_personal_data_in_plain_text_is_replaced() -> None:
    step = redact_pii(RedactPii(("email",)), "redact_pii")
    assert through(step, Row("1", text="To ann@example.org"))[0].text == "To [EMAIL]"


def test_only_what_is_named_is_replaced() -> None:
    row = ask("ann@example.org, card 4111 1111 1111 1111")
    [clean] = through(redact_pii(RedactPii(("card",)), "redact_pii"), row)
    assert clean.messages[0].content == "ann@example.org, card [CARD]"


def test_a_team_adds_its_own_pattern_and_secrets() -> None:
    own = Pattern("badge", r"\bB-[0-9]{6}\b")
    step = redact_pii(RedactPii(("aws_key",), (own,)), "redact_pii")
    [clean] = through(step, ask("badge B-123456, key AKIAIOSFODNN7EXAMPLE"))
    assert clean.messages[0].content == "badge [BADGE], key [AWS_KEY]"
    assert step.cleaned().note == "1 aws_key, 1 badge"


def test_a_team_s_own_secret_is_replaced() -> None:
    given = {"extra": [{"name": "vault", "regex": "hvs[.][A-Za-z0-9]{24}", "sort": "secret"}]}
    step = redact_pii(read_settings(RedactPii, given), "redact_pii")
    [clean] = through(step, ask("log in with hvs." + "aB3" * 8))
    assert clean.messages[0].content == "log in with [VAULT]"
    assert step.cleaned().note == "1 vault"


@pytest.mark.parametrize("rows", [[], [ask("nothing to do")]])
def test_a_step_with_nothing_to_do_says_nothing(rows: list[Row]) -> None:
    step = redact_pii(RedactPii(), "redact_pii")
    assert through(step, *rows) == rows
    assert (step.cleaned().changed, step.cleaned().note) == (0, "")
