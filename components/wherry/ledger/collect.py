"""Finds the stored files that no version needs, and removes them."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from wherry.contracts.errors import SettingsError, StoreError
from wherry.ledger.artifacts import Artifacts, digest_of
from wherry.ledger.shelves.stored import Stored

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy

YOUNGEST: Final = timedelta(hours=1)
"""A file may be as young as this and its run be about to register it."""


def collect(
    tables: "Tables",
    artifacts: Artifacts,
    *,
    older_than: timedelta,
    now: datetime,
    remove: bool,
) -> tuple[Stored, ...]:
    """Gives the files that no version has and that are old enough; removes them if asked.

    A version of any state keeps its file, and the answers that it was scored by, until a retention
    policy gives them up. What was left half-written by a process that was killed belongs to none.

    Args:
        tables: of the one store that publishes there.
        artifacts: the files.
        older_than: for how long a file must have been there.
        now: in UTC.
        remove: whether to remove them.

    Raises:
        SettingsError: if a file may be younger than a run takes.
        StoreError: if another release store publishes to the same place.
    """
    if older_than < YOUNGEST:
        raise SettingsError(
            f"files must be older than {older_than} to be collected, expected {YOUNGEST} at least.",
            remedy="Give the runs of now time to register what they published.",
        )
    _check_alone(tables, artifacts)
    kept = tables.needed()
    found = tuple(
        one
        for one in artifacts.stored()
        if one.modified < now - older_than and digest_of(one) not in kept
    )
    return tuple(one for one in found if _removed(tables, artifacts, one)) if remove else found


def _check_alone(tables: "Tables", artifacts: Artifacts) -> None:
    if others := sorted(artifacts.owners() - {tables.identity()}):
        raise StoreError(
            f"{len(others)} other release store(s) publish to the same place: {', '.join(others)}.",
            remedy="Collect nothing there, for its versions are not known here; give each store a "
            "WHERRY_ARTIFACTS of its own.",
        )


def _removed(tables: "Tables", artifacts: Artifacts, one: Stored) -> bool:
    digest = digest_of(one)
    # Whoever registers it holds the same lock, and asks inside it whether the file is there.
    with tables.writing():
        if digest and digest in tables.needed(digest):
            return False
        artifacts.remove(one)
    return True
