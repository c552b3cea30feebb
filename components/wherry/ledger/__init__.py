"""The release store and the audit ledger: one transaction, one truth."""

from wherry.ledger.artifacts import Artifacts
from wherry.ledger.chain import canonical
from wherry.ledger.history import Pointed
from wherry.ledger.history import at as pointed_at
from wherry.ledger.history import moves as alias_moves
from wherry.ledger.records import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Actor,
    Alias,
    AuditRow,
    Candidate,
    Circumstances,
    Verification,
)
from wherry.ledger.rules import approval_missing, approval_part, check_blessing, check_label
from wherry.ledger.shelves.stored import Stored
from wherry.ledger.store import Ledger, predictions_name

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "Actor",
    "Alias",
    "Artifacts",
    "AuditRow",
    "Candidate",
    "Circumstances",
    "Ledger",
    "Pointed",
    "Stored",
    "Verification",
    "alias_moves",
    "approval_missing",
    "approval_part",
    "canonical",
    "check_blessing",
    "check_label",
    "pointed_at",
    "predictions_name",
]
