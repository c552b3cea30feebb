"""Looks at every signature that a version needs before an alias may point at it."""

from wherry.contracts import Approval, Blessing
from wherry.contracts.errors import ApprovalError, SignatureError, SigningKeyError
from wherry.ledger import Ledger, approval_missing, check_blessing
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
    missing = approval_missing(blessing, good_approvals(ledger, name, version, keyring))
    if missing:
        raise ApprovalError(
            f"{name} v{version} may not go live: {missing}.",
            remedy=f'Run: wherry approve {name}:{version} --meaning "…"',
        )


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
    blessing = ledger.blessing_of(name, version)
    given = ledger.approvals(name, version)
    return tuple(one for one in given if _is_good(one, blessing, keyring))


def _is_good(approval: Approval, blessing: Blessing, keyring: Keyring) -> bool:
    try:
        key = check_stamp(approval, APPROVAL, keyring)
    except (SignatureError, SigningKeyError):
        return False
    bound = (approval.model_digest, approval.policy_digest)
    return key.owner == approval.who and bound == (blessing.model_digest, blessing.policy_digest)
