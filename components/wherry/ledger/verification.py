"""Checks a store from its first audit row to its tables, and against signed checkpoints."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from wherry.contracts import Deployment, Digest, Release, digest_bytes
from wherry.contracts.errors import FormatError, StoreError
from wherry.ledger.chain import examined, row_of
from wherry.ledger.checkpoints import Held, Signed, text_of
from wherry.ledger.events import pair_digest, register_key
from wherry.ledger.merkle import Frontier, Node, leaf_hash
from wherry.ledger.records import CHALLENGER, GENESIS, AuditRow, Evidence, Verification
from wherry.ledger.replay import Replay, beside
from wherry.ledger.rules import approval_missing
from wherry.ledger.tree import BLOCK

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy

_SHOWN: Final = 10
"""Rows with a wrong time that are named."""
_UNGUARDED: Final = (
    "All rows and tables agree, but the database no longer refuses changes of them: triggers are "
    "gone or switched off"
)


def verify(tables: "Tables", checkpoints: Iterable[Signed] = ()) -> Verification:
    """Recomputes the chain and its tree, replays it, and compares the result with the tables.

    Memory grows with versions, deployments and checkpoints, and by 32 bytes for 256 rows.

    Args:
        tables: of the store, inside one `Tables.reading`.
        checkpoints: that the log must contain; their signatures have been verified.
    """
    log = _Log(dict(tables.blocks()), Held(checkpoints))
    for stored in tables.raw_log():
        if flaw := log.take(*stored):
            return log.bad(*flaw)
    if reason := log.held.missing(log.rows):
        return log.bad(log.rows + 1, f"Audit row {log.rows + 1}: {reason}.")
    if bad := log.kept_flaw() or _table_flaw(tables, log.replay):
        seq, reason = bad
        # What no row tells of lacks the row that would come next.
        return log.bad(seq or log.rows + 1, reason)
    if gone := tables.missing_rules():
        return log.bad(None, f"{_UNGUARDED}: {', '.join(gone)}.")
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

    def take(self, seq: int, hash: Digest, text: str, event_id: str) -> tuple[int, str] | None:
        """Takes in the next row; gives the first bad row and what is wrong with it, or None."""
        self.rows += 1
        if reason := self._row_flaw(seq, hash, text, event_id):
            return self.rows, f"Audit row {self.rows}: {reason}."
        return self._tree_flaw(text)

    def kept_flaw(self) -> tuple[int, str] | None:
        """Says where hashes are kept of rows that are gone, or none of rows before others."""
        for place, number in enumerate(sorted(self._blocks)):
            if place != number:
                first = place * BLOCK + 1
                return first, f"Audit row {first}: the hash kept of it and those after it is gone."
            if number >= self.rows // BLOCK:
                told = f"the log ends with row {self.rows}, but a hash is kept of later ones"
                return self.rows + 1, f"Audit row {self.rows + 1}: {told}."
        return None

    def bad(self, first_bad: int | None, reason: str) -> Verification:
        """Gives the verdict with the first bad row; None if none is."""
        return replace(self.good(), ok=False, first_bad=first_bad, reason=reason)

    def good(self) -> Verification:
        """Gives the verdict on what went by."""
        return Verification(
            ok=True,
            rows=self.rows,
            head=self._head,
            root=text_of(self._root()),
            checkpoints=self.held.count,
            covered=self.held.covered,
            skewed=tuple(self._skewed),
        )

    def _row_flaw(self, seq: int, hash: Digest, text: str, event_id: str) -> str:
        if seq != self.rows:
            return f"its number is {seq}"
        if not (isinstance(hash, str) and isinstance(text, str)):
            # SQLite keeps bytes in a column of texts, too; damaged ones come as bytes.
            return "its text or its hash is no text"
        record, reason = examined(text, hash, seq=self.rows, prev=self._head)
        if reason:
            return reason
        try:
            row = row_of(record)
        except StoreError as error:
            return error.message
        if row.event_id != event_id:
            return "it is not found by its event: its event_id was changed"
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


def _table_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    return (
        _version_flaw(tables, replay)
        or _alias_flaw(tables, replay)
        or _deployment_flaw(tables, replay)
        or _standing_flaw(tables, replay)
    )


def _version_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.versions)
    for name, version, digest, record, evidence in tables.raw_versions():
        seq, expected = told.pop((name, version), (0, None))
        if expected != pair_digest(record, evidence) or not _is_of(record, evidence, digest):
            return seq, f"Version {version} of {name} is not as {_row(seq)} recorded it."
        # By its event a version finds who made it, and who may therefore not approve it.
        made = tables.row(register_key(name, digest))
        if made is None or made.seq != seq:
            return seq, f"Audit row {seq} is not found by the event of what it registered."
    for (name, version), (seq, _) in told.items():
        return seq, f"Version {version} of {name}, recorded in audit row {seq}, is gone."
    return None


def _is_of(record: str, evidence: str, digest: Digest) -> bool:
    try:
        Evidence.from_json(evidence)
        return Release.from_json(record).digest == digest
    except FormatError:
        return False


def _alias_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.aliases)
    for name, alias, version, generation in tables.raw_aliases():
        seq, *expected = told.pop((name, alias), (0, 0, 0))
        if expected != [version, generation]:
            return seq, (
                f"{alias} of {name} points at version {version}, generation {generation}; "
                f"{_row(seq)} left it at version {expected[0]}, generation {expected[1]}."
            )
        # A forger of rows may leave this out; whoever moved it by our rules did not.
        blessing = tables.evidence(name, version).blessing
        missing = approval_missing(blessing, tables.approvals(name, version))
        if missing and alias != CHALLENGER:
            return seq, f"{alias} of {name} points at version {version}, but {missing}."
    for (name, alias), (seq, *_) in told.items():
        return seq, f"{alias} of {name}, set in audit row {seq}, is gone."
    return None


def _deployment_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    stored = list(tables.raw_deployments())
    told = ((seq, digest_bytes(str(record).encode())) for seq, *_, record in stored)
    if flaw := _beside_flaw("deployment", told, replay.deployments):
        return flaw
    for seq, *columns, record in stored:
        # A rollback asks by these columns for what was healthy, a deployer for what was last.
        if columns != _columns(record):
            return seq, f"The deployment of audit row {seq} stands under another model or target."
    return None


def _columns(record: str) -> list[Any]:
    try:
        one = Deployment.from_json(record)
    except FormatError:
        return []
    return [one.name, one.version, one.target, one.generation]


def _standing_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    approvals = (
        (seq, beside(name, version, digest_bytes(str(text).encode())))
        for seq, name, version, text in tables.raw_approvals()
    )
    states = ((seq, beside(*rest)) for seq, *rest in tables.raw_states())
    return (
        _beside_flaw("approval", approvals, replay.approvals)
        or _beside_flaw("state", states, replay.states)
        or _hidden_flaw(tables, replay)
    )


def _hidden_flaw(tables: "Tables", replay: Replay) -> tuple[int, str] | None:
    """Asks for states as a promotion does: a damaged index hides a row that is there."""
    for (name, version), (seq, state) in replay.withdrawn.items():
        if tables.state(name, version) != state:
            return seq, f"The state of audit row {seq} is not found where it is: damaged index."
    return None


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
