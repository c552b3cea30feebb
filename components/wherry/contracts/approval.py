"""A person's approval of one blessed file, and what is refused without it."""

import unicodedata
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


def person(name: str) -> str:
    """Gives what names of one person have in common: accounts differ in case, people do not."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def missing_roles(blessing: Blessing, approvals: Iterable[Approval]) -> tuple[str, ...]:
    """Gives the roles that the policy asks for and that no person of their own approved in.

    One person counts once, in whichever of their roles serves best.

    Args:
        blessing: what the gate gave.
        approvals: those whose signatures were found good; of another file or policy they are none.
    """
    bound = (blessing.model_digest, blessing.policy_digest)
    people: dict[str, set[str]] = {role: set() for role in blessing.required_approvals}
    for one in approvals:
        if one.role in people and (one.model_digest, one.policy_digest) == bound:
            people[one.role].add(person(one.who))
    taken: dict[str, str] = {}
    return tuple(role for role in people if not _placed(role, people, taken, set()))


def _placed(role: str, people: dict[str, set[str]], taken: dict[str, str], tried: set[str]) -> bool:
    """Finds a person for a role, moving others to another of theirs (augmenting paths)."""
    for who in sorted(people[role] - tried):
        tried.add(who)
        if who not in taken or _placed(taken[who], people, taken, tried):
            taken[who] = role
            return True
    return False


def check_approvals(blessing: Blessing, approvals: Iterable[Approval] = ()) -> None:
    """Refuses a blessing whose required approvals are not all given.

    Args:
        blessing: what the gate gave.
        approvals: those whose signatures were found good.

    Raises:
        ApprovalError: naming the roles that are missing.
    """
    if missing := missing_roles(blessing, approvals):
        raise ApprovalError(
            f"{blessing.model_digest} is blessed, but the policy asks for an approval as "
            f"{', '.join(missing)}.",
            remedy="Let a person in that role, not its author, look at the report and approve it.",
        )
