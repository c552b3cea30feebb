"""Where an alias pointed, and when: read from the audit rows alone."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from wherry.contracts import Digest
from wherry.ledger.records import Action, Actor, AuditRow


@dataclass(frozen=True)
class Pointed:
    """One move of an alias."""

    seq: int
    """Of its audit row."""
    ts: str
    """When, by the clock of the machine that made it."""
    version: int
    digest: Digest | None
    """None of a move that another alias's move brought along."""
    generation: int
    action: Action
    actor: Actor | None
    reason: str
    until: str = ""
    """When it was moved on; empty if it still points there."""
    skewed: bool = False
    """Whether a row before it has a later time: a clock was wrong."""


def moves(rows: Iterable[AuditRow], name: str, alias: str) -> list[Pointed]:
    """Gives every move of an alias in the order in which they were made."""
    found: list[Pointed] = []
    latest = ""
    for row in rows:
        skewed, latest = row.ts < latest, max(latest, row.ts)
        for move in row.moves if row.model.name == name else ():
            if move.alias == alias:
                digest = row.model.digest if move.version == row.model.version else None
                found = _ended(found, row.ts)
                found.append(
                    Pointed(
                        *(row.seq, row.ts, move.version, digest, move.generation),
                        *(row.action, row.actor, row.reason),
                        skewed=skewed,
                    )
                )
    return found


def at(history: Iterable[Pointed], moment: datetime) -> Pointed | None:
    """Gives where an alias pointed at a moment, or None before its first move.

    Rows are ordered by number: of two that a wrong clock put the other way round, the later
    number counts.

    Args:
        history: as `moves` gives it.
        moment: with its time zone.
    """
    begun = [one for one in history if datetime.fromisoformat(one.ts) <= moment]
    return begun[-1] if begun else None


def _ended(found: list[Pointed], ts: str) -> list[Pointed]:
    return [*found[:-1], replace(found[-1], until=ts)] if found else []
