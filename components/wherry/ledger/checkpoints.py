"""Turns the log's state into a signed checkpoint, which is kept where the store cannot reach.

Whoever can write the store can write it anew from its first row. What they cannot do is find a
log that agrees with a checkpoint that was signed and kept elsewhere before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from wherry.contracts import Digest
from wherry.contracts.errors import SignatureError, SigningKeyError, StoreError
from wherry.contracts.record import Record
from wherry.ledger.merkle import Node
from wherry.signing import CHECKPOINT, Keyring, Signer, open_envelope, sign

SUFFIX: Final = ".checkpoint.json"


@dataclass(frozen=True)
class Checkpoint(Record):
    """The audit log at one moment. Signed in a DSSE envelope, it binds every row up to `size`."""

    log: Digest
    """Hash of the first row: which log this is of."""
    size: int
    """Rows that it covers."""
    root: Digest
    """Root of their Merkle tree (RFC 6962)."""
    head: Digest
    """Hash of the last of them."""
    ts: str
    """UTC, RFC 3339: when it was taken."""
    schema: Literal["wherry.checkpoint/1"] = "wherry.checkpoint/1"


@dataclass(frozen=True)
class Signed:
    """A checkpoint that a trusted key signed."""

    checkpoint: Checkpoint
    envelope: bytes
    """Its DSSE envelope."""
    key: str
    """The id of the key that signed it."""
    where: str = ""
    """The file that it was read from."""

    @property
    def name(self) -> str:
        """The name of its file: in the order of the log, one a state and a key."""
        root = self.checkpoint.root.removeprefix("sha256:")
        return f"{self.checkpoint.size:012}-{root[:16]}-{self.key[:8]}{SUFFIX}"


def text_of(node: Node) -> Digest:
    """Gives a tree's hash as digests are written."""
    return f"sha256:{node.hex()}"


def signed(checkpoint: Checkpoint, signer: Signer) -> Signed:
    """Signs a checkpoint.

    Raises:
        SigningKeyError: if the key cannot be used, or may not sign checkpoints.
    """
    envelope = sign(checkpoint, CHECKPOINT, signer) + b"\n"
    return Signed(checkpoint, envelope, signer.key.id)


def opened(
    envelope: bytes, keyring: Keyring, *, where: str = "", at: datetime | None = None
) -> Signed:
    """Gives a checkpoint whose signature holds.

    Args:
        envelope: a file's bytes.
        keyring: the keys that are trusted.
        where: the file, for messages.
        at: when it is known to have been there; None for now.

    Raises:
        SignatureError: if it is unsigned or was changed; it names the file.
        SigningKeyError: if no trusted key, or a revoked one, signed it.
        FormatError: if what was signed is no checkpoint.
    """
    try:
        found = open_envelope(envelope, CHECKPOINT, keyring, at=at)
    except (SignatureError, SigningKeyError) as error:
        told = f"{where or 'The checkpoint'}: {error.message}"
        raise type(error)(told, remedy=error.remedy) from error
    checkpoint = Checkpoint.from_json(found.payload, where=where or "the checkpoint")
    return Signed(checkpoint, envelope, found.key.id, where)


def size_of(name: str) -> int:
    """Gives how many rows a checkpoint covers, by the name of its file."""
    rows = name.partition("-")[0]
    return int(rows) if rows.isdecimal() else 0


def is_revoked(envelope: bytes, keyring: Keyring) -> bool:
    """Says whether an envelope names a key that was revoked, and none that is good."""
    try:
        signatures = msgspec.json.decode(envelope)["signatures"]
        keys = [keyring.find(one["keyid"]) for one in signatures]
    except (msgspec.MsgspecError, KeyError, TypeError):
        return False
    return bool(keys) and all(key and key.state == "revoked" for key in keys)


def check_extends(tree_root: Node, last: Checkpoint) -> None:
    """Refuses to sign a log that is no longer the one that was signed before.

    Args:
        tree_root: over the first `last.size` rows.
        last: the newest checkpoint that is kept.

    Raises:
        StoreError: naming the rows that changed.
    """
    if text_of(tree_root) != last.root:
        raise StoreError(
            f"the first {last.size} audit rows are no longer those of the checkpoint of {last.ts}.",
            remedy="Do not go on with this store: run `wherry audit verify`, then restore it.",
        )


class Held:
    """Checkpoints that a log is held against while its rows go by."""

    def __init__(self, checkpoints: Iterable[Signed]) -> None:
        self._left = sorted(checkpoints, key=lambda one: one.checkpoint.size, reverse=True)
        self.count = 0
        """Those that agreed."""
        self.covered = 0
        """Rows that they cover."""

    @property
    def next(self) -> int:
        """The size at which the next one is compared; 0 if none is left."""
        return self._left[-1].checkpoint.size if self._left else 0

    def flaw(self, size: int, root: Node, head: Digest) -> str:
        """Says which checkpoint of this size the log contradicts, or nothing."""
        while self._left and self._left[-1].checkpoint.size == size:
            one = self._left.pop()
            if (one.checkpoint.root, one.checkpoint.head) != (text_of(root), head):
                since = f"after row {self.covered} " if self.covered else ""
                return (
                    f"the rows up to {size} are not those that were signed at "
                    f"{one.checkpoint.ts}{_file(one)}: they were changed {since}and chained anew"
                )
            self.count += 1
        self.covered = size
        return ""

    def missing(self, size: int) -> str:
        """Says that the log's tail is gone, if a checkpoint covers more than there is."""
        if not self._left:
            return ""
        last = self._left[0]
        return (
            f"the log ends with row {size}, but {last.checkpoint.size} rows were signed at "
            f"{last.checkpoint.ts}{_file(last)}: its end was cut off, or an older copy restored"
        )


def _file(one: Signed) -> str:
    return f" ({one.where})" if one.where else ""
