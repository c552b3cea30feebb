"""Which keys are trusted, for what, and since when."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from wherry.contracts.errors import FormatError, SigningKeyError
from wherry.signing import BLESSING, WAIVER, Keyring, TrustedKey

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 4, 1, tzinfo=UTC)
KEY = TrustedKey("a" * 64, "ed25519", "ed25519", "00" * 32, "ann", "2026-03-01T00:00:00Z")
OTHER = replace(KEY, id="b" * 64, owner="bob", valid_from="2026-04-01T00:00:00Z")


def test_another_key_takes_over_and_the_first_one_is_retired() -> None:
    ring = Keyring().taken_over(KEY).taken_over(OTHER)
    assert ring.signing() == OTHER
    first = ring.named("aaaa")
    assert (first.state, first.retired_at) == ("retired", OTHER.valid_from)
    assert first.fault(BLESSING, LATER) == ""


def test_a_revoked_key_is_good_for_nothing_but_what_is_known_to_be_older() -> None:
    ring = Keyring().taken_over(KEY).revoked("aaaa", "the laptop was lost", LATER)
    key = ring.named("aaaa")
    assert key.state == "revoked"
    assert "revoked at 2026-04-01T00:00:00Z: the laptop was lost" in key.fault(BLESSING, LATER)
    assert key.fault(BLESSING, START) == ""
    with pytest.raises(SigningKeyError, match="No key of this keyring signs"):
        ring.signing()


def test_a_revocation_is_for_ever() -> None:
    ring = Keyring().taken_over(KEY).revoked("a", "lost", START)
    assert ring.revoked("a", "again", LATER) == ring
    with pytest.raises(SigningKeyError, match="trusted already"):
        ring.taken_over(KEY)


def test_a_reason_of_many_lines_is_told_in_one() -> None:
    key = Keyring().taken_over(KEY).revoked("a", "lost\nE_OK all is well", LATER).named("a")
    assert key.fault(BLESSING, LATER).endswith(": lost E_OK all is well")


def test_a_revocation_needs_a_reason() -> None:
    with pytest.raises(SigningKeyError, match="No reason"):
        Keyring().taken_over(KEY).revoked("a", "  ", LATER)


def test_a_key_is_not_valid_before_its_time() -> None:
    assert "valid from 2026-04-01" in OTHER.fault(BLESSING, START)


def test_a_key_may_be_for_one_thing_alone() -> None:
    key = replace(KEY, may=(WAIVER,))
    assert key.fault(WAIVER, LATER) == ""
    assert key.fault(BLESSING, LATER) == "may sign waiver, not blessing"


@pytest.mark.parametrize(("beginning", "found"), [("", 0), ("c", 0), ("0" * 64, 0)])
def test_a_key_that_is_not_named_exactly_is_not_guessed(beginning: str, found: int) -> None:
    with pytest.raises(SigningKeyError, match=f"{found} keys begin with"):
        Keyring().taken_over(KEY).taken_over(OTHER).named(beginning)


def test_an_ambiguous_name_is_refused() -> None:
    twin = replace(OTHER, id="a" * 63 + "b")
    with pytest.raises(SigningKeyError, match="2 keys begin with 'aaa'"):
        Keyring().taken_over(KEY).taken_over(twin).named("aaa")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"keys": (KEY, KEY)}, "stands in it twice"),
        ({"keys": (KEY,), "current": "c" * 64}, "which is none of its keys"),
    ],
)
def test_a_keyring_that_contradicts_itself_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Keyring(**change)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../../etc/passwd"),
        ("valid_from", ""),
        ("valid_from", "2026-03-01"),
        ("revoked_at", "yesterday"),
        ("retired_at", "2026-03-01T00:00:00"),
    ],
)
def test_a_keyring_with_an_odd_field_cannot_be_read(field: str, value: str) -> None:
    text = Keyring().taken_over(KEY).to_json()
    assert Keyring.from_json(text).signing() == KEY
    odd = text.replace(f'"{field}": "{getattr(KEY, field)}"', f'"{field}": "{value}"')
    assert odd != text
    with pytest.raises(FormatError, match=field):
        Keyring.from_json(odd)
