"""The release store's public face: `Ledger`."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wherry.contracts import (
    Approval,
    ArtifactRef,
    Blessing,
    Deployment,
    Digest,
    Release,
    Scores,
)
from wherry.contracts.errors import DigestError, MissingError, SettingsError
from wherry.ledger.actor import process_actor
from wherry.ledger.address import store_address
from wherry.ledger.artifacts import Artifacts
from wherry.ledger.chain import opened
from wherry.ledger.changes import Changes
from wherry.ledger.checkpoints import Signed
from wherry.ledger.circumstances import process_circumstances
from wherry.ledger.collect import collect
from wherry.ledger.events import staged
from wherry.ledger.files import Files, check_files
from wherry.ledger.journal import Journal
from wherry.ledger.log import AuditLog
from wherry.ledger.records import (
    Actor,
    Alias,
    AuditRow,
    Candidate,
    Circumstances,
    Evidence,
    Named,
    Stage,
    Switch,
    SwitchAction,
    Verification,
    Withdrawal,
)
from wherry.ledger.roles import OPEN, Change, Roles, read_roles
from wherry.ledger.rules import (
    SHIPPED,
    approval_missing,
    check_approval,
    check_candidate,
    check_label,
)
from wherry.ledger.shelves.stored import Stored
from wherry.ledger.standing import Standing, check_kept
from wherry.ledger.verification import verify

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy


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

    def __init__(
        self, tables: "Tables", journal: Journal, artifacts: Artifacts, roles: Roles = OPEN
    ) -> None:
        self.artifacts = artifacts
        self.actor = journal.actor
        self._time = journal.time
        self.log = AuditLog(tables, journal.time)
        self._tables = tables
        self._journal = journal
        self._standing = Standing(tables, journal)
        self._changes = Changes(tables, journal, self._standing)
        self._roles = roles

    @classmethod
    def open(
        cls,
        state: Path,
        *,
        actor: Actor | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        circumstances: Callable[[], Circumstances] = process_circumstances,
    ) -> Self:
        """Opens the store of a state folder and makes it if it is not there.

        Args:
            state: the folder ``.wherry``; ``WHERRY_STORE=sqlite:///PATH`` puts the tables
                elsewhere, ``postgresql://USER@HOST/DATABASE`` on a server.
            actor: who makes the changes; the process's user if None.
            clock: gives the time in UTC.
            new_id: gives a new id for a change that has no key of its own.
            circumstances: tells where the changes are made from.

        Raises:
            StoreError: if the store cannot be opened, is broken or newer.
        """
        from wherry.ledger.database import Database
        from wherry.ledger.tables import Tables

        tables = Tables(Database.open(store_address(state)))
        try:
            artifacts = Artifacts.open(state, owner=tables.identity())
        except BaseException:
            tables.close()
            raise
        journal = Journal(tables, actor or process_actor(), clock, new_id, circumstances)
        return cls(tables, journal, artifacts, read_roles(state))

    @staticmethod
    def exists(state: Path) -> bool:
        """Says whether there is a store, without making one."""
        address = store_address(state)
        if isinstance(address, Path):
            return address.is_file()
        from wherry.ledger.database import Database

        return Database.exists(address)

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
        self.check_role("register")
        ref = self._check(candidate)
        with self._tables.writing():
            self.artifacts.check_there(ref)
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
        that already points there at the expected generation stays as it is. Who signed the
        version's blessing and approvals, whoever calls this has looked at.

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
            WithdrawnError: if the version is retired or revoked.
            ApprovalError: if an approval that its policy asks for is missing.
            RoleError: if the roles policy does not let this actor.
        """
        asked = Switch(alias, name, version, expected_generation, reason, action, key)
        _check_switch(asked)
        self.check_role(action)
        release = self.find(name, version)
        # Hashing takes seconds: done before the lock. A version's file never changes.
        self._check_whole(release)
        with self._tables.writing():
            return self._changes.switch(asked, release)

    def register_and_switch(
        self, candidate: Candidate, alias: str, *, expected_generation: int, reason: str
    ) -> Release:
        """Registers a version and points an alias at it, in one transaction.

        Raises:
            WherryError: as `register` and `switch` do; nothing has changed then.
        """
        self.check_role("register")
        self.check_role("promote")
        ref = self._check(candidate)
        with self._tables.writing():
            self.artifacts.check_there(ref)
            release = self._changes.register(candidate)
            asked = Switch(alias, release.name, release.version, expected_generation, reason)
            _check_switch(asked)
            self._changes.switch(asked, release)
        return self.find(release.name, release.version)

    def approve(
        self, name: str, version: int, approval: Approval, *, again: bool = False
    ) -> Approval:
        """Records a person's approval of a version.

        Whoever calls it has looked at its signature.

        Args:
            name: the model's name.
            version: which one.
            approval: of its digest, under its policy.
            again: whether to add it beside an earlier one of the same person in the same role,
                for that one's key is no longer good.

        Returns:
            The approval; the one that this person gave in this role before, if there is one.

        Raises:
            ApprovalError: if the approver made the version, the actor is no person, or it is
                too late.
            DigestError: if it is of another file or policy.
            WithdrawnError: if the version is retired or revoked.
            RoleError: if the roles policy does not let this actor.
        """
        self.check_role("approve")
        release = self.find(name, version)
        check_approval(approval, self.blessing_of(name, version))
        self._check_whole(release)
        with self._tables.writing():
            return self._standing.approve(self.find(name, version), approval, again=again)

    def approvals(self, name: str, version: int) -> tuple[Approval, ...]:
        """Gives the approvals of a version, oldest first."""
        self.find(name, version)
        return self._tables.approvals(name, version)

    def missing_approval(self, name: str, version: int) -> str:
        """Says which approvals a version still needs to go live, in words; empty if none."""
        return approval_missing(self.blessing_of(name, version), self.approvals(name, version))

    def withdraw(self, name: str, version: int, action: Withdrawal, *, reason: str) -> Release:
        """Retires or revokes a version for good; doing it again changes nothing.

        Args:
            name: the model's name.
            version: which one.
            action: ``retire`` for one that is no longer wanted, ``revoke`` for one that is unfit.
            reason: why, for the audit.

        Raises:
            WithdrawnError: if an alias still needs it: `champion`; to retire it, any.
            RoleError: if the roles policy does not let this actor.
        """
        _check_reason(f"to {action} a version", reason)
        self.check_role(action)
        with self._tables.writing():
            self._standing.withdraw(self.find(name, version), action, reason)
        return self.find(name, version)

    def expire(
        self, decide: Callable[[], Iterable[tuple[Release, str]]], policy: Digest
    ) -> tuple[Release, ...]:
        """Gives up the files of versions that a retention policy no longer keeps, for good.

        Such a version is retired, or stays revoked; its record and its audit rows stay. The next
        `collect` removes its file.

        Args:
            decide: gives the versions, each with the reason. It is asked while nobody else can
                change the store, so that what it reads is still so when they are given up.
            policy: the digest of the retention policy, for the audit.

        Returns:
            Those versions as they are now.

        Raises:
            WithdrawnError: if an alias needs one of them; nothing has changed then.
            RoleError: if the roles policy does not let this actor retire a version.
        """
        self.check_role("retire")
        with self._tables.writing():
            chosen = list(decide())
            for release, reason in chosen:
                found = self.find(release.name, release.version)
                self._standing.expire(found, reason, policy)
        return tuple(self.find(release.name, release.version) for release, _ in chosen)

    def now(self) -> str:
        """Gives the time as records have it: UTC, RFC 3339, to the second."""
        return self._journal.time().isoformat(timespec="seconds").replace("+00:00", "Z")

    def check_role(self, action: Change) -> None:
        """Refuses what the roles policy does not let this process's actor do.

        Raises:
            RoleError: naming who may.
        """
        self._roles.check(action, self.actor)

    def record_deployment(self, deployment: Deployment) -> None:
        """Records what runs on a target; the same deployment again adds nothing.

        Raises:
            ConflictError: if a newer generation was deployed there, or `champion` never
                pointed at this version at this generation.
            MissingError: if there is no such version.
            DigestError: if it is not the version's digest.
        """
        self.check_role("deploy")
        release = self.find(deployment.name, deployment.version)
        if release.digest != deployment.digest:
            raise DigestError(
                f"the deployment of {release.name} v{release.version} has digest "
                f"{deployment.digest}, expected {release.digest}.",
                remedy="Deploy the registered file.",
            )
        with self._tables.writing():
            self._changes.deploy(deployment)

    def record_stage(
        self, stage: Stage, outputs: tuple[Named, ...], error_code: str = ""
    ) -> AuditRow:
        """Records that a stage of a run ended, and gives the row.

        Args:
            stage: what it was handed.
            outputs: what it made.
            error_code: of what it failed with; empty if it did not.
        """
        with self._tables.writing():
            return self._journal.write(staged(stage, outputs, error_code))

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

    def evidence(self, name: str, version: int) -> Evidence:
        """Gives all that a version was released on."""
        self.find(name, version)
        return self._tables.evidence(name, version)

    def predictions_of(self, name: str, version: int) -> Path | None:
        """Gives what a version's file answered, re-hashed; None if it was not kept.

        Raises:
            MissingError: if there is no such version.
            DigestError: if the answers' bytes changed.
        """
        digest = self.scores_of(name, version).predictions_digest
        found = self.artifacts.find(digest, predictions_name(name)) if digest else None
        return self.artifacts.verified(found) if found else None

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

    def verify(self, checkpoints: Iterable[Signed] = ()) -> Verification:
        """Recomputes the chain and replays it; compares the result with the tables.

        Args:
            checkpoints: that the log must contain, as `checkpoints.opened` gave them.
        """
        with self._tables.reading():
            return verify(self._tables, checkpoints)

    def check_files(self) -> Files:
        """Hashes the files of all versions again, but those that were given up."""
        return check_files(self._tables, self.artifacts)

    def collect(self, *, older_than: timedelta, remove: bool = False) -> tuple[Stored, ...]:
        """Gives the stored files that no version has and that are old enough to be removed.

        Args:
            older_than: for how long a file must have been there; an hour at least.
            remove: whether to remove them.

        Raises:
            StoreError: if another release store publishes to the same place.
        """
        return collect(
            self._tables,
            self.artifacts,
            older_than=older_than,
            now=self._time(),
            remove=remove,
        )

    def _check_whole(self, release: Release) -> None:
        """Hashes a version's file; refuses one that was given up before it is called missing."""
        check_kept(release)
        self.artifacts.verified(_ref(release))

    def _check(self, candidate: Candidate) -> ArtifactRef:
        check_candidate(candidate)
        ref = ArtifactRef(uri=candidate.uri, digest=candidate.digest, size=candidate.size)
        self.artifacts.verified(ref)
        return ref


def predictions_name(name: str) -> str:
    """Gives the file name of a version's answers in the artifact store."""
    return f"{name}.predictions.jsonl"


def _check_switch(asked: Switch) -> None:
    check_label("alias", asked.alias)
    _check_reason(f"moving {asked.alias}", asked.reason)


def _check_reason(what: str, reason: str) -> None:
    if not reason.strip():
        raise SettingsError(f"{what} takes a reason.", remedy="Say why.")


def _ref(release: Release) -> ArtifactRef:
    return ArtifactRef(uri=release.uri, digest=release.digest, size=release.size)
