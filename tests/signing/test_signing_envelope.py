"""A statement is what a trusted key signed, or it is refused with the reason."""

import base64
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.contracts.errors import SignatureError, SigningKeyError, WherryError
from wherry.contracts.record import Record
from wherry.signing import (
    BLESSING,
    WAIVER,
    KeyFolder,
    Keyring,
    check_stamp,
    load_signer,
    open_envelope,
    sign,
    stamp,
    verify,
)

NOW = datetime.now(UTC) - timedelta(seconds=1)


@dataclass(frozen=True)
class Statement(Record):
    """Anything that is signed."""

    says: str
    envelope: str = ""


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder with one key."""
    folder = KeyFolder(tmp_path / "keys")
    folder.init("ann", NOW)
    return folder


def test_what_was_signed_comes_out_as_it_went_in(keys: KeyFolder) -> None:
    statement = Statement("yes")
    envelope = sign(statement, BLESSING, keys.signer())
    assert verify(envelope, BLESSING, keys.keyring()) == statement.to_json().encode() + b"\n"
    assert open_envelope(envelope, BLESSING, keys.keyring()).key.owner == "ann"
    assert verify(sign(b"\x00raw", BLESSING, keys.signer()), BLESSING, keys.keyring()) == b"\x00raw"


def test_the_envelope_is_dsse_that_needs_nothing_of_ours(keys: KeyFolder) -> None:
    read = json.loads(sign(b"hello", BLESSING, keys.signer()))
    payload = base64.b64decode(read["payload"])
    message = b"DSSEv1 %d %b %d %b" % (len(BLESSING), BLESSING.encode(), len(payload), payload)
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys.keyring().signing().public))
    public.verify(base64.b64decode(read["signatures"][0]["sig"]), message)
    assert payload == b"hello"


def test_a_statement_of_another_type_is_refused(keys: KeyFolder) -> None:
    envelope = sign(b"x", WAIVER, keys.signer())
    with pytest.raises(SignatureError, match=r"holds .*waiver.*, expected .*blessing"):
        verify(envelope, BLESSING, keys.keyring())


def test_an_unknown_key_is_refused(keys: KeyFolder, tmp_path: Path) -> None:
    stranger = KeyFolder(tmp_path / "other")
    stranger.init("mallory", NOW)
    envelope = sign(b"x", BLESSING, stranger.signer())
    with pytest.raises(SigningKeyError, match="not trusted here") as caught:
        verify(envelope, BLESSING, keys.keyring())
    assert caught.value.code == "E_KEY"
    with pytest.raises(SigningKeyError, match="trusted: none"):
        verify(envelope, BLESSING, Keyring())
    keys.trust(stranger.keyring().signing())
    assert verify(envelope, BLESSING, keys.keyring()) == b"x"


def test_a_key_that_claims_to_be_another_is_refused(keys: KeyFolder, tmp_path: Path) -> None:
    stranger = KeyFolder(tmp_path / "other")
    stranger.init("mallory", NOW)
    forged = json.loads(sign(b"x", BLESSING, stranger.signer()))
    forged["signatures"][0]["keyid"] = keys.keyring().current
    with pytest.raises(SignatureError, match="does not fit") as caught:
        verify(json.dumps(forged).encode(), BLESSING, keys.keyring())
    assert caught.value.code == "E_SIGNATURE"


def test_a_rotated_key_is_still_good_and_a_revoked_one_is_not(keys: KeyFolder) -> None:
    old = sign(b"old", BLESSING, keys.signer())
    keys.rotate(NOW)
    assert verify(old, BLESSING, keys.keyring()) == b"old"
    keys.revoke(json.loads(old)["signatures"][0]["keyid"], "lost", NOW)
    with pytest.raises(SigningKeyError, match="was revoked at .*: lost"):
        verify(old, BLESSING, keys.keyring())
    before = NOW - timedelta(hours=1)
    with pytest.raises(SigningKeyError, match="is valid from") as caught:
        verify(old, BLESSING, keys.keyring(), at=before)
    assert "Correct this machine's clock" in caught.value.remedy


def test_what_is_known_to_be_older_than_a_revocation_stays_good(keys: KeyFolder) -> None:
    old = sign(b"old", BLESSING, keys.signer())
    keys.revoke(keys.keyring().current, "lost", NOW + timedelta(hours=2))
    seen = NOW + timedelta(hours=1)
    assert verify(old, BLESSING, keys.keyring(), at=seen) == b"old"
    with pytest.raises(SigningKeyError, match="revoked"):
        verify(old, BLESSING, keys.keyring(), at=NOW + timedelta(hours=3))


def test_a_second_good_signature_makes_up_for_a_strangers(keys: KeyFolder, tmp_path: Path) -> None:
    stranger = KeyFolder(tmp_path / "other")
    stranger.init("mallory", NOW)
    ours, theirs = (json.loads(sign(b"x", BLESSING, k.signer())) for k in (keys, stranger))
    both = {**ours, "signatures": theirs["signatures"] + ours["signatures"]}
    assert verify(json.dumps(both).encode(), BLESSING, keys.keyring()) == b"x"


def test_a_key_signs_only_what_it_may(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("pipeline", NOW, may=(BLESSING,))
    with pytest.raises(SigningKeyError, match="may sign blessing, not waiver"):
        sign(b"x", WAIVER, folder.signer())


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b" \n",
        b"{}",
        b"[]",
        b"null",
        b'{"payload": "eA=="}',
        b'{"payload": 3, "payloadType": "x", "signatures": []}',
        b'{"payload": "eA==", "payloadType": 3, "signatures": []}',
        b'{"payload": "eA==", "payloadType": "x", "signatures": [3]}',
        b'{"payload": "eA==", "payloadType": "x", "signatures": [{"sig": "!"}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_envelope_is_refused(envelope: bytes, keys: KeyFolder) -> None:
    with pytest.raises(SignatureError):
        verify(envelope, BLESSING, keys.keyring())


def test_an_envelope_without_signatures_is_refused(keys: KeyFolder) -> None:
    bare = {**json.loads(sign(b"x", BLESSING, keys.signer())), "signatures": []}
    with pytest.raises(SignatureError, match="has no signature"):
        verify(json.dumps(bare), BLESSING, keys.keyring())


def test_an_endless_envelope_is_not_read(keys: KeyFolder) -> None:
    with pytest.raises(SignatureError, match="expected at most"):
        verify(b" " * (17 << 20) + b"{}", BLESSING, keys.keyring())


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_changed_byte_gets_through(data: st.DataObject, keys: KeyFolder) -> None:
    """Whatever byte of the envelope is changed: refused, or the very same statement."""
    good = sign(b'{"passed": true}', BLESSING, keys.signer())
    place = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255))
    bad = good[:place] + bytes([value]) + good[place + 1 :]
    try:
        assert verify(bad, BLESSING, keys.keyring()) == b'{"passed": true}'
    except WherryError as refused:
        assert refused.code in ("E_SIGNATURE", "E_KEY")


def test_a_stamp_goes_with_its_record(keys: KeyFolder) -> None:
    record = stamp(Statement("yes"), BLESSING, keys.signer())
    again = Statement.from_json(record.to_json())
    assert check_stamp(again, BLESSING, keys.keyring()).owner == "ann"
    assert stamp(record, BLESSING, keys.signer()) == record  # Ed25519 has no randomness


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"says": "no"}, "was changed after it was signed"),
        ({"envelope": ""}, "is not signed"),
        ({"envelope": "{}"}, "no signed envelope"),
    ],
)
def test_a_record_that_says_other_than_was_signed_is_refused(
    change: dict[str, Any], told: str, keys: KeyFolder
) -> None:
    record = stamp(Statement("yes"), BLESSING, keys.signer())
    with pytest.raises(SignatureError, match=told):
        check_stamp(replace(record, **change), BLESSING, keys.keyring())


def test_a_stamp_outlives_new_fields_of_its_record(keys: KeyFolder) -> None:
    old = stamp(Statement("yes"), BLESSING, keys.signer())

    @dataclass(frozen=True)
    class Newer(Record):
        says: str
        envelope: str = ""
        added_since: int = 7

    assert check_stamp(Newer.from_json(old.to_json()), BLESSING, keys.keyring()).owner == "ann"


def test_the_signer_is_found_by_the_variable(
    keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_KEYS", str(keys.folder))
    assert load_signer().key == keys.keyring().signing()
