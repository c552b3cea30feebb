"""All that the ledger asks of its tables: the one place with SQL statements."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

from wherry.contracts import Deployment, Digest, Release
from wherry.ledger.chain import opened
from wherry.ledger.database import Database
from wherry.ledger.records import GENESIS, Alias, AuditRow, Evidence, Move

_RELEASES: Final = """
    SELECT v.record, group_concat(a.alias)
    FROM versions AS v LEFT JOIN aliases AS a ON a.name = v.name AND a.version = v.version
    WHERE {where} GROUP BY v.name, v.version ORDER BY v.name, v.version
"""


class Tables:
    """Typed reads and writes; writes belong inside `writing`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def writing(self) -> AbstractContextManager[None]:
        """Makes the block one transaction."""
        return self._db.writing()

    def reading(self) -> AbstractContextManager[None]:
        """Makes the block see one state."""
        return self._db.reading()

    def close(self) -> None:
        """Closes the store."""
        self._db.close()

    def releases(self, name: str | None) -> tuple[Release, ...]:
        """Gives the versions of one model or of all, in order."""
        query = _RELEASES.format(where="? IS NULL OR v.name = ?")
        return tuple(_release(*row) for row in self._db.rows(query, name, name))

    def release(self, name: str, version: int) -> Release | None:
        """Gives one version with its aliases."""
        query = _RELEASES.format(where="v.name = ? AND v.version = ?")
        row = self._db.first(query, name, version)
        return _release(*row) if row else None

    def version_of(self, name: str, digest: Digest) -> int:
        """Gives the version that a digest is registered as, or 0."""
        query = "SELECT version FROM versions WHERE name = ? AND digest = ?"
        row = self._db.first(query, name, digest)
        return int(row[0]) if row else 0

    def last_version(self, name: str) -> int:
        """Gives the newest version's number, or 0."""
        query = "SELECT coalesce(max(version), 0) FROM versions WHERE name = ?"
        return int(self._db.one(query, name)[0])

    def evidence(self, name: str, version: int) -> Evidence:
        """Gives what a version, which must be there, was released on."""
        query = "SELECT evidence FROM versions WHERE name = ? AND version = ?"
        (text,) = self._db.one(query, name, version)
        return Evidence.from_json(text, where=f"the evidence of {name} v{version}")

    def add_version(self, release: Release, record: str, evidence: str) -> None:
        """Adds a version as its JSON texts."""
        self._db.execute(
            "INSERT INTO versions (name, version, digest, record, evidence) VALUES (?, ?, ?, ?, ?)",
            *(release.name, release.version, release.digest, record, evidence),
        )

    def alias(self, name: str, alias: str) -> Alias | None:
        """Gives where an alias points."""
        query = "SELECT version, generation FROM aliases WHERE name = ? AND alias = ?"
        row = self._db.first(query, name, alias)
        return Alias(name, alias, *row) if row else None

    def set_alias(self, name: str, alias: str, version: int) -> Move:
        """Points an alias at a version, one generation up."""
        row = self._db.one(
            "INSERT INTO aliases (name, alias, version, generation) VALUES (?, ?, ?, 1) "
            "ON CONFLICT (name, alias) DO UPDATE "
            "SET version = excluded.version, generation = generation + 1 RETURNING generation",
            *(name, alias, version),
        )
        return Move(alias, version, row[0])

    def deployments(self, name: str | None) -> tuple[Deployment, ...]:
        """Gives the deployments of one model or of all, in order."""
        query = "SELECT record FROM deployments WHERE ? IS NULL OR name = ? ORDER BY seq"
        return tuple(_deployment(*row) for row in self._db.rows(query, name, name))

    def last_deployment(self, name: str, target: str) -> Deployment | None:
        """Gives what was last deployed of a model on a target."""
        query = (
            "SELECT record FROM deployments WHERE name = ? AND target = ? ORDER BY seq DESC LIMIT 1"
        )
        row = self._db.first(query, name, target)
        return _deployment(*row) if row else None

    def add_deployment(self, seq: int, deployment: Deployment) -> None:
        """Adds a deployment beside its audit row."""
        self._db.execute(
            "INSERT INTO deployments (seq, name, version, target, generation, record) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            *(seq, deployment.name, deployment.version, deployment.target),
            *(deployment.generation, deployment.to_json()),
        )

    def head(self) -> tuple[int, Digest]:
        """Gives the last audit row's number and hash."""
        row = self._db.first("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return (row[0], row[1]) if row else (0, GENESIS)

    def row(self, event_id: str) -> AuditRow | None:
        """Gives the audit row of an event."""
        row = self._db.first("SELECT record, hash FROM audit WHERE event_id = ?", event_id)
        return opened(*row) if row else None

    def add_row(self, row: AuditRow, text: str) -> None:
        """Adds an audit row as its canonical text."""
        self._db.execute(
            "INSERT INTO audit (seq, event_id, hash, record) VALUES (?, ?, ?, ?)",
            *(row.seq, row.event_id, row.hash, text),
        )

    def raw_rows(self, after: int = 0) -> Iterator[tuple[Any, ...]]:
        """Yields the seq, hash and text of the audit rows in order."""
        query = "SELECT seq, hash, record FROM audit WHERE seq > ? ORDER BY seq"
        return self._db.rows(query, after)

    def raw_versions(self) -> Iterator[tuple[Any, ...]]:
        """Yields name, version, digest, record and evidence as stored."""
        return self._db.rows(
            "SELECT name, version, digest, record, evidence FROM versions ORDER BY name, version"
        )

    def raw_aliases(self) -> Iterator[tuple[Any, ...]]:
        """Yields name, alias, version and generation as stored."""
        return self._db.rows(
            "SELECT name, alias, version, generation FROM aliases ORDER BY name, alias"
        )

    def raw_deployments(self) -> Iterator[tuple[Any, ...]]:
        """Yields the seq and record of the deployments as stored."""
        return self._db.rows("SELECT seq, record FROM deployments ORDER BY seq")


def _release(record: str, aliases: str | None) -> Release:
    release = Release.from_json(record, where="a version's record")
    return replace(release, aliases=tuple(sorted(aliases.split(","))) if aliases else ())


def _deployment(record: str) -> Deployment:
    return Deployment.from_json(record, where="a deployment's record")
