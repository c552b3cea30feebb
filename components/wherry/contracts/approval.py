"""A person's approval of one blessed file, and what is refused without it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from wherry.contracts.blessing import Blessing
from wherry.contracts.digest import Digest
from wherry.contracts.errors import ApprovalError
from wherry.contracts.record import Record


@dataclass(frozen=True)
class Approval(Record):
    """What a person signed for; whoever reads one checks its signature first."""

    role: str
    """One of the blessing's `required_approvals`."""
    model_digest: Digest
    """Of the very file; an approval of another one says nothing about it."""
    policy_digest: Digest
    """That the file was judged by."""
    who: str
    """The owner of the key that signs it."""
    meaning: str
    """What they approve, in their own words."""
    given: str
    """UTC, RFC 3339."""
    envelope: str = ""
    """The signed statement: a DSSE envelope of this record without this field."""
    schema: Literal["wherry.approval/1"] = "wherry.approval/1"


def check_approvals(blessing: Blessing, approvals: Iterable[Approval] = ()) -> None:
    """Refuses a blessing whose required approvals are not all given.

    Args:
        blessing: what the gate gave.
        approvals: those whose signatures were found good.

    Raises:
        ApprovalError: naming the roles that are missing.
    """
    given = {
        approval.role
        for approval in approvals
        if (approval.model_digest, approval.policy_digest)
        == (blessing.model_digest, blessing.policy_digest)
    }
    missing = [role for role in blessing.required_approvals if role not in given]
    if missing:
        raise ApprovalError(
            f"{blessing.model_digest} is blessed, but the policy asks for an approval as "
            f"{', '.join(missing)}.",
            remedy="Let a person in that role, not its author, look at the report and approve it.",
        )
