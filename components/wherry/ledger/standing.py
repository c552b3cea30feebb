"""What makes a version fit to go live, and what ends that: approvals, retiring, revoking."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from wherry.contracts import Approval, Digest, Release, person
from wherry.contracts.errors import ApprovalError, StoreError, WithdrawnError
from wherry.contracts.release import ReleaseState
from wherry.ledger import events
from wherry.ledger.journal import Journal
from wherry.ledger.records import CHAMPION, PREVIOUS, Withdrawal
from wherry.ledger.rules import approval_missing

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy

STATES: Final[Mapping[Withdrawal, ReleaseState]] = {"retire": "retired", "revoke": "revoked"}


class Standing:
    """Changes of a version's standing; each is called inside `Tables.writing`."""

    def __init__(self, tables: "Tables", journal: Journal) -> None:
        self._tables = tables
        self._journal = journal

    def approve(self, release: Release, approval: Approval, *, again: bool) -> Approval:
        """Adds an approval; the same person's in the same role adds nothing, unless it must."""
        check_fit(release)
        self._check_may_approve(release, approval)
        for one in self._tables.approvals(release.name, release.version):
            if not again and (one.who, one.role) == (approval.who, approval.role):
                return one
        self._check_first_part(release, approval)
        row = self._journal.write(events.approved(release, approval))
        self._tables.add_approval(row.seq, release, approval)
        return approval

    def _check_first_part(self, release: Release, approval: Approval) -> None:
        """Refuses the same account in a second part, whatever name its key bears."""
        me = self._journal.actor.id
        for row in self._tables.approval_rows(release.name, release.version):
            given = row.approval
            by_me = row.actor and person(row.actor.id) == person(me)
            if given and by_me and given.role != approval.role:
                raise ApprovalError(
                    f"{me!r} approved {release.name} v{release.version} as {given.role} already.",
                    remedy="Each part takes another person.",
                )

    def withdraw(self, release: Release, action: Withdrawal, reason: str) -> None:
        """Retires or revokes a version; one that is needed now stays."""
        state = STATES[action]
        if release.state in (state, "revoked"):
            return
        _check_not_needed(release, action)
        row = self._journal.write(events.withdrawn(release, action, reason))
        self._tables.add_state(row.seq, release.name, release.version, state)

    def expire(self, release: Release, reason: str, policy: Digest) -> None:
        """Gives a version's file up; one that an alias needs stays.

        Its state is what it would be without the policy too: one that was revoked stays revoked.
        """
        if release.expired:
            return
        _check_not_needed(release, "retire")
        action: Withdrawal = "revoke" if release.state == "revoked" else "retire"
        row = self._journal.write(events.expired(release, action, reason, policy))
        self._tables.add_state(row.seq, release.name, release.version, STATES[action])

    def check_approved(self, release: Release) -> None:
        """Refuses a version whose gate asks for approvals that nobody gave."""
        blessing = self._tables.evidence(release.name, release.version).blessing
        given = self._tables.approvals(release.name, release.version)
        if missing := approval_missing(blessing, given):
            raise ApprovalError(
                f"{release.name} v{release.version} may not go live: {missing}.",
                remedy=f'Run: wherry approve {release.name}:{release.version} --meaning "…"',
            )

    def _check_may_approve(self, release: Release, approval: Approval) -> None:
        actor = self._journal.actor
        if actor.kind != "human":
            raise ApprovalError(
                f"{actor.id!r} is a service, and an approval is a person's word.",
                remedy="Approve from an account of a person.",
            )
        made = _author(self._tables, release)
        if person(made) in (person(actor.id), person(approval.who)):
            raise ApprovalError(
                f"{made!r} made {release.name} v{release.version} and cannot approve it.",
                remedy="Ask somebody else: nobody approves what is their own.",
            )


def check_fit(release: Release) -> None:
    """Refuses a version that is retired or revoked.

    Raises:
        WithdrawnError: naming its state.
    """
    if release.state != "registered":
        gone = ", and its file was given up by the retention policy" if release.expired else ""
        raise WithdrawnError(
            f"{release.name} v{release.version} is {release.state}{gone}.",
            remedy="Choose another version: `wherry models` lists them.",
        )


def check_kept(release: Release) -> None:
    """Refuses a version whose file was given up; of one whose file is lost nothing is said here.

    Raises:
        WithdrawnError: naming its state.
    """
    if release.expired:
        check_fit(release)


def _check_not_needed(release: Release, action: Withdrawal) -> None:
    # A revoked version may still be what `previous` names: a rollback passes it over.
    needed = {CHAMPION} if action == "revoke" else {CHAMPION, PREVIOUS, *release.aliases}
    if held := sorted(needed & set(release.aliases)):
        raise WithdrawnError(
            f"{release.name} v{release.version} is {', '.join(held)}, so it cannot be "
            f"{STATES[action]}.",
            remedy="Point these aliases at another version first: `wherry rollback` does it for "
            "the champion.",
        )


def _author(tables: "Tables", release: Release) -> str:
    row = tables.row(events.register_key(release.name, release.digest))
    if row is None or row.actor is None:
        # Nobody known could be anybody: also whoever asks.
        raise StoreError(
            f"no audit row says who made {release.name} v{release.version}.",
            remedy="Run `wherry audit verify`.",
        )
    return row.actor.id
