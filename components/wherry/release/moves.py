"""Moves the champion between registered versions: forward by promotion, back by rollback."""

from collections.abc import Iterator

from wherry.contracts import Approval, ArtifactRef, Release
from wherry.contracts.errors import MissingError, WherryError, WithdrawnError
from wherry.ledger import CHAMPION, PREVIOUS, Ledger, approval_part
from wherry.signing import APPROVAL, Keyring, Signer, check_stamp, stamp


def promote(
    ledger: Ledger, name: str, version: int, *, alias: str = CHAMPION, reason: str, seen: int = -1
) -> int:
    """Points an alias at a version that may go live.

    Args:
        ledger: the release store.
        name: the model's name.
        version: where to point.
        alias: what to move.
        reason: why, for the audit.
        seen: the alias's generation that the caller decided on; -1 for the present one.

    Returns:
        The alias's new generation.

    Raises:
        WherryError: as `Ledger.switch` does; nothing has changed then.
    """
    at = ledger.alias(name, alias)
    generation = seen if seen >= 0 else at.generation if at else 0
    return ledger.switch(alias, name, version, expected_generation=generation, reason=reason)


def roll_back(ledger: Ledger, name: str, *, reason: str, to: int = 0, seen: int = -1) -> Release:
    """Points the champion back at the last version that was healthy: no training, no network.

    Args:
        ledger: the release store.
        name: the model's name.
        reason: why, for the audit.
        to: a version, or 0 for the last healthy one before the champion.
        seen: the champion's generation that the caller decided on; -1 for the present one.

    Returns:
        The version that is champion now.

    Raises:
        MissingError: if nothing was ever released, or there is nothing to go back to.
        DigestError, MissingError: if the target's file is not whole; the next one is named.
        WherryError: as `Ledger.switch` does; the champion is what it was.
    """
    live = ledger.alias(name, CHAMPION)
    if live is None:
        raise MissingError(f"{name!r} has no champion to roll back.", remedy="See `wherry models`.")
    targets = [ledger.find(name, to)] if to else list(rollback_targets(ledger, name))
    if not targets:
        raise MissingError(
            f"{name!r} has no version to go back to: none but version {live.version} was healthy.",
            remedy="Promote another version by its number: `wherry promote NAME:VERSION`.",
        )
    target = targets[0]
    _check_whole(ledger, target, targets[1:])
    ledger.switch(
        CHAMPION,
        name,
        target.version,
        expected_generation=seen if seen >= 0 else live.generation,
        reason=reason,
        action="rollback",
    )
    return ledger.find(name, target.version)


def rollback_targets(ledger: Ledger, name: str) -> Iterator[Release]:
    """Yields the versions that a rollback would choose, the first choice first.

    Those that were deployed and healthy, the latest deployment first; then the one that
    `previous` names, for where deployments are not recorded here.
    """
    live = ledger.alias(name, CHAMPION)
    versions = [one.version for one in reversed(ledger.deployments(name)) if one.healthy]
    if before := ledger.alias(name, PREVIOUS):
        versions.append(before.version)
    for version in dict.fromkeys(versions):
        release = ledger.find(name, version)
        if release.state == "registered" and not (live and live.version == version):
            yield release


def approve(
    ledger: Ledger, name: str, version: int, *, meaning: str, role: str, signer: Signer
) -> Approval:
    """Signs and records a person's approval of a version, bound to its digest and policy.

    Args:
        ledger: the release store.
        name: the model's name.
        version: which one.
        meaning: what the signature means, in the approver's words.
        role: the part that the approver acts in; may be left out if one is asked for alone.
        signer: with the approver's own key.

    Raises:
        ApprovalError: if the role is none that the policy asks for, or as `Ledger.approve` does.
        WherryError: as `Ledger.approve` does; nothing has changed then.
    """
    release, blessing = ledger.find(name, version), ledger.blessing_of(name, version)
    approval = Approval(
        role=approval_part(blessing, role),
        model_digest=release.digest,
        policy_digest=blessing.policy_digest,
        who=signer.key.owner,
        meaning=meaning.strip(),
        given=ledger.now(),
    )
    return ledger.approve(name, version, stamp(approval, APPROVAL, signer))


def approved(ledger: Ledger, name: str, version: int, keyring: Keyring) -> tuple[Approval, ...]:
    """Gives the approvals of a version, each with its signature looked at.

    Raises:
        SignatureError, SigningKeyError: if one was not signed as it is by a trusted key.
    """
    given = ledger.approvals(name, version)
    for approval in given:
        check_stamp(approval, APPROVAL, keyring)
    return given


def retire(ledger: Ledger, name: str, version: int, *, reason: str) -> Release:
    """Retires a version that no alias and no rollback needs.

    Raises:
        WithdrawnError: naming what needs it.
    """
    first = next(rollback_targets(ledger, name), None)
    if first and first.version == version:
        raise WithdrawnError(
            f"{name} v{version} is what a rollback would choose.",
            remedy="Retire it once a newer version was live, or revoke it if it is unfit.",
        )
    return ledger.withdraw(name, version, "retire", reason=reason)


def _check_whole(ledger: Ledger, target: Release, others: list[Release]) -> None:
    try:
        ledger.artifacts.verified(ArtifactRef(target.uri, target.digest, target.size))
    except WherryError as error:
        following = f"--to {others[0].version}" if others else "there is no other"
        # The same class and code, with what to do next.
        raise type(error)(
            f"version {target.version} cannot be rolled back to: {error.message}",
            remedy=f"The champion stays. Restore the file, or take the next one: {following}.",
        ) from error
