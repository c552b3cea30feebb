"""Hashes the files that versions still have, for whoever will not wait for their next use."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.contracts import ArtifactRef
from wherry.contracts.errors import DigestError, MissingError
from wherry.ledger.artifacts import Artifacts
from wherry.ledger.events import register_key

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy


@dataclass(frozen=True)
class Files:
    """Whether versions have the files that they were registered with, and where first not."""

    good: int = 0
    """Those that are; what a retention policy gave up is not looked for."""
    first_bad: int | None = None
    """The `seq` of the row that registered the first one that is not."""
    reason: str = ""


def check_files(tables: "Tables", artifacts: Artifacts) -> Files:
    """Hashes the file of each version of a store that `verify` found whole, up to a bad one.

    Args:
        tables: of the store.
        artifacts: the files.

    Raises:
        FileAccessError: if the bucket does not answer.
    """
    good = 0
    for release in tables.releases(None):
        if release.expired:
            continue
        try:
            artifacts.verified(ArtifactRef(release.uri, release.digest, release.size))
        except (DigestError, MissingError) as error:
            row = tables.row(register_key(release.name, release.digest))
            told = f"The file of {release.name} v{release.version}: {error.message}"
            return Files(good, row.seq if row else None, told)
        good += 1
    return Files(good)
