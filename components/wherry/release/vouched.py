"""Looks at every signature that a version needs before an alias may point at it."""

from wherry.contracts import Approval, Digest
from wherry.contracts.errors import ApprovalError, SignatureError, SigningKeyError
from wherry.ledger import CHAMPION, Ledger, approval_missing, check_blessing
from wherry.signing import APPROVAL, BLESSING, Keyring, check_stamp


def check_vouched(ledger: Ledger, name: str, version: int, keyring: Keyring) -> None:
    """Refuses a version whose blessing or approvals no trusted key vouches for.

    Raises:
        GateRefusedError: if its blessing is a refusal.
        SignatureError, SigningKeyError: if no trusted key signed its blessing as it is.
        ApprovalError: if approvals are missing, those that do not verify left out.
    """
    blessing = ledger.blessing_of(name, version)
    check_blessing(blessing)
    check_stamp(blessing, BLESSING, keyring)
    if missing := still_missing(ledger, name, version, keyring):
        raise ApprovalError(
            f"{name} v{version} may not go live: {missing}.",
            remedy=f'Run: wherry approve {name}:{version} --meaning "…"',
        )


def check_known(ledger: Ledger, name: str, digest: Digest, keyring: Keyring) -> None:
    """Refuses to move the champion to a file that is a version whose own blessing is not good.

    A run may bless it anew, but a version keeps the blessing that it was released on.

    Raises:
        SignatureError, SigningKeyError: naming the version.
    """
    known = next((one for one in ledger.releases(name) if one.digest == digest), None)
    if known is None or CHAMPION in known.aliases:
        return
    try:
        check_stamp(ledger.blessing_of(name, known.version), BLESSING, keyring)
    except (SignatureError, SigningKeyError) as error:
        told = f"this file is {name} v{known.version} already: {error.message}"
        raise type(error)(told, remedy=error.remedy) from error


def still_missing(ledger: Ledger, name: str, version: int, keyring: Keyring) -> str:
    """Says which approvals are missing, those that do not verify left out; empty if none."""
    good = good_approvals(ledger, name, version, keyring)
    return approval_missing(ledger.blessing_of(name, version), good)


def good_approvals(
    ledger: Ledger, name: str, version: int, keyring: Keyring
) -> tuple[Approval, ...]:
    """Gives the approvals that a trusted key of the very person signed.

    One bad approval is no more than a missing one: it must not block the others.
    """
    given = ledger.approvals(name, version)
    return tuple(one for one in given if not approval_flaw(one, keyring))


def approval_flaw(approval: Approval, keyring: Keyring) -> str:
    """Says why an approval does not count; empty if a trusted key of the very person signed it."""
    try:
        owner = check_stamp(approval, APPROVAL, keyring).owner
    except (SignatureError, SigningKeyError) as error:
        return error.message
    return "" if owner == approval.who else f"It is signed with a key of {owner}."
