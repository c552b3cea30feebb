"""Registers versions, moves aliases and records deployments, each with its audit row."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from wherry.contracts import ArtifactRef, Blessing, Deployment, Digest, Release, Scores
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    GateRefusedError,
    MissingError,
    SettingsError,
    StoreError,
)
from wherry.contracts.record import Record
from wherry.ledger import events
from wherry.ledger.actor import process_actor
from wherry.ledger.artifacts import Artifacts
from wherry.ledger.chain import opened, sealed
from wherry.ledger.database import Database
from wherry.ledger.records import (
    CHAMPION,
    GENESIS,
    PREVIOUS,
    Actor,
    Alias,
    AuditRow,
    Candidate,
    Move,
    Previous,
    Verification,
)
from wherry.ledger.rules import SHIPPED, check_candidate, check_label
from wherry.ledger.verification import verify

STORE_VARIABLE: Final = "WHERRY_STORE"
STORE_NAME: Final = "ledger.db"
_SCHEME: Final = "sqlite:///"


@dataclass(frozen=True)
class Evidence(Record):
    """What a version was released on."""

    blessing: Blessing
    scores: tuple[Scores, ...]
    schema: Literal["wherry.evidence/1"] = "wherry.evidence/1"


class Ledger:
    """The release store of one workspace; may be open in many processes at once.

    Every change is one transaction with its audit row, safe to repeat, and refused when
    somebody else came first.

    Example::

        with Ledger.open(state()) as ledger:
            live = ledger.release_at_alias("icd10-triage", "champion")
            for row in ledger.audit():
                print(row.seq, row.ts, row.action, row.model.name, row.model.version)
    """

    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        actor: Actor,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self.artifacts = artifacts
        self._db = database
        self._actor = actor
        self._clock = clock
        self._new_id = new_id

    @classmethod
    def open(
        cls,
        state: Path,
        *,
        actor: Actor | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> Self:
        """Opens the store of a state folder and makes it if it is not there.

        Args:
            state: the folder ``.wherry``; ``WHERRY_STORE=sqlite:///PATH`` puts the tables
                elsewhere.
            actor: who makes the changes; the process's user if None.
            clock: gives the time in UTC.
            new_id: gives a new id for a change that has no key of its own.

        Raises:
            StoreError: if ``WHERRY_STORE`` is no SQLite file, or the file is broken or newer.
        """
        database = Database(store_path(state))
        return cls(database, Artifacts.open(state), actor or process_actor(), clock, new_id)

    @staticmethod
    def exists(state: Path) -> bool:
        """Says whether there is a store, without making one."""
        return store_path(state).is_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store."""
        self._db.close()

    def register(self, candidate: Candidate) -> Release:
        """Makes a version of a published file, or gives the one that it already is.

        Args:
            candidate: the file with its evidence; name and digest are its key.

        Raises:
            GateRefusedError: if the gate did not pass the file.
            DigestError: if the evidence or the bytes are of another file.
            MissingError: if the file is not in the artifact store.
        """
        self._check(candidate)
        with self._db.writing():
            return self._register(candidate)

    def switch(
        self,
        alias: str,
        name: str,
        version: int,
        *,
        expected_generation: int,
        reason: str,
        action: Literal["promote", "rollback"] = "promote",
        key: str = "",
    ) -> int:
        """Points an alias at a version, if nobody moved it since the caller looked.

        A move of `champion` leaves `previous` at the version that it pointed at. An alias
        that already points there at the expected generation stays as it is.

        Args:
            alias: such as ``champion``; a DNS label.
            name: the model's name.
            version: where to point.
            expected_generation: the alias's generation that the caller saw; 0 for none.
            reason: why, for the audit.
            action: what the audit calls it.
            key: names this change; a retry with the same key changes nothing twice.

        Returns:
            The alias's generation now.

        Raises:
            ConflictError: if the alias is at another generation, or the key was used otherwise.
            MissingError: if the version or its file is not there.
            DigestError: if the file's bytes changed.
        """
        _check_switch(alias, reason)
        release = self.find(name, version)
        # Hashing takes seconds: done before the lock. A version's file never changes.
        self.artifacts.verified(_ref(release))
        with self._db.writing():
            return self._switch(alias, release, expected_generation, reason, action, key)

    def register_and_switch(
        self, candidate: Candidate, alias: str, *, expected_generation: int, reason: str
    ) -> Release:
        """Registers a version and points an alias at it, in one transaction.

        Raises:
            WherryError: as `register` and `switch` do; nothing has changed then.
        """
        _check_switch(alias, reason)
        self._check(candidate)
        with self._db.writing():
            release = self._register(candidate)
            self._switch(alias, release, expected_generation, reason, "promote", "")
            return self.find(release.name, release.version)

    def record_deployment(self, deployment: Deployment) -> None:
        """Records what runs on a target; the same deployment again adds nothing.

        Raises:
            ConflictError: if a newer generation was deployed there.
            MissingError: if there is no such version.
            DigestError: if it is not the version's digest.
        """
        release = self.find(deployment.name, deployment.version)
        if release.digest != deployment.digest:
            raise DigestError(
                f"the deployment of {_label(release)} has digest {deployment.digest}, "
                f"expected {release.digest}.",
                remedy="Deploy the registered file.",
            )
        with self._db.writing():
            self._record_deployment(deployment, release)

    def releases(self, name: str | None = None) -> tuple[Release, ...]:
        """Gives the versions of one model or of all, oldest first, with their aliases."""
        rows = self._db.rows(_VERSIONS.format(where="? IS NULL OR v.name = ?"), name, name)
        return tuple(_release(*row) for row in rows)

    def find(self, name: str, version: int) -> Release:
        """Gives one version.

        Raises:
            MissingError: naming the versions that there are.
        """
        where = "v.name = ? AND v.version = ?"
        row = self._db.first(_VERSIONS.format(where=where), name, version)
        if row is None:
            known = ", ".join(_label(release) for release in self.releases(name)) or "none"
            raise MissingError(
                f"{name} has no version {version}.", remedy=f"Name one that there is: {known}."
            )
        return _release(*row)

    def alias(self, name: str, alias: str) -> Alias | None:
        """Gives where an alias points and its generation, or None."""
        row = self._db.first(
            "SELECT version, generation FROM aliases WHERE name = ? AND alias = ?", name, alias
        )
        return Alias(name, alias, *row) if row else None

    def release_at_alias(self, name: str, alias: str) -> Release | None:
        """Gives the version that an alias points at, or None."""
        at = self.alias(name, alias)
        return self.find(name, at.version) if at else None

    def blessing_of(self, name: str, version: int) -> Blessing:
        """Gives the blessing that a version was released on."""
        return self._evidence(name, version).blessing

    def scores_of(self, name: str, version: int, subject: str = SHIPPED) -> Scores:
        """Gives a version's scores.

        Args:
            name: the model's name.
            version: which one.
            subject: ``quantized`` for the file itself, ``tuned`` for what it was made from.

        Raises:
            MissingError: if there is no such version, or no scores of the subject.
        """
        scores = self._evidence(name, version).scores
        for one in scores:
            if one.subject == subject:
                return one
        known = ", ".join(one.subject for one in scores)
        raise MissingError(
            f"version {version} of {name} has no scores of {subject!r}.",
            remedy=f"Ask for one of: {known}.",
        )

    def deployments(self, name: str | None = None) -> tuple[Deployment, ...]:
        """Gives all that was deployed of one model or of all, oldest first."""
        query = "SELECT record FROM deployments WHERE ? IS NULL OR name = ? ORDER BY seq"
        rows = self._db.rows(query, name, name)
        return tuple(Deployment.from_json(record, where="a deployment") for (record,) in rows)

    def audit(self, after: int = 0) -> Iterator[AuditRow]:
        """Yields the audit rows in order, one at a time.

        Args:
            after: leave out the rows up to this `seq`.
        """
        query = "SELECT record, hash FROM audit WHERE seq > ? ORDER BY seq"
        with closing(self._db.rows(query, after)) as rows:
            for record, hash in rows:
                yield opened(record, hash)

    def verify(self) -> Verification:
        """Recomputes the chain and replays it; compares the result with the tables."""
        with self._db.reading():
            return verify(self._db)

    def _check(self, candidate: Candidate) -> None:
        check_candidate(candidate)
        ref = ArtifactRef(uri=candidate.uri, digest=candidate.digest, size=candidate.size)
        self.artifacts.verified(ref)

    def _evidence(self, name: str, version: int) -> Evidence:
        self.find(name, version)
        query = "SELECT evidence FROM versions WHERE name = ? AND version = ?"
        (text,) = self._db.first(query, name, version) or ("",)
        return Evidence.from_json(text, where=f"the evidence of {name} v{version}")

    def _register(self, candidate: Candidate) -> Release:
        query = "SELECT version FROM versions WHERE name = ? AND digest = ?"
        if known := self._db.first(query, candidate.name, candidate.digest):
            return self.find(candidate.name, known[0])
        query = "SELECT coalesce(max(version), 0) + 1 FROM versions WHERE name = ?"
        (version,) = self._db.first(query, candidate.name) or (1,)
        release = events.release_of(candidate, version, self._now())
        evidence = Evidence(candidate.blessing, candidate.scores)
        record, proof = release.to_json(), evidence.to_json()
        self._db.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)",
            *(release.name, version, release.digest, release.state, record, proof),
        )
        key = f"register:{release.name}:{release.digest}"
        self._record(events.registered(release, candidate, events.pair_digest(record, proof)), key)
        return release

    def _switch(
        self,
        alias: str,
        release: Release,
        expected: int,
        reason: str,
        action: Literal["promote", "rollback"],
        key: str,
    ) -> int:
        if done := self._done(key, alias, release):
            return done
        at = self.alias(release.name, alias)
        seen = at.generation if at else 0
        if seen != expected:
            raise ConflictError(
                f"{alias} of {release.name} is at generation {seen}"
                + (f" (version {at.version})" if at else "")
                + f", expected {expected}.",
                remedy="Somebody moved it: look at what is live, then decide again.",
            )
        if at and at.version == release.version:
            return seen
        self._check_reachable(release)
        moves = [self._move(release.name, alias, release.version)]
        before = None
        if at:
            before = Previous(at.version, self.find(at.name, at.version).digest, seen)
            if alias == CHAMPION:
                moves.append(self._move(release.name, PREVIOUS, at.version))
        self._record(events.switched(action, release, tuple(moves), before, reason), key)
        return seen + 1

    def _check_reachable(self, release: Release) -> None:
        blessing = self._evidence(release.name, release.version).blessing
        if not blessing.passed or blessing.model_digest != release.digest:
            raise GateRefusedError(
                f"{_label(release)} has no blessing for {release.digest}.",
                remedy="Run the pipeline again; `wherry audit` tells whether the store was edited.",
            )
        if release.state != "registered":
            raise StoreError(
                f"{_label(release)} is {release.state}.", remedy="Choose another version."
            )

    def _move(self, name: str, alias: str, version: int) -> Move:
        self._db.execute(
            "INSERT INTO aliases VALUES (?, ?, ?, 1) ON CONFLICT (name, alias) "
            "DO UPDATE SET version = excluded.version, generation = generation + 1",
            *(name, alias, version),
        )
        moved = self.alias(name, alias)
        assert moved is not None  # it was written by the statement above
        return Move(alias, moved.version, moved.generation)

    def _done(self, key: str, alias: str, release: Release) -> int:
        row = self._row(key) if key else None
        if row is None:
            return 0
        move = next((move for move in row.moves if move.alias == alias), None)
        if move is None or (row.model.name, move.version) != (release.name, release.version):
            raise ConflictError(
                f"the key {key!r} was used for another change (audit row {row.seq}).",
                remedy="Use a new key for a new change.",
            )
        return move.generation

    def _record_deployment(self, deployment: Deployment, release: Release) -> None:
        query = (
            "SELECT generation, record FROM deployments WHERE name = ? AND target = ? "
            "ORDER BY seq DESC LIMIT 1"
        )
        last = self._db.first(query, deployment.name, deployment.target)
        record = deployment.to_json()
        if last and last[1] == record:
            return
        at = self.alias(deployment.name, CHAMPION)
        newest = max(last[0] if last else 0, at.generation if at else 0)
        if deployment.generation < newest:
            raise ConflictError(
                f"{_label(release)} was deployed to {deployment.target} for generation "
                f"{deployment.generation}, but {newest} is the newest.",
                remedy="Leave the newer one in place; deploy again to follow the alias.",
            )
        row = self._record(events.deployed(deployment, record), "")
        self._db.execute(
            "INSERT INTO deployments VALUES (?, ?, ?, ?, ?, ?)",
            *(row.seq, deployment.name, deployment.version, deployment.target),
            *(deployment.generation, record),
        )

    def _record(self, row: AuditRow, key: str) -> AuditRow:
        last = self._db.first("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        seq, prev = last or (0, GENESIS)
        event_id = key or self._new_id()
        row, text = sealed(
            replace(
                row,
                seq=seq + 1,
                prev=prev,
                event_id=event_id,
                ts=self._now(),
                actor=self._actor,
            )
        )
        self._db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", row.seq, event_id, row.hash, text)
        return row

    def _row(self, event_id: str) -> AuditRow | None:
        row = self._db.first("SELECT record, hash FROM audit WHERE event_id = ?", event_id)
        return opened(*row) if row else None

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="microseconds")


_VERSIONS: Final = """
    SELECT v.record, v.state, group_concat(a.alias)
    FROM versions AS v LEFT JOIN aliases AS a ON a.name = v.name AND a.version = v.version
    WHERE {where} GROUP BY v.name, v.version ORDER BY v.name, v.version
"""


def store_path(state: Path) -> Path:
    """Gives the SQLite file of a state folder, or the one that ``WHERRY_STORE`` names.

    Raises:
        StoreError: if ``WHERRY_STORE`` names anything but a SQLite file.
    """
    address = os.environ.get(STORE_VARIABLE, "")
    if not address:
        return state / STORE_NAME
    path = address.removeprefix(_SCHEME)
    if path == address or not path or ":memory:" in path or "?" in path:
        # The address itself may hold a password: only its scheme is shown.
        raise StoreError(
            f"{STORE_VARIABLE} is a {address.partition(':')[0]!r} address, but this version keeps "
            "its store in SQLite.",
            remedy=f"Unset {STORE_VARIABLE}, or set it to {_SCHEME}PATH on a local disk.",
        )
    return Path(path)


def _check_switch(alias: str, reason: str) -> None:
    check_label("alias", alias)
    if not reason.strip():
        raise SettingsError(f"moving {alias} takes a reason.", remedy="Say why it is moved.")


def _release(record: str, state: str, aliases: str | None) -> Release:
    release = Release.from_json(record, where="a version's record")
    names = tuple(sorted(aliases.split(","))) if aliases else ()
    return replace(release, state="retired" if state == "retired" else "registered", aliases=names)


def _ref(release: Release) -> ArtifactRef:
    return ArtifactRef(uri=release.uri, digest=release.digest, size=release.size)


def _label(release: Release) -> str:
    return f"{release.name} v{release.version}"


__all__ = ["Digest", "Evidence", "Ledger", "store_path"]
