"""Turns a statement into a signed envelope (DSSE) and back.

The form is that of https://github.com/secure-systems-lab/dsse: JSON with the payload in base64,
its type, and signatures over both. Any DSSE reader can verify one with the public key.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from wherry.contracts import digest_bytes
from wherry.contracts.errors import SignatureError, SigningKeyError
from wherry.contracts.record import Record
from wherry.signing.keyring import Keyring, TrustedKey
from wherry.signing.payloads import BLESSING

LARGEST: Final = 16 << 20
"""Bytes of an envelope that are read; a blessing takes some thousand."""


class Signer(Protocol):
    """A private key that is at hand, in a file or in a key management service."""

    @property
    def key(self) -> TrustedKey:
        """Its public half."""

    def sign(self, message: bytes) -> bytes:
        """Gives the signature of a message.

        Raises:
            SigningKeyError: if the key cannot be used now.
        """


@dataclass(frozen=True)
class Verified:
    """What an envelope held, once a trusted key was found to have signed it."""

    payload: bytes
    key: TrustedKey


def sign(statement: Record | bytes, payload_type: str, signer: Signer) -> bytes:
    """Signs a statement.

    Example::

        envelope = sign(blessing, BLESSING, load_signer())
        payload = verify(envelope, BLESSING, load_keyring())

    Args:
        statement: a record, signed as the bytes that `Record.write` makes of it, or bytes.
        payload_type: what it is, such as ``application/vnd.wherry.blessing+json``.
        signer: whose key signs.

    Returns:
        The envelope, as JSON in one line.

    Raises:
        SigningKeyError: if the key cannot be used, or may not sign this.
    """
    from wherry.signing.schemes import encode

    payload = statement if isinstance(statement, bytes) else written(statement)
    if why := signer.key.fault(payload_type, now := datetime.now(UTC)):
        raise _unusable(signer.key, why, payload_type, now)
    return msgspec.json.encode(encode(payload, payload_type, signer))


def verify(
    envelope: bytes | str, payload_type: str, keyring: Keyring, *, at: datetime | None = None
) -> bytes:
    """Gives what an envelope holds, if a trusted key signed it; anything else raises.

    Args:
        envelope: what `sign` gave.
        payload_type: what it must be.
        keyring: the keys that are trusted.
        at: when it is known to have been signed already, from somewhere that a thief of the key
            cannot write to; None for now. A key revoked later is then still good.

    Raises:
        SignatureError: if it is no envelope, of another type, unsigned, or was changed.
        SigningKeyError: if no trusted key signed it, or one that is revoked, not valid yet, or
            not meant for this.
    """
    return open_envelope(envelope, payload_type, keyring, at=at).payload


def open_envelope(
    envelope: bytes | str, payload_type: str, keyring: Keyring, *, at: datetime | None = None
) -> Verified:
    """Gives what an envelope holds and whose key signed it; as `verify`."""
    from wherry.signing.schemes import Decoded, decode, holds

    found: Decoded = decode(_parsed(envelope))
    if found.payload_type != payload_type:
        raise SignatureError(
            f"The envelope holds {found.payload_type!r}, expected {payload_type!r}.",
            remedy="Hand over the statement that is asked for.",
        )
    known = [key for id in found.signed_by if (key := keyring.find(id))]
    if not known:
        raise _untrusted(found.signed_by, keyring)
    held = [key for key in known if holds(found, key)]
    if not held:
        raise SignatureError(
            f"The signature of the key {known[0].short} does not fit: the statement was changed "
            "after it was signed.",
            remedy="Make it again; do not edit a signed file.",
        )
    when, statement = at or datetime.now(UTC), digest_bytes(found.payload)
    faults = [key.fault(payload_type, when, statement) for key in held]
    for key, fault in zip(held, faults, strict=True):
        if not fault:
            return Verified(found.payload, key)
    raise _unusable(held[0], faults[0], payload_type, when)


def written(record: Record) -> bytes:
    """Gives the bytes that `Record.write` makes of a record."""
    return record.to_json().encode() + b"\n"


def _parsed(envelope: bytes | str) -> dict[str, Any]:
    text = envelope.encode() if isinstance(envelope, str) else envelope
    if not text.strip():
        raise SignatureError("It is not signed.", remedy="Sign it with a key that is trusted here.")
    if len(text) > LARGEST:
        raise SignatureError(
            f"The envelope has {len(text)} bytes, expected at most {LARGEST}.",
            remedy="Hand over a statement, not data.",
        )
    try:
        read = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SignatureError(
            f"It is no signed envelope: {error}.", remedy="Make the statement again."
        ) from error
    return read


def _untrusted(signed_by: tuple[str, ...], keyring: Keyring) -> SigningKeyError | SignatureError:
    if not signed_by:
        return SignatureError(
            "The envelope has no signature.", remedy="Sign it with a key that is trusted here."
        )
    trusted = ", ".join(key.short for key in keyring.keys) or "none"
    return SigningKeyError(
        f"It is signed by the key {signed_by[0][:8]!r}, which is not trusted here (trusted: "
        f"{trusted}).",
        remedy="If the key is right, add it with `wherry keys trust`; else make the statement "
        "again with a trusted key.",
    )


def _unusable(key: TrustedKey, why: str, payload_type: str, at: datetime) -> SigningKeyError:
    remedy = "Sign again with a key that is good: see `wherry keys list`."
    if key.is_early(at):
        remedy = "Correct this machine's clock; if a wrong one made the key: `wherry keys rotate`."
    elif key.state == "revoked" and payload_type == BLESSING:
        # No version is ever blessed twice: without this nothing leads back to it.
        remedy = (
            "If it is of a version already, and you know that it was blessed before somebody else "
            'had the key: wherry keys uphold NAME:VERSION --reason "…". If not, let the gate judge '
            "again."
        )
    return SigningKeyError(f"The key {key.short} of {key.owner} {why}.", remedy=remedy)
