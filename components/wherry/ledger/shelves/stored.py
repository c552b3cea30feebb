"""What shelves have in common: what lies on them, and that its bytes are what they should be."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from wherry.contracts import Digest
from wherry.contracts.errors import DigestError

RESTORE: Final = "Restore it from a backup, or run the pipeline again to publish it."


@dataclass(frozen=True)
class Stored:
    """One file of the artifact store."""

    key: str
    """Below the store's root, such as ``sha256/ab/abcdef…/NAME.gguf``."""
    size: int
    """In bytes."""
    modified: datetime
    """When it was put there, or wanted again."""


def check_digest(found: Digest, digest: Digest, where: str) -> None:
    """Refuses bytes of another digest.

    Raises:
        DigestError: naming both.
    """
    if found != digest:
        raise DigestError(
            f"{where} has digest {found}, expected {digest}.",
            remedy="Restore it from a backup, or make the file again.",
        )
