"""The release store's public face: `Ledger`."""

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from wherry.contracts import ArtifactRef, Blessing, Deployment, Release, Scores
from wherry.contracts.errors import DigestError, MissingError, SettingsError, StoreError
from wherry.ledger.actor import process_actor
from wherry.ledger.artifacts import Artifacts
from wherry.ledger.chain import opened
from wherry.ledger.changes import Changes
from wherry.ledger.database import Database
from wherry.ledger.records import (
    Actor,
    Alias,
    AuditRow,
    Candidate,
    Switch,
    SwitchAction,
    Verification,
)
from wherry.ledger.rules import SHIPPED, check_candidate, check_label
from wherry.ledger.tables import Tables
from wherry.ledger.verification import verify

STORE_VARIABLE: Final = "WHERRY_STORE"
STORE_NAME: Final = "ledger.db"
_SCHEME: Final = "sqlite:///"


class Ledger:
    """The release store of one workspace; may be open in many processes at once.

    Every change is one transaction with its audit row, safe to repeat, and refused when
    somebody else came first. An instance belongs to the thread that opened it.

    Example::

        with Ledger.open(state()) as ledger:
            live = ledger.release_at_alias("icd10-triage", "champion")
            for row in ledger.audit():
                print(row.seq, row.ts, row.action, row.model.name, row.model.version)
    """

    def __init__(self, tables: Tables, changes: Changes, artifacts: Artifacts) -> None:
        self.artifacts = artifacts
        self._tables = tables
        self._changes = changes

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
        artifacts = Artifacts.open(state)
        tables = Tables(Database(store_path(state)))
        return cls(tables, Changes(tables, actor or process_actor(), clock, new_id), artifacts)

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
        self._tables.close()

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
        with self._tables.writing():
            return self._changes.register(candidate)

    def switch(
        self,
        alias: str,
        name: str,
        version: int,
        *,
        expected_generation: int,
        reason: str,
        action: SwitchAction = "promote",
        key: str = "",
    ) -> int:
        """Points an alias at a version, if nobody moved it since the caller looked.

        A move of ``champion`` leaves ``previous`` at the version that it pointed at. An alias
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
            The alias's generation after this change.

        Raises:
            ConflictError: if the alias is at another generation, or the key was used otherwise.
            MissingError: if the version or its file is not there.
            DigestError: if the file's bytes changed.
        """
        asked = Switch(alias, name, version, expected_generation, reason, action, key)
        _check_switch(asked)
        release = self.find(name, version)
        # Hashing takes seconds: done before the lock. A version's file never changes.
        self.artifacts.verified(_ref(release))
        with self._tables.writing():
            return self._changes.switch(asked, release)

    def register_and_switch(
        self, candidate: Candidate, alias: str, *, expected_generation: int, reason: str
    ) -> Release:
        """Registers a version and points an alias at it, in one transaction.

        Raises:
            WherryError: as `register` and `switch` do; nothing has changed then.
        """
        self._check(candidate)
        with self._tables.writing():
            release = self._changes.register(candidate)
            asked = Switch(alias, release.name, release.version, expected_generation, reason)
            _check_switch(asked)
            self._changes.switch(asked, release)
        return self.find(release.name, release.version)

    def record_deployment(self, deployment: Deployment) -> None:
        """Records what runs on a target; the same deployment again adds nothing.

        Raises:
            ConflictError: if a newer generation was deployed there, or `champion` never
                pointed at this version at this generation.
            MissingError: if there is no such version.
            DigestError: if it is not the version's digest.
        """
        release = self.find(deployment.name, deployment.version)
        if release.digest != deployment.digest:
            raise DigestError(
                f"the deployment of {release.name} v{release.version} has digest "
                f"{deployment.digest}, expected {release.digest}.",
                remedy="Deploy the registered file.",
            )
        with self._tables.writing():
            self._changes.deploy(deployment)

    def releases(self, name: str | None = None) -> tuple[Release, ...]:
        """Gives the versions of one model or of all, oldest first, with their aliases."""
        return self._tables.releases(name)

    def find(self, name: str, version: int) -> Release:
        """Gives one version.

        Raises:
            MissingError: naming the versions that there are.
        """
        release = self._tables.release(name, version)
        if release is None:
            known = ", ".join(str(one.version) for one in self.releases(name)) or "none"
            raise MissingError(
                f"{name!r} has no version {version}, only {known}.",
                remedy="Name a registered version: `wherry models` lists them.",
            )
        return release

    def alias(self, name: str, alias: str) -> Alias | None:
        """Gives where an alias points and its generation, or None."""
        return self._tables.alias(name, alias)

    def release_at_alias(self, name: str, alias: str) -> Release | None:
        """Gives the version that an alias points at, or None."""
        at = self.alias(name, alias)
        return self.find(name, at.version) if at else None

    def blessing_of(self, name: str, version: int) -> Blessing:
        """Gives the blessing that a version was released on."""
        self.find(name, version)
        return self._tables.evidence(name, version).blessing

    def scores_of(self, name: str, version: int, subject: str = SHIPPED) -> Scores:
        """Gives a version's scores.

        Args:
            name: the model's name.
            version: which one.
            subject: ``quantized`` for the file itself, ``tuned`` for what it was made from.

        Raises:
            MissingError: if there is no such version, or no scores of the subject.
        """
        self.find(name, version)
        scores = self._tables.evidence(name, version).scores
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
        return self._tables.deployments(name)

    def audit(self, after: int = 0) -> Iterator[AuditRow]:
        """Yields the audit rows in order, one at a time.

        Args:
            after: leave out the rows up to this `seq`.
        """
        for _, hash, text in self._tables.raw_rows(after):
            yield opened(text, hash)

    def verify(self) -> Verification:
        """Recomputes the chain and replays it; compares the result with the tables."""
        with self._tables.reading():
            return verify(self._tables)

    def _check(self, candidate: Candidate) -> None:
        check_candidate(candidate)
        ref = ArtifactRef(uri=candidate.uri, digest=candidate.digest, size=candidate.size)
        self.artifacts.verified(ref)


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


def _check_switch(asked: Switch) -> None:
    check_label("alias", asked.alias)
    if not asked.reason.strip():
        raise SettingsError(f"moving {asked.alias} takes a reason.", remedy="Say why it is moved.")


def _ref(release: Release) -> ArtifactRef:
    return ArtifactRef(uri=release.uri, digest=release.digest, size=release.size)
