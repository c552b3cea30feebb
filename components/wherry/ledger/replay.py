"""Rebuilds the store's state from its audit rows, to compare it with the tables."""

from dataclasses import dataclass, field

from wherry.contracts import Digest
from wherry.ledger.records import AuditRow


@dataclass
class Replay:
    """Aliases, versions and deployments as the audit rows tell them."""

    versions: dict[tuple[str, int], tuple[int, Digest | None]] = field(default_factory=dict)
    """Name and version → the row's seq and the digest of the version's record."""
    aliases: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    """Name and alias → the row's seq, version and generation."""
    deployments: dict[int, Digest] = field(default_factory=dict)
    """The row's seq → the digest of the deployment's record."""

    def apply(self, row: AuditRow) -> str:
        """Takes in the next row; says in words which rule it breaks, or nothing."""
        if row.action == "register":
            return self._register(row)
        if row.deploy:
            self.deployments[row.seq] = row.deploy.record_digest
        if (row.model.name, row.model.version) not in self.versions:
            return f"version {row.model.version} of {row.model.name} was never registered"
        return next(filter(None, (self._move(row, at) for at in range(len(row.moves)))), "")

    def _register(self, row: AuditRow) -> str:
        known = [version for name, version in self.versions if name == row.model.name]
        if row.model.version != max(known, default=0) + 1:
            return f"version {row.model.version} of {row.model.name} is out of order"
        self.versions[row.model.name, row.model.version] = row.seq, row.model.record_digest
        return ""

    def _move(self, row: AuditRow, at: int) -> str:
        move = row.moves[at]
        _, _, generation = self.aliases.get((row.model.name, move.alias), (0, 0, 0))
        if move.generation != generation + 1:
            return f"{move.alias} goes from generation {generation} to {move.generation}"
        if (row.model.name, move.version) not in self.versions:
            return f"{move.alias} points at version {move.version}, never registered"
        self.aliases[row.model.name, move.alias] = row.seq, move.version, move.generation
        return ""
