"""What changed since a data set was last accepted, as a table with the size of each shift."""

from dataclasses import dataclass

from wherry.contracts.validation import Change, Since
from wherry.page.words import MISSING, number, sentence


@dataclass(frozen=True)
class Moved:
    """One figure that moved."""

    what: str
    before: str
    now: str
    distance: str
    """Empty where two numbers were compared, not two distributions."""
    length: float
    """Of the bar that shows the distance, in percent."""


@dataclass(frozen=True)
class Changes:
    """What changed, and since when."""

    since: str
    """The accepted version in words, such as ``data/icd10 at 9f2c41d07be3``."""
    digest: str
    moved: tuple[Moved, ...]


def changes_of(since: Since) -> Changes:
    """Gives the changes as table rows."""
    source = since.source
    at = source.revision or source.checksum
    words = " at ".join(part for part in (source.path, at) if part)
    return Changes(words, since.dataset_digest, tuple(map(_moved, since.changes)))


def _moved(change: Change) -> Moved:
    known = change.distance is not None
    return Moved(
        what=sentence(change.what.replace("_", " ")),
        before=change.before or MISSING,
        now=change.now or MISSING,
        distance=number(change.distance, 2) if known else "",
        length=100 * min(1.0, max(0.0, change.distance or 0.0)),
    )
