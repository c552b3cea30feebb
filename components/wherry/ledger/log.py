"""The audit log as an auditor asks for it: checkpoints, proofs, and the rows that matter."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from wherry.contracts import Release, digest_bytes
from wherry.contracts.errors import MissingError, StoreError
from wherry.contracts.record import Record
from wherry.ledger import checkpoints
from wherry.ledger.chain import opened
from wherry.ledger.checkpoints import Checkpoint, Signed, check_extends, signed, text_of
from wherry.ledger.places import Place
from wherry.ledger.records import AuditRow
from wherry.ledger.signatures import Signatures, came_in, check_signatures
from wherry.ledger.tree import Tree
from wherry.signing import Keyring, Signer

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables


@dataclass(frozen=True)
class Proof(Record):
    """That one row is in the log that somebody signed; nothing else of the log is needed."""

    seq: int
    record: str
    """The row's canonical text."""
    path: tuple[str, ...]
    """The hashes beside the way from the row to the root, 64 hexadecimal digits each."""
    checkpoint: dict[str, Any]
    """The signed checkpoint, a DSSE envelope."""
    schema: Literal["wherry.proof/1"] = "wherry.proof/1"


@dataclass(frozen=True)
class Consistency(Record):
    """That the log that was signed is the beginning of the one that was signed later."""

    earlier: dict[str, Any]
    """The checkpoint of the beginning, a DSSE envelope."""
    path: tuple[str, ...]
    """The hashes that lead from the one root to the other, 64 hexadecimal digits each."""
    checkpoint: dict[str, Any]
    """The later checkpoint, a DSSE envelope."""
    schema: Literal["wherry.consistency/1"] = "wherry.consistency/1"


@dataclass(frozen=True)
class Wanted:
    """Which rows somebody wants to see; what is left empty does not narrow them."""

    model: str = ""
    version: int | None = None
    action: str = ""
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, row: AuditRow) -> bool:
        """Says whether a row is among them."""
        return (
            self.model in ("", row.model.name)
            and self.version in (None, row.model.version)
            and self.action in ("", row.action)
            and self.actor in ("", row.actor.id if row.actor else "")
            and self._in_time(row)
        )

    def _in_time(self, row: AuditRow) -> bool:
        if self.since is None and self.until is None:
            return True
        moment = datetime.fromisoformat(row.ts)
        return (self.since is None or self.since <= moment) and (
            self.until is None or moment <= self.until
        )


class AuditLog:
    """The rows of a store, read only.

    Args:
        tables: of the store.
        clock: gives the time in UTC.
    """

    def __init__(self, tables: "Tables", clock: Callable[[], datetime]) -> None:
        self._tables = tables
        self._clock = clock

    @property
    def size(self) -> int:
        """How many rows there are."""
        return self._tables.head()[0]

    def rows(self, wanted: Wanted | None = None) -> Iterator[AuditRow]:
        """Yields the rows that somebody wants, in order."""
        for _, hash, text in self._tables.raw_rows():
            row = opened(text, hash)
            if wanted is None or wanted.takes(row):
                yield row

    def text(self, seq: int) -> str:
        """Gives a row's canonical text.

        Raises:
            MissingError: naming the rows that there are.
        """
        for number, _, text in self._tables.raw_rows(seq - 1, seq):
            if number == seq:
                return str(text)
        raise MissingError(
            f"there is no audit row {seq}, only 1 to {self._tables.head()[0]}.",
            remedy="`wherry audit log` lists them.",
        )

    def signatures(self, keyring: Keyring, held: Iterable[Signed] = ()) -> Signatures:
        """Checks who signed the blessings, waivers and approvals of a store that is whole.

        Args:
            keyring: the keys that are trusted.
            held: checkpoints that the log agrees with: they bound when rows were written.
        """
        return check_signatures(self._tables, keyring, held, self._clock().astimezone(UTC))

    def came_in(self, release: Release, held: Iterable[Signed] = ()) -> datetime:
        """Gives when a version came into the log; the strictest, now, if no row tells.

        Args:
            release: the version.
            held: as for `signatures`.
        """
        return came_in(self._tables, release, held, self._clock().astimezone(UTC))

    def checkpoint(self) -> Checkpoint:
        """Gives the log as it stands, to be signed.

        Raises:
            MissingError: if it has no row yet.
        """
        return self._checkpoint(Tree.of(self._tables))

    def keep(self, kept: Sequence[Place], signer: Signer, keyring: Keyring) -> Signed:
        """Signs the log as it stands and keeps the checkpoint in each place.

        Args:
            kept: the places; the newest checkpoint of each must be of this log.
            signer: whose key signs.
            keyring: the keys that are trusted.

        Raises:
            StoreError: if the log is no longer the one that was signed before.
            SigningKeyError: if there is no key, or a revoked one signed the newest checkpoint.
        """
        made = signed(self._checkpoint(self._grown(kept, keyring)), signer)
        for place in kept:
            place.put(made.name, made.envelope)
            _check_kept(place, made, keyring)
        return made

    def check_grown(self, kept: Sequence[Place], keyring: Keyring) -> None:
        """Refuses a log that `keep` would not sign, before something is added to it.

        Raises:
            StoreError: if its end was cut off, an older copy restored, or rows were changed.
            SigningKeyError: if no trusted key signed the newest checkpoint of a place.
        """
        self._grown(kept, keyring)

    def prove(self, seq: int, under: Signed) -> Proof:
        """Proves that a row is in the log that a checkpoint covers.

        Args:
            seq: the row's number.
            under: the signed checkpoint.

        Raises:
            MissingError: if there is no such row, or the checkpoint is older than it.
            StoreError: if the log is no longer the one that was signed.
        """
        text, checkpoint, tree = self.text(seq), under.checkpoint, Tree.of(self._tables)
        if seq > checkpoint.size:
            raise MissingError(
                f"the checkpoint of {checkpoint.ts} covers {checkpoint.size} rows, not row {seq}.",
                remedy="Prove it by a newer checkpoint: `wherry audit checkpoint` makes one.",
            )
        _check_covers(tree, checkpoint)
        path = tree.inclusion(seq, checkpoint.size)
        envelope = msgspec.json.decode(under.envelope)
        return Proof(seq, text, tuple(node.hex() for node in path), envelope)

    def consistency(self, earlier: Signed, under: Signed) -> Consistency:
        """Proves that nothing that was signed was changed since: rows were only added.

        Args:
            earlier: the signed checkpoint to begin with.
            under: a later one.

        Raises:
            MissingError: if it is not later.
            StoreError: if the log is no longer the one that was signed.
        """
        old, new, tree = earlier.checkpoint, under.checkpoint, Tree.of(self._tables)
        if old.size >= new.size:
            raise MissingError(
                f"the checkpoint of {new.ts} covers {new.size} rows, not more than the {old.size} "
                "to begin with.",
                remedy="Name an older one to begin with, or wait until a row is added.",
            )
        _check_covers(tree, old)
        _check_covers(tree, new)
        path = tuple(node.hex() for node in tree.consistency(old.size, new.size))
        return Consistency(
            earlier=msgspec.json.decode(earlier.envelope),
            path=path,
            checkpoint=msgspec.json.decode(under.envelope),
        )

    def _grown(self, kept: Sequence[Place], keyring: Keyring) -> Tree:
        # The places first: a checkpoint that another process adds now must not seem ahead of us.
        before = [last for place in kept if (last := _last(place, keyring))]
        tree = Tree.of(self._tables)
        for one in before:
            _check_covers(tree, one.checkpoint)
        return tree

    def _checkpoint(self, tree: Tree) -> Checkpoint:
        if not tree.size:
            raise MissingError(
                "there is no audit row to sign yet.", remedy="Release a model first: wherry run"
            )
        ((_, head, _),) = self._tables.raw_rows(tree.size - 1, tree.size)
        return Checkpoint(
            log=digest_bytes(self.text(1).encode()),
            size=tree.size,
            root=text_of(tree.root()),
            head=head,
            ts=self._clock().astimezone(UTC).isoformat(timespec="microseconds"),
        )


def _last(place: Place, keyring: Keyring) -> Signed | None:
    """Gives the newest checkpoint of a place; what a revoked key signed counts for nothing."""
    for name in reversed(place.names()):
        envelope = place.read(name)
        if not checkpoints.is_revoked(envelope, keyring):
            return checkpoints.opened(envelope, keyring, where=name)
    return None


def _check_kept(place: Place, made: Signed, keyring: Keyring) -> None:
    """Refuses a place that keeps something else under the checkpoint's name."""
    there = place.read(made.name)
    # Of two that say the same, the first stays: they differ by their time.
    if there != made.envelope:
        held = checkpoints.opened(there, keyring, where=made.name).checkpoint
        if (held.size, held.root) != (made.checkpoint.size, made.checkpoint.root):
            raise StoreError(
                f"{made.name} holds a checkpoint of another log.",
                remedy="Find out who wrote it, and keep checkpoints in a place of their own.",
            )


def _check_covers(tree: Tree, checkpoint: Checkpoint) -> None:
    if checkpoint.size > tree.size:
        raise StoreError(
            f"the log has {tree.size} rows, but {checkpoint.size} were signed at {checkpoint.ts}.",
            remedy="Its end was cut off or an older copy restored: restore the newest one. If the "
            "rows are lost for good, keep these checkpoints and name a new place in "
            "WHERRY_CHECKPOINTS.",
        )
    check_extends(tree.root(checkpoint.size), checkpoint)
