"""Refuses to run what the gate did not bless: no signature of a trusted key, no deployment."""

from pathlib import Path

from wherry.contracts import Approval, Blessing, Release, check_approvals
from wherry.contracts.errors import DigestError, GateRefusedError
from wherry.ledger import Ledger, check_blessing
from wherry.signing import APPROVAL, BLESSING, Keyring, check_stamp, is_stamped_by, load_keyring
from wherry.workspace import state


def check_blessed(release: Release, blessing: Path | None) -> None:
    """Refuses a release without a blessing of this very file.

    Args:
        release: what is to run.
        blessing: the run's `Blessing`; None for the one that the version was released on.

    Raises:
        GateRefusedError: if there is none, or it is a refusal.
        DigestError: if it is of another file.
        SignatureError, SigningKeyError: if no trusted key signed it as it is.
        ApprovalError: if a person must approve it first.
    """
    found = Blessing.read(blessing) if blessing else _recorded(release)
    check_blessing(found)
    if found.model_digest != release.digest:
        raise DigestError(
            f"the blessing is of {found.model_digest}, {release.name} version {release.version} "
            f"is {release.digest}.",
            remedy="Hand on the blessing of the run that made this release.",
        )
    keyring = load_keyring()
    check_stamp(found, BLESSING, keyring)
    if found.required_approvals:
        check_approvals(found, _approvals(release, keyring))


def _approvals(release: Release, keyring: Keyring) -> tuple[Approval, ...]:
    if not Ledger.exists(state()):
        return ()
    with Ledger.open(state()) as ledger:
        given = ledger.approvals(release.name, release.version)
    # A bad approval is no more than a missing one: it must not block the others.
    return tuple(one for one in given if is_stamped_by(one, APPROVAL, keyring, one.who))


def _recorded(release: Release) -> Blessing:
    if not Ledger.exists(state()):
        raise GateRefusedError(
            f"There is no blessing for {release.name} version {release.version}, and no ledger.",
            remedy="Hand over the gate's blessing with the release.",
        )
    with Ledger.open(state()) as ledger:
        return ledger.blessing_of(release.name, release.version)
