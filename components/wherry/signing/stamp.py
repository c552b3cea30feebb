"""Signs a record inside itself, so that the signature goes wherever the record goes.

The record has a field ``envelope: str = ""``. It holds the whole signed statement, not the
signature alone: a record that a later version writes with more fields can still be verified.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from wherry.contracts.errors import SignatureError, SigningKeyError
from wherry.contracts.record import Record
from wherry.signing.envelope import Signer, Verified, open_envelope, sign
from wherry.signing.keyring import Keyring, TrustedKey

R = TypeVar("R", bound=Record)


def stamp(record: R, payload_type: str, signer: Signer) -> R:
    """Gives a record with its own signed statement in ``envelope``.

    Raises:
        SigningKeyError: if the key cannot be used.
    """
    plain = _plain(record)
    return _with_envelope(plain, sign(plain, payload_type, signer).decode())


def check_stamp(
    record: Record, payload_type: str, keyring: Keyring, *, at: datetime | None = None
) -> TrustedKey:
    """Gives the trusted key that signed a record; refuses one that says other than was signed.

    Raises:
        SignatureError: if it is unsigned, or its fields are not those that were signed.
        SigningKeyError: if no trusted key that is good signed it.
    """
    return open_stamp(record, payload_type, keyring, at=at).key


def open_stamp(
    record: Record, payload_type: str, keyring: Keyring, *, at: datetime | None = None
) -> Verified:
    """Gives what was signed of a record, and the key that signed it; as `check_stamp`."""
    envelope: str = getattr(record, "envelope", "")
    if not envelope:
        raise SignatureError(
            f"The {type(record).__name__.lower()} is not signed.",
            remedy="Make it again: it is signed with the key of `wherry keys list`.",
        )
    found = open_envelope(envelope, payload_type, keyring, at=at)
    if type(record).from_json(found.payload, where="the signed statement") != _plain(record):
        raise SignatureError(
            f"The {type(record).__name__.lower()} was changed after it was signed.",
            remedy="Make it again; do not edit a signed file.",
        )
    return found


def is_stamped_by(record: Record, payload_type: str, keyring: Keyring, who: str) -> bool:
    """Says whether a trusted key of that very person signed a record as it is."""
    try:
        return check_stamp(record, payload_type, keyring).owner == who
    except (SignatureError, SigningKeyError):
        return False


def _plain(record: R) -> R:
    return _with_envelope(record, "")


def _with_envelope(record: R, envelope: str) -> R:
    changed: Any = record
    made: R = replace(changed, envelope=envelope)
    return made
