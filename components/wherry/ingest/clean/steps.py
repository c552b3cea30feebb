"""What a cleaning step is: rows in, fewer or changed rows out, and a count of both."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from wherry.contracts import Cleaned, Row
from wherry.contracts.dataset import SplitName

Part = tuple[SplitName, list[Row]]
"""Some rows of one split, in their order."""
Rows = Iterable[Part]


class Step(Protocol):
    """One step. Rows flow through it once; what it did is known when the last has passed."""

    def __call__(self, rows: Rows) -> Rows:
        """Gives the rows as the step leaves them."""

    def cleaned(self) -> Cleaned:
        """Says what it did."""


class Tally:
    """Counts what one step did.

    Args:
        name: the step's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.rows = 0
        self.changed = 0
        self.dropped = 0
        self.told: Counter[str] = Counter()
        """How often what happened, in the words of the note."""

    def cleaned(self) -> Cleaned:
        """Gives the counts as a record, the most frequent first in the note."""
        counts = sorted(self.told.items(), key=lambda item: (-item[1], item[0]))
        note = ", ".join(f"{count:,} {words}" for words, count in counts if count)
        return Cleaned(self._name, self.rows, self.changed, self.dropped, note)
