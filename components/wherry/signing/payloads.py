"""Names what a signature can be about: a key for one is of no use for another."""

from typing import Final

from wherry.contracts.errors import SettingsError

BLESSING: Final = "application/vnd.wherry.blessing+json"
WAIVER: Final = "application/vnd.wherry.waiver+json"
APPROVAL: Final = "application/vnd.wherry.approval+json"
CHECKPOINT: Final = "application/vnd.wherry.checkpoint+json"
STATEMENT: Final = "application/vnd.in-toto+json"
"""An in-toto statement, such as provenance."""

NAMES: Final = {
    "blessing": BLESSING,
    "waiver": WAIVER,
    "approval": APPROVAL,
    "checkpoint": CHECKPOINT,
    "statement": STATEMENT,
}
"""What people write on a command line → the payload type of DSSE."""


def payload_type(name: str) -> str:
    """Gives the payload type of a short name.

    Raises:
        SettingsError: naming those that there are.
    """
    if name not in NAMES:
        raise SettingsError(
            f"{name!r} is nothing that is signed, expected one of {', '.join(NAMES)}.",
            remedy="Name one of these.",
        )
    return NAMES[name]
