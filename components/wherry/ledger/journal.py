"""Writes audit rows: numbers them, chains them, says who and when."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wherry.ledger.chain import sealed
from wherry.ledger.records import Actor, AuditRow, Circumstances

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy


class Journal:
    """The one way to a new audit row; used inside `Tables.writing`.

    Args:
        tables: where the rows go.
        actor: who makes the changes.
        clock: gives the time in UTC.
        new_id: gives an id for a change that has no key.
        circumstances: where the changes are made from.
    """

    def __init__(
        self,
        tables: "Tables",
        actor: Actor,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        circumstances: Callable[[], Circumstances] = Circumstances,
    ) -> None:
        self.actor = actor
        self._tables = tables
        self._clock = clock
        self._new_id = new_id
        self._circumstances = circumstances

    def write(self, row: AuditRow, key: str = "") -> AuditRow:
        """Adds a row to the chain.

        Args:
            row: what happened.
            key: names the change, so that a retry is known; empty for none.
        """
        seq, prev = self._tables.head()
        row = replace(row, seq=seq + 1, prev=prev, event_id=key or self._new_id())
        here = self._circumstances()
        row = replace(row, run=here.run, environment=here.environment)
        row, text = sealed(replace(row, ts=self.now(), actor=self.actor))
        self._tables.add_row(row, text)
        return row

    def now(self) -> str:
        """Gives the time as rows have it: UTC, RFC 3339."""
        return self.time().isoformat(timespec="microseconds")

    def time(self) -> datetime:
        """Gives the time in UTC."""
        return self._clock().astimezone(UTC)
