"""All that the ledger asks of its tables: the one place with SQL statements."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, true, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from wherry.contracts import Approval, Deployment, Digest, Release
from wherry.contracts.errors import StoreError
from wherry.contracts.release import ReleaseState
from wherry.ledger.chain import opened
from wherry.ledger.database import Database
from wherry.ledger.records import GENESIS, Alias, AuditRow, Evidence, Move
from wherry.ledger.schema import (
    ALIASES,
    APPROVALS,
    AUDIT,
    BLOCKS,
    DEPLOYMENTS,
    RULES,
    SERVER_RULES,
    STATES,
    STORE,
    VERSIONS,
)

PAGE: Final = 1_000
"""Rows that one query reads of those that may be many."""

_RETENTION: Final = '"retention":"'
"""Stands in the rows that give a file up, and in no other: in their canonical form no text holds a
quote without a backslash before it."""

_V, _A, _S = VERSIONS.c, ALIASES.c, STATES.c


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

    def identity(self) -> str:
        """Gives what tells this store from every other."""
        return str(self._db.one(select(STORE.c.id))[0])

    def missing_rules(self) -> list[str]:
        """Gives the triggers that should refuse changes and are gone."""
        return sorted((SERVER_RULES if self._db.on_a_server else RULES) - self._db.rules())

    def needed(self, digest: Digest = "") -> set[Digest]:
        """Gives the digests of the files that versions have not given up: theirs, their answers'.

        Args:
            digest: ask the versions alone that name this one; empty for all.
        """
        names = or_(_V.digest == digest, _V.evidence.contains(digest))
        query = select(_V.digest, _V.evidence).where(names, ~_given_up())
        found: set[Digest] = set()
        for own, text in self._db.rows(query):
            scores = Evidence.from_json(text, where="a version's evidence").scores
            found |= {own, *(each for one in scores if (each := one.predictions_digest))}
        return found

    def releases(self, name: str | None) -> tuple[Release, ...]:
        """Gives the versions of one model or of all, in order."""
        wanted = true() if name is None else _V.name == name
        return tuple(_release(*row) for row in self._db.rows(_releases(wanted)))

    def release(self, name: str, version: int) -> Release | None:
        """Gives one version with its aliases and its state."""
        row = self._db.first(_releases(and_(_V.name == name, _V.version == version)))
        return _release(*row) if row else None

    def version_of(self, name: str, digest: Digest) -> int:
        """Gives the version that a digest is registered as, or 0."""
        query = select(_V.version).where(_V.name == name, _V.digest == digest)
        row = self._db.first(query)
        return int(row[0]) if row else 0

    def last_version(self, name: str) -> int:
        """Gives the newest version's number, or 0."""
        query = select(func.coalesce(func.max(_V.version), 0)).where(_V.name == name)
        return int(self._db.one(query)[0])

    def evidence(self, name: str, version: int) -> Evidence:
        """Gives what a version, which must be there, was released on."""
        query = select(_V.evidence).where(_V.name == name, _V.version == version)
        (text,) = self._db.one(query)
        return Evidence.from_json(text, where=f"the evidence of {name} v{version}")

    def add_version(self, release: Release, record: str, evidence: str) -> None:
        """Adds a version as its JSON texts."""
        Release.from_json(record)
        Evidence.from_json(evidence)
        self._db.execute(
            insert(VERSIONS).values(
                name=release.name,
                version=release.version,
                digest=release.digest,
                record=record,
                evidence=evidence,
            )
        )

    def alias(self, name: str, alias: str) -> Alias | None:
        """Gives where an alias points."""
        query = select(_A.version, _A.generation).where(_A.name == name, _A.alias == alias)
        row = self._db.first(query)
        return Alias(name, alias, *row) if row else None

    def set_alias(self, name: str, alias: str, version: int) -> Move:
        """Points an alias at a version, one generation up."""
        values = {"name": name, "alias": alias, "version": version, "generation": 1}
        dialect = postgresql if self._db.on_a_server else sqlite
        statement = (
            dialect.insert(ALIASES)
            .values(values)
            .on_conflict_do_update(
                index_elements=[_A.name, _A.alias],
                set_={"version": version, "generation": _A.generation + 1},
            )
            .returning(_A.generation)
        )
        return Move(alias, version, self._db.one(statement)[0])

    def deployments(self, name: str | None) -> tuple[Deployment, ...]:
        """Gives the deployments of one model or of all, in order."""
        wanted = true() if name is None else DEPLOYMENTS.c.name == name
        query = select(DEPLOYMENTS.c.record).where(wanted).order_by(DEPLOYMENTS.c.seq)
        return tuple(_deployment(*row) for row in self._db.rows(query))

    def last_deployment(self, name: str, target: str) -> Deployment | None:
        """Gives what was last deployed of a model on a target."""
        query = (
            select(DEPLOYMENTS.c.record)
            .where(DEPLOYMENTS.c.name == name, DEPLOYMENTS.c.target == target)
            .order_by(DEPLOYMENTS.c.seq.desc())
            .limit(1)
        )
        row = self._db.first(query)
        return _deployment(*row) if row else None

    def add_deployment(self, seq: int, deployment: Deployment) -> None:
        """Adds a deployment beside its audit row."""
        self._db.execute(
            insert(DEPLOYMENTS).values(
                seq=seq,
                name=deployment.name,
                version=deployment.version,
                target=deployment.target,
                generation=deployment.generation,
                record=_text(deployment),
            )
        )

    def approvals(self, name: str, version: int) -> tuple[Approval, ...]:
        """Gives the approvals of a version, oldest first."""
        table = APPROVALS.c
        query = select(table.record).where(table.name == name, table.version == version)
        rows = self._db.rows(query.order_by(table.seq))
        where = f"an approval of {name} v{version}"
        return tuple(Approval.from_json(text, where=where) for (text,) in rows)

    def approval_rows(self, name: str, version: int) -> tuple[AuditRow, ...]:
        """Gives the audit rows of a version's approvals, oldest first."""
        table = APPROVALS.c
        query = (
            select(AUDIT.c.record, AUDIT.c.hash)
            .join(APPROVALS, table.seq == AUDIT.c.seq)
            .where(table.name == name, table.version == version)
        )
        return tuple(opened(*row) for row in self._db.rows(query.order_by(table.seq)))

    def add_approval(self, seq: int, release: Release, approval: Approval) -> None:
        """Adds an approval beside its audit row."""
        self._db.execute(
            insert(APPROVALS).values(
                seq=seq,
                name=release.name,
                version=release.version,
                record=_text(approval),
            )
        )

    def state(self, name: str, version: int) -> ReleaseState:
        """Gives the state that a version is in."""
        row = self._db.first(
            select(_S.state)
            .where(_S.name == name, _S.version == version)
            .order_by(_S.seq.desc())
            .limit(1)
        )
        return cast(ReleaseState, row[0]) if row else "registered"

    def add_state(self, seq: int, name: str, version: int, state: ReleaseState) -> None:
        """Changes a version's state beside the audit row that says so."""
        values = {"seq": seq, "name": name, "version": version, "state": state}
        self._db.execute(insert(STATES).values(values))

    def head(self) -> tuple[int, Digest]:
        """Gives the last audit row's number and hash."""
        query = select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1)
        row = self._db.first(query)
        return (row[0], row[1]) if row else (0, GENESIS)

    def row(self, event_id: str) -> AuditRow | None:
        """Gives the audit row of an event."""
        query = select(AUDIT.c.record, AUDIT.c.hash).where(AUDIT.c.event_id == event_id)
        row = self._db.first(query)
        return opened(*row) if row else None

    def add_row(self, row: AuditRow, text: str) -> None:
        """Adds an audit row as its canonical text."""
        values = {"seq": row.seq, "event_id": row.event_id, "hash": row.hash, "record": text}
        self._db.execute(insert(AUDIT).values(values))

    def add_block(self, number: int, hash: str) -> None:
        """Adds the hash of a whole block of audit rows."""
        self._db.execute(insert(BLOCKS).values(number=number, hash=hash))

    def blocks(self) -> Iterator[tuple[Any, ...]]:
        """Yields the numbers and hashes of the blocks of audit rows, in order."""
        return self._paged(select(BLOCKS.c.number, BLOCKS.c.hash), BLOCKS.c.number)

    def raw_rows(self, after: int | None = None, upto: int | None = None) -> Iterator[Any]:
        """Yields the seq, hash and text of the audit rows in order, a page at a time.

        Args:
            after: leave out the rows up to this `seq`; None for none, not even a number below 1.
            upto: leave out the rows beyond this `seq`; None for none.

        Raises:
            StoreError: at a row whose text is damaged; `raw_log` gives that one, too.
        """
        query = select(AUDIT.c.seq, AUDIT.c.hash, AUDIT.c.record)
        if after is not None:
            query = query.where(AUDIT.c.seq > after)
        if upto is not None:
            query = query.where(AUDIT.c.seq <= upto)
        for row in self._paged(query, AUDIT.c.seq):
            if not isinstance(row[2], str):
                raise StoreError(
                    f"audit row {row[0]} holds bytes that are no text.",
                    remedy="Run `wherry audit verify`, then restore the store from a backup.",
                )
            yield row

    def raw_log(self) -> Iterator[tuple[Any, ...]]:
        """Yields all that is stored of the audit rows: seq, hash, text and event_id, in order."""
        columns = (AUDIT.c.seq, AUDIT.c.hash, AUDIT.c.record, AUDIT.c.event_id)
        return self._paged(select(*columns), AUDIT.c.seq)

    def raw_versions(self) -> Iterator[tuple[Any, ...]]:
        """Yields name, version, digest, record and evidence as stored."""
        query = select(_V.name, _V.version, _V.digest, _V.record, _V.evidence)
        return self._paged(query, _V.name, _V.version)

    def raw_aliases(self) -> Iterator[tuple[Any, ...]]:
        """Yields name, alias, version and generation as stored."""
        query = select(_A.name, _A.alias, _A.version, _A.generation)
        return self._paged(query, _A.name, _A.alias)

    def raw_deployments(self) -> Iterator[tuple[Any, ...]]:
        """Yields seq, name, version, target, generation and record of the deployments as stored."""
        table = DEPLOYMENTS.c
        columns = (table.seq, table.name, table.version, table.target, table.generation)
        return self._paged(select(*columns, table.record), table.seq)

    def raw_approvals(self) -> Iterator[tuple[Any, ...]]:
        """Yields seq, name, version and record of the approvals as stored."""
        table = APPROVALS.c
        query = select(table.seq, table.name, table.version, table.record)
        return self._paged(query, table.seq)

    def raw_states(self) -> Iterator[tuple[Any, ...]]:
        """Yields seq, name, version and state as stored."""
        return self._paged(select(_S.seq, _S.name, _S.version, _S.state), _S.seq)

    def _paged(self, query: Select[Any], *keys: ColumnElement[Any]) -> Iterator[tuple[Any, ...]]:
        # By key, not by an open cursor: that would need a transaction on a server, and keep
        # SQLite's log from being folded in. The keys are the query's first columns.
        query = query.order_by(*keys).limit(PAGE)
        page = self._db.rows(query)
        while page:
            yield from page
            last = page[-1][: len(keys)]
            page = self._db.rows(query.where(tuple_(*keys) > last)) if len(page) == PAGE else []


def _releases(wanted: ColumnElement[bool]) -> Select[Any]:
    """Gives the query of versions, each with its aliases and its last state."""
    at = and_(_A.name == _V.name, _A.version == _V.version)
    aliases = select(func.aggregate_strings(_A.alias, ",")).where(at).scalar_subquery()
    state = (
        select(_S.state)
        .where(_S.name == _V.name, _S.version == _V.version)
        .order_by(_S.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(_V.record, aliases, state, _given_up()).where(wanted)
    return query.order_by(_V.name, _V.version)


def _given_up() -> ColumnElement[bool]:
    """Gives the condition that a retention policy gave a version's file up."""
    rows = select(_S.seq).join(AUDIT, AUDIT.c.seq == _S.seq)
    of_it = and_(_S.name == _V.name, _S.version == _V.version)
    return rows.where(of_it, AUDIT.c.record.contains(_RETENTION)).correlate(VERSIONS).exists()


def _release(
    record: str, aliases: str | None, state: ReleaseState | None, expired: bool
) -> Release:
    release = Release.from_json(record, where="a version's record")
    release = replace(release, state=state or release.state, expired=bool(expired))
    return replace(release, aliases=tuple(sorted(aliases.split(","))) if aliases else ())


def _text(record: Deployment | Approval) -> str:
    """Gives a record's text; refuses one that could not be read again, for it would stay."""
    text = record.to_json()
    type(record).from_json(text)
    return text


def _deployment(record: str) -> Deployment:
    return Deployment.from_json(record, where="a deployment's record")
