"""Says which public keys are trusted, for what, and since when."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

from wherry.contracts import Digest
from wherry.contracts.errors import SigningKeyError
from wherry.contracts.record import Record
from wherry.signing.payloads import NAMES

_ID: Final = re.compile(r"[0-9a-f]{64}")
_TIMES: Final = ("valid_from", "retired_at", "revoked_at")
SHORTEST: Final = 8
"""Characters of a key's id that tell it from others, for people."""


@dataclass(frozen=True)
class Upheld:
    """One statement of a revoked key that is good all the same: somebody knows who made it."""

    statement: Digest
    """Of the bytes that were signed."""
    what: str
    """For people, such as ``the blessing of icd10-triage v3``."""
    reason: str
    """How it is known to be no thief's."""
    at: str
    """When that was said."""


@dataclass(frozen=True)
class TrustedKey:
    """A public key, and what its signatures are good for.

    A retired key signs no more, and what it signed stays good. A revoked key is one that
    somebody else may have: nothing that it signed is good any more.
    """

    id: str
    """64 hexadecimal digits; each signature names it."""
    type: str
    """Such as ``ed25519``, ``ecdsa``, ``rsa``."""
    scheme: str
    """Such as ``ed25519``, ``ecdsa-sha2-nistp256``."""
    public: str
    """The key itself: 64 hexadecimal digits of an Ed25519 key, else PEM."""
    owner: str
    """The person or service that signs with it."""
    valid_from: str
    """UTC, RFC 3339, as all times here."""
    uri: str = ""
    """Where the private key is: ``file:ID.pem`` in the folder of keys, ``awskms:…``, ``gcpkms:…``;
    empty where signatures are only verified."""
    may: tuple[str, ...] = ()
    """Payload types that it may sign; empty for all."""
    retired_at: str = ""
    """When another key took its place; empty until then."""
    revoked_at: str = ""
    """When its signatures ceased to be good; empty until then."""
    reason: str = ""
    """Why it was revoked."""
    upheld: tuple[Upheld, ...] = ()
    """What it signed that is good though it was revoked."""

    def __post_init__(self) -> None:
        """Checks the id and the times.

        Raises:
            ValueError: naming the field and the value.
        """
        if not _ID.fullmatch(self.id):
            raise ValueError(f"id must be 64 hexadecimal digits, got {self.id!r}")
        for name in _TIMES:
            value = getattr(self, name)
            if (value or name == "valid_from") and _instant(value) is None:
                raise ValueError(f"{name} must be RFC 3339 with a zone, got {value!r}")

    @property
    def short(self) -> str:
        """The beginning of the id, for people."""
        return self.id[:SHORTEST]

    @property
    def state(self) -> Literal["active", "retired", "revoked"]:
        """What may still be done with it."""
        if self.revoked_at:
            return "revoked"
        return "retired" if self.retired_at else "active"

    def is_early(self, at: datetime) -> bool:
        """Says whether the key is not valid yet at a moment: as a rule a clock is wrong."""
        return at < _moment(self.valid_from)

    def fault(self, payload_type: str, at: datetime, statement: Digest = "") -> str:
        """Says why a signature of this key, known to be from `at`, is not good; empty if it is.

        Args:
            payload_type: of what is signed.
            at: when it was there already.
            statement: the digest of what is signed; empty while nothing is yet.
        """
        upheld = any(one.statement == statement for one in self.upheld)
        if self.revoked_at and at >= _moment(self.revoked_at) and not upheld:
            why = f": {' '.join(self.reason.split())}" if self.reason else ""
            return f"was revoked at {self.revoked_at}{why}"
        if self.is_early(at):
            return f"is valid from {self.valid_from} on, not at {text_of(at)}"
        if self.may and payload_type not in self.may:
            allowed = ", ".join(map(_name_of, self.may))
            return f"may sign {allowed}, not {_name_of(payload_type)}"
        return ""


@dataclass(frozen=True)
class Keyring(Record):
    """The trusted keys of a project; every verifier needs it, and it holds no secret."""

    keys: tuple[TrustedKey, ...] = ()
    current: str = ""
    """The id of the key that signs from now on; empty where signatures are only verified."""
    schema: Literal["wherry.keyring/1"] = "wherry.keyring/1"

    def __post_init__(self) -> None:
        """Checks that ids are unique, and that the current key is one of them.

        Raises:
            ValueError: naming the id.
        """
        ids = [key.id for key in self.keys]
        if twice := next((id for id in ids if ids.count(id) > 1), ""):
            raise ValueError(f"the key {twice} stands in it twice")
        if self.current and self.current not in ids:
            raise ValueError(f"current names {self.current!r}, which is none of its keys")

    def find(self, id: str) -> TrustedKey | None:
        """Gives a key by its whole id, or None."""
        return next((key for key in self.keys if key.id == id), None)

    def named(self, beginning: str) -> TrustedKey:
        """Gives the one key whose id begins so.

        Raises:
            SigningKeyError: if there is none, or more than one.
        """
        found = [key for key in self.keys if key.id.startswith(beginning)] if beginning else []
        if len(found) != 1:
            raise SigningKeyError(
                f"{len(found)} keys begin with {beginning!r}, expected one.",
                remedy="Run `wherry keys list`, and write more of the id.",
            )
        return found[0]

    def signing(self) -> TrustedKey:
        """Gives the key that signs.

        Raises:
            SigningKeyError: if there is none, or it was revoked.
        """
        key = self.find(self.current)
        if key is None:
            raise SigningKeyError(
                "No key of this keyring signs here.",
                remedy="Run `wherry keys init`, or `wherry keys rotate` after a revocation.",
            )
        if key.state != "active":
            raise SigningKeyError(
                f"The key {key.short} was {key.state}.", remedy="Run `wherry keys rotate`."
            )
        return key

    def added(self, key: TrustedKey) -> "Keyring":
        """Gives the keyring with one more key.

        Raises:
            SigningKeyError: if it is there already.
        """
        if self.find(key.id):
            raise SigningKeyError(
                f"The key {key.short} is trusted already.", remedy="Run `wherry keys list`."
            )
        return replace(self, keys=(*self.keys, key))

    def taken_over(self, key: TrustedKey) -> "Keyring":
        """Gives the keyring in which a new key signs, and the one before is retired."""
        held = self.find(self.current)
        kept = self
        if held and held.state == "active":
            kept = self._changed(replace(held, retired_at=key.valid_from))
        return replace(kept.added(key), current=key.id)

    def revoked(self, id: str, reason: str, at: datetime) -> "Keyring":
        """Gives the keyring in which a key's signatures are no longer good; for ever.

        Raises:
            SigningKeyError: if no reason is given. One that was revoked before stays as it is.
        """
        key = self.named(id)
        if not reason.strip():
            raise SigningKeyError(
                f"No reason was given to revoke the key {key.short}.",
                remedy='Say why: --reason "the laptop was lost"',
            )
        if key.state == "revoked":
            return self
        kept = self._changed(replace(key, revoked_at=text_of(at), reason=reason.strip()))
        return replace(kept, current="" if self.current == key.id else self.current)

    def upholding(self, id: str, said: Upheld, came: datetime) -> "Keyring":
        """Gives the keyring in which one statement of a revoked key is good all the same.

        Args:
            id: of the key.
            said: the statement, and why.
            came: when the statement was there already.

        Raises:
            SigningKeyError: if the key is not revoked, or was before the statement came, or no
                reason is given. A statement that was upheld before stays as it is.
        """
        key = self.named(id)
        if key.state != "revoked":
            raise SigningKeyError(
                f"The key {key.short} is {key.state}: what it signed is good already.",
                remedy="Uphold what a revoked key signed: see `wherry keys list`.",
            )
        if came >= _moment(key.revoked_at):
            raise SigningKeyError(
                f"{said.what[:1].upper()}{said.what[1:]} came in at {text_of(came)}; its key was "
                f"revoked at {key.revoked_at}, and may have been somebody else's before.",
                remedy="Let the gate judge the file again, with a key that is good.",
            )
        if not said.reason.strip():
            raise SigningKeyError(
                f"No reason was given to uphold {said.what}.",
                remedy='Say how it is known to be no thief\'s: --reason "released in March"',
            )
        if any(one.statement == said.statement for one in key.upheld):
            return self
        return self._changed(replace(key, upheld=(*key.upheld, said)))

    def before_revocations(self) -> "Keyring":
        """Gives the same keys as if none had been revoked, to see what they signed then."""
        return replace(self, keys=tuple(replace(key, revoked_at="") for key in self.keys))

    def _changed(self, changed: TrustedKey) -> "Keyring":
        keys = tuple(changed if key.id == changed.id else key for key in self.keys)
        return replace(self, keys=keys)


def text_of(at: datetime) -> str:
    """Gives a time as ``2026-11-22T05:00:00Z``."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else None


def _moment(text: str) -> datetime:
    read = _instant(text)
    if read is None:  # __post_init__ let no other in
        raise AssertionError(text)
    return read


def _name_of(payload_type: str) -> str:
    return next((name for name, kind in NAMES.items() if kind == payload_type), payload_type)
