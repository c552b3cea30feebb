"""Moves the champion between registered versions: forward by promotion, back by rollback."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from wherry.contracts import Approval, ArtifactRef, Digest, Release
from wherry.contracts.errors import ConflictError, MissingError, WherryError, WithdrawnError
from wherry.ledger import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Ledger,
    Pointed,
    alias_moves,
    approval_part,
)
from wherry.ledger.standing import check_fit
from wherry.release.vouched import check_vouched, good_approvals
from wherry.signing import APPROVAL, BLESSING, Keyring, Signer, check_stamp, stamp

_RECENT: Final = 20_000
"""Audit rows that are read for the champion's history: a second, and years of releases."""


def promote(
    ledger: Ledger,
    name: str,
    version: int,
    *,
    keyring: Keyring,
    alias: str = CHAMPION,
    reason: str,
    seen: int = -1,
) -> int:
    """Points an alias at a version that may go live.

    Args:
        ledger: the release store.
        name: the model's name.
        version: where to point.
        keyring: the keys that are trusted.
        alias: what to move.
        reason: why, for the audit.
        seen: the alias's generation that the caller decided on; -1 for the present one.

    Returns:
        The alias's new generation.

    Raises:
        SignatureError, SigningKeyError: if no trusted key vouches for the version.
        WherryError: as `Ledger.switch` does; nothing has changed then.
    """
    if alias != CHALLENGER:
        check_vouched(ledger, name, version, keyring)
    at = ledger.alias(name, alias)
    generation = seen if seen >= 0 else at.generation if at else 0
    return ledger.switch(alias, name, version, expected_generation=generation, reason=reason)


def roll_back(
    ledger: Ledger, name: str, *, keyring: Keyring, reason: str, to: int = 0, seen: int = -1
) -> Release:
    """Points the champion back at the last version that was healthy: no training, no network.

    Repeated after a kill it goes no further back: a rollback that no deployment followed yet is
    finished, not made again.

    Args:
        ledger: the release store.
        name: the model's name.
        keyring: the keys that are trusted.
        reason: why, for the audit.
        to: a version that was champion before, or 0 for the last healthy one.
        seen: the champion's generation that the caller decided on; -1 for the present one.

    Returns:
        The version that is champion now.

    Raises:
        MissingError: if nothing was ever released, or there is nothing to go back to.
        DigestError, MissingError: if the target's file is not whole; the next one is named.
        SignatureError, SigningKeyError: if no trusted key vouches for the target.
        WherryError: as `Ledger.switch` does; the champion is what it was.
    """
    live = ledger.alias(name, CHAMPION)
    if live is None:
        raise MissingError(f"{name!r} has no champion to roll back.", remedy="See `wherry models`.")
    history = _champions(ledger, name)
    if not to and seen < 0 and _is_unfinished(ledger, name, history):
        return ledger.find(name, live.version)
    targets = list(rollback_targets(ledger, name))
    if to:
        others = [one for one in targets if one.version != to]
        targets = [_earlier(ledger, name, to, history), *others]
    if not targets:
        raise MissingError(
            f"{name!r} has no version to go back to: none but version {live.version} was healthy.",
            remedy="Promote another version by its number: "
            f'wherry promote {name}:VERSION --reason "…"',
        )
    target = targets[0]
    _check_target(ledger, target, targets[1:], keyring)
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
    `previous` names, for where deployments are not recorded here. What a rollback left stays
    left until somebody promotes it again.
    """
    live = ledger.alias(name, CHAMPION)
    left = _left(_champions(ledger, name))
    versions = [one.version for one in reversed(ledger.deployments(name)) if one.healthy]
    if before := ledger.alias(name, PREVIOUS):
        versions.append(before.version)
    for version in dict.fromkeys(versions):
        release = ledger.find(name, version)
        is_live = live is not None and live.version == version
        if release.state == "registered" and not is_live and version not in left:
            yield release


def check_not_left(ledger: Ledger, name: str, digest: Digest) -> None:
    """Refuses a file that somebody rolled back from: that a run makes it again mends nothing.

    A version that never served was left because it did not deploy: a run may try that again.

    Raises:
        ConflictError: naming the rollback.
    """
    release = next((one for one in ledger.releases(name) if one.digest == digest), None)
    why = _left(_champions(ledger, name)).get(release.version) if release else None
    deployed = {one.version for one in ledger.deployments(name)}
    if release is None or why is None or (deployed and release.version not in deployed):
        return
    raise ConflictError(
        f"this file is {name} v{release.version}, which was rolled back from: "
        f"{' '.join(why.reason.split())} (audit row {why.seq}).",
        remedy="Tune another one; if it is good after all, say so: wherry promote "
        f'{name}:{release.version} --reason "…"',
    )


def _champions(ledger: Ledger, name: str) -> list[Pointed]:
    """Gives the champion's moves of late; the whole log of years is not read in an emergency."""
    return alias_moves(ledger.audit(max(0, ledger.log.size - _RECENT)), name, CHAMPION)


def _left(history: list[Pointed]) -> dict[int, Pointed]:
    """Gives the versions that nobody promoted again since a rollback left them, each with that."""
    left: dict[int, Pointed] = {}
    before = 0
    for move in history:
        if move.action == "rollback" and before:
            left[before] = move
        left.pop(move.version, None)
        before = move.version
    return left


def _is_unfinished(ledger: Ledger, name: str, history: list[Pointed]) -> bool:
    """Says whether the last move was a rollback that what serves here has not followed."""
    if not history or history[-1].action != "rollback":
        return False
    deployed = ledger.deployments(name)
    return bool(deployed) and deployed[-1].generation < history[-1].generation


def _earlier(ledger: Ledger, name: str, version: int, history: list[Pointed]) -> Release:
    release = ledger.find(name, version)
    known = {move.version for move in history} | {one.version for one in ledger.deployments(name)}
    if version not in known:
        raise ConflictError(
            f"version {version} of {name} was never the champion, so nothing rolls back to it.",
            remedy=f'Promote it: wherry promote {name}:{version} --reason "…"',
        )
    return release


def approve(
    ledger: Ledger,
    name: str,
    version: int,
    *,
    meaning: str,
    role: str,
    signer: Signer,
    keyring: Keyring,
) -> Approval:
    """Signs and records a person's approval of a version, bound to its digest and policy.

    Args:
        ledger: the release store.
        name: the model's name.
        version: which one.
        meaning: what the signature means, in the approver's words.
        role: the part that the approver acts in; may be left out if one is asked for alone.
        signer: with the approver's own key.
        keyring: the keys that are trusted; the signer's must be one.

    Raises:
        ApprovalError: if the role is none that the policy asks for, or as `Ledger.approve` does.
        WherryError: as `Ledger.approve` does; nothing has changed then.
    """
    release, blessing = ledger.find(name, version), ledger.blessing_of(name, version)
    check_fit(release)  # also for who approved it before it was withdrawn
    check_stamp(blessing, BLESSING, keyring)
    role = approval_part(blessing, role)
    who = signer.key.owner
    good = good_approvals(ledger, name, version, keyring)
    for one in good:
        if (one.who, one.role) == (who, role):
            return one
    approval = Approval(
        role=role,
        model_digest=release.digest,
        policy_digest=blessing.policy_digest,
        who=who,
        meaning=meaning.strip(),
        given=ledger.now(),
    )
    signed = stamp(approval, APPROVAL, signer)
    check_stamp(signed, APPROVAL, keyring)  # a key that nobody trusts approves nothing
    return ledger.approve(name, version, signed, again=True)


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


def _check_target(ledger: Ledger, target: Release, others: list[Release], keyring: Keyring) -> None:
    """Refuses a target that is not good before anything is moved; names one that is."""
    try:
        _check_good(ledger, target, keyring)
    except WherryError as error:
        # The same class and code, with what to do next.
        raise type(error)(
            f"version {target.version} cannot be rolled back to: {error.message}",
            remedy=f"The champion stays. {error.remedy} {_instead(ledger, others, keyring)}",
        ) from error


def _check_good(ledger: Ledger, target: Release, keyring: Keyring) -> None:
    """Refuses a version whose file or signatures are not good."""
    check_fit(target)  # of one whose file was given up, "missing" would be no answer
    check_vouched(ledger, target.name, target.version, keyring)
    ledger.artifacts.verified(ArtifactRef(target.uri, target.digest, target.size))


def _instead(ledger: Ledger, others: list[Release], keyring: Keyring) -> str:
    """Says which target to take instead: the first one that is good, for nobody has time to try."""
    for one in others:
        with suppress(WherryError, OSError):
            _check_good(ledger, one, keyring)
            return f"Or take the next one that is good: --to {one.version}"
    return "Of those that were live there is no other that is good."
