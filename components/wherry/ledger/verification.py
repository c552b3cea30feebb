"""Checks a store from its first audit row to its tables, and against signed checkpoints."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wherry.contracts import Digest, Release, digest_bytes
from wherry.contracts.errors import StoreError
from wherry.ledger.chain import examined, row_of
from wherry.ledger.checkpoints import Held, Signed, text_of
from wherry.ledger.events import pair_digest
from wherry.ledger.merkle import Frontier, Node, leaf_hash
from wherry.ledger.records import GENESIS, AuditRow, Verification
from wherry.ledger.replay import Replay, state_digest
from wherry.ledger.tree import BLOCK

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy

_SHOWN: Final = 10
"""Rows with a wrong time that are named."""


def verify(tables: "Tables", checkpoints: Iterable[Signed] = ()) -> Verification:
    """Recomputes the chain and its tree, replays it, and compares the result with the tables.

    Memory grows with versions, deployments and checkpoints, and by 32 bytes for 256 rows.

    Args:
        tables: of the store, inside one `Tables.reading`.
        checkpoints: that the log must contain; their signatures have been verified.
    """
    log = _Log(dict(tables.blocks()), Held(checkpoints))
    for seq, hash, text in tables.raw_rows():
        if flaw := log.take(seq, hash, text):
            return log.bad(*flaw)
    if reason := log.held.missing(log.rows):
        return log.bad(log.rows + 1, f"Audit row {log.rows + 1}: {reason}.")
    replay = log.replay
    bad = _version_flaw(tables, replay) or _alias_flaw(tables, replay)
    if bad := bad or _deployment_flaw(tables, replay) or _standing_flaw(tables, replay):
        seq, reason = bad
        # What no row tells of lacks the row that would come next.
        return log.bad(seq or log.rows + 1, reason)
    return log.good()


class _Log:
    """What is known of the rows that went by."""

    def __init__(self, blocks: dict[int, str], held: Held) -> None:
        self.rows = 0
        self.replay = Replay()
        self.held = held
        self._blocks = blocks
        self._tree = Frontier()
        self._block = Frontier()
        self._head: Digest = GENESIS
        self._time = ""
        self._skewed: list[int] = []

    def take(self, seq: int, hash: Digest, text: str) -> tuple[int, str] | None:
        """Takes in the next row; gives the first bad row and what is wrong with it, or None."""
        self.rows += 1
        if reason := self._row_flaw(seq, hash, text):
            return self.rows, f"Audit row {self.rows}: {reason}."
        return self._tree_flaw(text)

    def bad(self, first_bad: int, reason: str) -> Verification:
        """Gives the verdict with the first bad row."""
        return replace(self.good(), ok=False, first_bad=first_bad, reason=reason)

    def good(self) -> Verification:
        """Gives the verdict on what went by."""
        return Verification(
            ok=True,
            rows=self.rows,
            head=self._head,
            root=text_of(self._root()),
            checkpoints=self.held.count,
            skewed=tuple(self._skewed),
        )

    def _row_flaw(self, seq: int, hash: Digest, text: str) -> str:
        if seq != self.rows:
            return f"its number is {seq}"
        record, reason = examined(text, hash, seq=self.rows, prev=self._head)
        if reason:
            return reason
        try:
            row = row_of(record)
        except StoreError as error:
            return error.message
        self._head = hash
        self._follow_clock(row)
        return self.replay.apply(row)

    def _follow_clock(self, row: AuditRow) -> None:
        if row.ts < self._time and len(self._skewed) < _SHOWN:
            self._skewed.append(row.seq)
        self._time = row.ts

    def _tree_flaw(self, text: str) -> tuple[int, str] | None:
        self._block.add(leaf_hash(text.encode()))
        if self._block.size == BLOCK and (flaw := self._block_flaw()):
            return flaw
        if self.rows == self.held.next:
            first = self.held.covered + 1
            if reason := self.held.flaw(self.rows, self._root(), self._head):
                return first, f"Audit rows {first} to {self.rows}: {reason}."
        return None

    def _root(self) -> Node:
        return self._tree.root(self._block)

    def _block_flaw(self) -> tuple[int, str] | None:
        number = self.rows // BLOCK - 1
        whole, self._block = self._block.root(), Frontier()
        self._tree.add(whole, BLOCK)
        if self._blocks.get(number, whole.hex()) == whole.hex():
            return None
        first = number * BLOCK + 1
        return first, f"Audit rows {first} to {self.rows}: the hash kept of them is another one."


def _version_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.versions)
    for name, version, digest, record, evidence in tables.raw_versions():
        seq, expected = told.pop((name, version), (0, None))
        if expected != pair_digest(record, evidence) or Release.from_json(record).digest != digest:
            return seq, f"Version {version} of {name} is not as {_row(seq)} recorded it."
    for (name, version), (seq, _) in told.items():
        return seq, f"Version {version} of {name}, recorded in audit row {seq}, is gone."
    return None


def _alias_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.aliases)
    for name, alias, version, generation in tables.raw_aliases():
        seq, *expected = told.pop((name, alias), (0, 0, 0))
        if expected != [version, generation]:
            return seq, (
                f"{alias} of {name} points at version {version}, generation {generation}; "
                f"{_row(seq)} left it at version {expected[0]}, generation {expected[1]}."
            )
    for (name, alias), (seq, *_) in told.items():
        return seq, f"{alias} of {name}, set in audit row {seq}, is gone."
    return None


def _deployment_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    told = ((seq, digest_bytes(record.encode())) for seq, record in tables.raw_deployments())
    return _beside_flaw("deployment", told, replay.deployments)


def _standing_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    approvals = ((seq, digest_bytes(text.encode())) for seq, *_, text in tables.raw_approvals())
    states = ((seq, state_digest(*rest)) for seq, *rest in tables.raw_states())
    return _beside_flaw("approval", approvals, replay.approvals) or _beside_flaw(
        "state", states, replay.states
    )


def _beside_flaw(
    what: str, kept: Iterable[tuple[int, Digest]], recorded: Mapping[int, Digest]
) -> tuple[int, str] | None:
    """Compares what is kept beside audit rows with what the rows recorded."""
    told = dict(recorded)
    for seq, digest in kept:
        if told.pop(seq, None) != digest:
            return seq, f"The {what} of audit row {seq} is not as it was recorded."
    for seq in told:
        return seq, f"The {what} of audit row {seq} is gone."
    return None


def _row(seq: int) -> str:
    return f"audit row {seq}" if seq else "no audit row"
