"""What may change in the store, under which conditions, and the audit row it leaves."""

from dataclasses import replace
from typing import TYPE_CHECKING

from wherry.contracts import Deployment, Release
from wherry.contracts.errors import ConflictError, GateRefusedError
from wherry.ledger import events
from wherry.ledger.journal import Journal
from wherry.ledger.records import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Alias,
    Candidate,
    Move,
    Previous,
    Switch,
)
from wherry.ledger.redaction import redact_text
from wherry.ledger.standing import Standing, check_fit

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy


class Changes:
    """The changes themselves; each is called inside `Tables.writing`.

    Args:
        tables: where they are made.
        journal: where they leave their audit rows.
        standing: what makes a version fit to go live.
    """

    def __init__(self, tables: "Tables", journal: Journal, standing: Standing) -> None:
        self._tables = tables
        self._journal = journal
        self._standing = standing

    def register(self, candidate: Candidate) -> Release:
        """Adds a version, or gives the one that this name and digest already are."""
        candidate = events.without_secrets(candidate)
        known = self._tables.version_of(candidate.name, candidate.digest)
        if known and (release := self._tables.release(candidate.name, known)):
            return release
        version = self._tables.last_version(candidate.name) + 1
        release = events.release_of(candidate, version, self._journal.now())
        record = release.to_json()
        evidence = events.evidence_of(candidate).to_json()
        self._tables.add_version(release, record, evidence)
        row = events.registered(release, candidate, events.pair_digest(record, evidence))
        self._journal.write(row, events.register_key(release.name, release.digest))
        return release

    def switch(self, asked: Switch, release: Release) -> int:
        """Moves an alias if it is where the caller saw it; gives its generation."""
        if done := self._done(asked):
            return done
        at = self._tables.alias(asked.name, asked.alias)
        _check_generation(asked, at)
        if at and at.version == asked.version:
            return at.generation
        self._check_fit(release)
        if asked.alias != CHALLENGER:
            self._standing.check_approved(release)
        moves = [self._tables.set_alias(asked.name, asked.alias, asked.version)]
        if at and asked.alias == CHAMPION:
            moves.append(self._tables.set_alias(asked.name, PREVIOUS, at.version))
        row = events.switched(asked, release, tuple(moves), self._previous(at))
        self._journal.write(row, asked.key)
        return moves[0].generation

    def deploy(self, deployment: Deployment) -> None:
        """Records a deployment unless it is the last one or older than it."""
        # A row of data would stay for ever in a log that forgets nothing.
        deployment = replace(deployment, url=redact_text(deployment.url), example="")
        last = self._tables.last_deployment(deployment.name, deployment.target)
        if deployment == last:
            return
        _check_deployment(deployment, last, self._tables.alias(deployment.name, CHAMPION))
        row = self._journal.write(events.deployed(deployment))
        self._tables.add_deployment(row.seq, deployment)

    def _done(self, asked: Switch) -> int:
        row = self._tables.row(asked.key) if asked.key else None
        if row is None:
            return 0
        for move in row.moves:
            if (row.model.name, *_target(move)) == (asked.name, asked.alias, asked.version):
                return move.generation
        raise ConflictError(
            f"the key {asked.key!r} was used for another change, audit row {row.seq}.",
            remedy="Use a new key for a new change.",
        )

    def _previous(self, at: Alias | None) -> Previous | None:
        release = self._tables.release(at.name, at.version) if at else None
        if at is None or release is None:
            return None
        return Previous(at.version, release.digest, at.generation)

    def _check_fit(self, release: Release) -> None:
        # As it stands now, not as the caller found it before the lock.
        check_fit(self._tables.release(release.name, release.version) or release)
        blessing = self._tables.evidence(release.name, release.version).blessing
        if not blessing.passed or blessing.model_digest != release.digest:
            raise GateRefusedError(
                f"{release.name} v{release.version} has no blessing for {release.digest}.",
                remedy="Release the file through the gate; then ask whether the store was edited.",
            )


def _target(move: Move) -> tuple[str, int]:
    return move.alias, move.version


def _check_generation(asked: Switch, at: Alias | None) -> None:
    seen = at.generation if at else 0
    if seen != asked.expected_generation:
        where = f" (version {at.version})" if at else ""
        raise ConflictError(
            f"{asked.alias} of {asked.name} is at generation {seen}{where}, "
            f"expected {asked.expected_generation}.",
            remedy="Somebody moved it: look at what is live, then decide again.",
        )


def _check_deployment(deployment: Deployment, last: Deployment | None, at: Alias | None) -> None:
    what = f"{deployment.name} v{deployment.version} on {deployment.target}"
    if last and deployment.generation < last.generation:
        raise ConflictError(
            f"{what} was made for generation {deployment.generation}, but generation "
            f"{last.generation} (version {last.version}) was deployed since.",
            remedy="Leave the newer one in place; deploy again to follow the alias.",
        )
    newest, live = (at.generation, at.version) if at else (0, 0)
    other = deployment.generation == newest and live not in (0, deployment.version)
    if deployment.generation > newest or other:
        raise ConflictError(
            f"{what} says generation {deployment.generation}, but {CHAMPION} is at generation "
            f"{newest}, version {live}.",
            remedy="Ask the ledger for the alias, and deploy what it points at.",
        )
