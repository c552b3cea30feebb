"""The release store and the audit ledger: one transaction, one truth."""

from wherry.ledger.artifacts import Artifacts
from wherry.ledger.chain import canonical
from wherry.ledger.records import (
    CHAMPION,
    PREVIOUS,
    Actor,
    Alias,
    AuditRow,
    Candidate,
    Verification,
)
from wherry.ledger.rules import check_blessing, check_label
from wherry.ledger.store import Ledger

__all__ = [
    "CHAMPION",
    "PREVIOUS",
    "Actor",
    "Alias",
    "Artifacts",
    "AuditRow",
    "Candidate",
    "Ledger",
    "Verification",
    "canonical",
    "check_blessing",
    "check_label",
]
