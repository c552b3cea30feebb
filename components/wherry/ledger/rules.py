"""What must hold before the store changes: names, and evidence bound to one digest."""

import re
from collections.abc import Sequence
from typing import Final

from wherry.contracts import Approval, Blessing, Scores, digest_record
from wherry.contracts.approval import missing_roles
from wherry.contracts.errors import (
    ApprovalError,
    DigestError,
    GateRefusedError,
    MissingError,
    SettingsError,
)
from wherry.ledger.records import Candidate

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SHIPPED: Final = "quantized"
"""The subject of the scores of the file that ships."""


def check_label(what: str, text: str) -> None:
    """Refuses a name that is no DNS label: it becomes a path, a URL and a Kubernetes name.

    Raises:
        SettingsError: naming it.
    """
    if not _LABEL.fullmatch(text):
        raise SettingsError(
            f"{what} {text!r} is no DNS label.",
            remedy="Use lower-case letters, digits and dashes, 63 at most.",
        )


def check_candidate(candidate: Candidate) -> None:
    """Refuses a candidate whose evidence is not about its own digest.

    Raises:
        GateRefusedError: if its blessing did not pass, or has no check or a failed one.
        DigestError: if blessing, scores and lineage are not of the same file.
        MissingError: if the scores of the file itself are not there.
        SettingsError: if its name is no DNS label.
    """
    check_label("name", candidate.name)
    check_blessing(candidate.blessing)
    blessing, lineage = candidate.blessing, candidate.lineage
    scores = shipped_scores(candidate.scores)
    for what, found, expected in (
        ("the blessing's model", blessing.model_digest, candidate.digest),
        ("the scores' model", scores.model_digest, candidate.digest),
        ("the blessing's scores", blessing.scores_digest, digest_record(scores)),
        ("the lineage's scores", lineage.scores_digest, digest_record(scores)),
        ("the lineage's blessing", lineage.blessing_digest, digest_record(blessing)),
        ("the lineage's policy", lineage.policy_digest, blessing.policy_digest),
    ):
        if found != expected:
            raise DigestError(
                f"{what} has digest {found}, expected {expected}.",
                remedy="Judge this very file by the gate, and release it with that blessing.",
            )


def check_blessing(blessing: Blessing) -> None:
    """Refuses what the gate did not pass on every check, and on one at least.

    Raises:
        GateRefusedError: with the gate's reasons.
    """
    unjudged = "" if blessing.checks else "it was not judged by any check"
    if not blessing.passed or unjudged or blessing.reasons:
        why = "; ".join(blessing.reasons) or unjudged or "its blessing says that it did not pass"
        raise GateRefusedError(
            f"{blessing.model_digest} has no blessing: {why}.",
            remedy="Improve the model or correct the policy, and run the pipeline again.",
        )


def check_approval(approval: Approval, blessing: Blessing) -> None:
    """Refuses an approval that is not of what was blessed, or is given too late.

    Raises:
        DigestError: naming both digests.
        ApprovalError: if its meaning is missing, or its time is over.
    """
    for what, found, expected in (
        ("file", approval.model_digest, blessing.model_digest),
        ("policy", approval.policy_digest, blessing.policy_digest),
    ):
        if found != expected:
            raise DigestError(
                f"the approval is of the {what} {found}, the version's is {expected}.",
                remedy="Look at this very version, and approve it.",
            )
    if not approval.meaning.strip():
        raise ApprovalError(
            "an approval takes its meaning.", remedy='Say it: --meaning "reviewed for use"'
        )
    if blessing.approve_until and approval.given > blessing.approve_until:
        raise ApprovalError(
            f"it was to be approved until {blessing.approve_until}, and it is {approval.given}.",
            remedy="Run the pipeline again, so that the gate judges what is known now.",
        )


def approval_missing(blessing: Blessing, given: Sequence[Approval]) -> str:
    """Says which approvals are missing, in words; empty if none is.

    Args:
        blessing: of the version.
        given: what was approved, by whoever.
    """
    missing = missing_roles(blessing, given)
    if not missing:
        return ""
    return (
        f"its policy asks for the approval of {', '.join(missing)}, each by a person of their own"
    )


def approval_part(blessing: Blessing, role: str) -> str:
    """Gives the part in which an approval is given.

    Raises:
        ApprovalError: if it is none that the policy asks for, or several are open to choose from.
    """
    asked = blessing.required_approvals
    if role in asked or (not role and not asked):
        return role
    if not role and len(asked) == 1:
        return asked[0]
    said = f"{role!r} is none of them" if role else "none was named"
    parts = ", ".join(asked) or "nobody in particular"
    raise ApprovalError(
        f"the policy asks for the approval of {parts}; {said}.",
        remedy="Name the part with --as, or leave it out where none is asked for.",
    )


def shipped_scores(scores: tuple[Scores, ...]) -> Scores:
    """Gives the scores of the file that ships.

    Raises:
        MissingError: naming the subjects that there are.
    """
    for one in scores:
        if one.subject == SHIPPED:
            return one
    raise MissingError(
        f"there are no scores of {SHIPPED!r}, only of {[one.subject for one in scores]}.",
        remedy="Evaluate the file that ships.",
    )
