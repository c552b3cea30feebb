"""Rebuilds the store's state from its audit rows, to compare it with the tables."""

from dataclasses import dataclass, field
from typing import Final

from wherry.contracts import Digest, digest_bytes
from wherry.ledger.records import AuditRow

WITHDRAWN: Final = {"retire": "retired", "revoke": "revoked"}
"""Action → the state that it leaves a version in."""
_NO_MOVES: Final = ("stage", "register")


def beside(name: str, version: int, what: str) -> Digest:
    """Gives what stands for something of a version in a comparison: its state, its approval."""
    return digest_bytes(f"{name}\n{version}\n{what}".encode())


@dataclass
class Replay:
    """Aliases, versions and deployments as the audit rows tell them."""

    versions: dict[tuple[str, int], tuple[int, Digest | None]] = field(default_factory=dict)
    """Name and version → the row's seq and the digest of the version's record."""
    withdrawn: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    """Name and version → the seq of the last row that withdrew it, and the state that it left."""
    _last: dict[str, int] = field(default_factory=dict)
    """Name → its newest version."""
    aliases: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    """Name and alias → the row's seq, version and generation."""
    deployments: dict[int, Digest] = field(default_factory=dict)
    """The row's seq → the digest of the deployment's record."""
    approvals: dict[int, Digest] = field(default_factory=dict)
    """The row's seq → what stands for the version and the digest of the approval's record."""
    states: dict[int, Digest] = field(default_factory=dict)
    """The row's seq → what stands for the version and its new state."""

    def apply(self, row: AuditRow) -> str:
        """Takes in the next row; says in words which rule it breaks, or nothing."""
        if row.action in _NO_MOVES and (row.moves or row.deploy or row.approval):
            return f"a row of the kind {row.action} moves, deploys and approves nothing"
        if row.action == "stage":
            return ""
        if row.action == "register":
            return self._register(row)
        if (row.model.name, row.model.version) not in self.versions:
            return f"version {row.model.version} of {row.model.name} was never registered"
        self._keep(row)
        return next(filter(None, (self._move(row, at) for at in range(len(row.moves)))), "")

    def _keep(self, row: AuditRow) -> None:
        """Notes what must stand beside the row."""
        if row.deploy:
            self.deployments[row.seq] = row.deploy.record_digest
        if row.approval:
            approved = row.approval.record_digest
            self.approvals[row.seq] = beside(row.model.name, row.model.version, approved)
        if row.action in WITHDRAWN:
            state = WITHDRAWN[row.action]
            self.states[row.seq] = beside(row.model.name, row.model.version, state)
            self.withdrawn[row.model.name, row.model.version] = row.seq, state

    def _register(self, row: AuditRow) -> str:
        last = self._last.get(row.model.name, 0)
        if row.model.version != last + 1:
            return f"version {row.model.version} of {row.model.name} is out of order"
        self._last[row.model.name] = row.model.version
        self.versions[row.model.name, row.model.version] = row.seq, row.model.record_digest
        return ""

    def _move(self, row: AuditRow, at: int) -> str:
        move = row.moves[at]
        _, _, generation = self.aliases.get((row.model.name, move.alias), (0, 0, 0))
        if move.generation != generation + 1:
            return f"{move.alias} goes from generation {generation} to {move.generation}"
        if (row.model.name, move.version) not in self.versions:
            return f"{move.alias} points at version {move.version}, never registered"
        if gone := self.withdrawn.get((row.model.name, move.version)):
            return f"{move.alias} points at version {move.version}, {gone[1]} in row {gone[0]}"
        self.aliases[row.model.name, move.alias] = row.seq, move.version, move.generation
        return ""
