"""Checks a store from its first audit row to its tables."""

from wherry.contracts import Digest, digest_bytes
from wherry.ledger.chain import flaw, opened
from wherry.ledger.database import Database
from wherry.ledger.events import pair_digest
from wherry.ledger.records import GENESIS, Verification
from wherry.ledger.replay import Replay


def verify(database: Database) -> Verification:
    """Recomputes the chain, replays it, and compares versions, aliases and deployments.

    Memory grows with versions and deployments, not with the rows.
    """
    replay = Replay()
    rows, prev = 0, GENESIS
    query = "SELECT seq, hash, record FROM audit ORDER BY seq"
    for rows, (seq, hash, text) in enumerate(database.rows(query), 1):
        reason = f"its number is {seq}" if seq != rows else ""
        reason = reason or flaw(text, hash, seq=rows, prev=prev)
        reason = reason or replay.apply(opened(text, hash))
        if reason:
            return _bad(rows, prev, rows, f"Audit row {rows}: {reason}.")
        prev = hash
    bad = _version_flaw(database, replay) or _alias_flaw(database, replay)
    if bad := bad or _deployment_flaw(database, replay):
        return _bad(rows, prev, *bad)
    return Verification(ok=True, rows=rows, head=prev)


def _bad(rows: int, head: Digest, first_bad: int, reason: str) -> Verification:
    return Verification(ok=False, rows=rows, head=head, first_bad=first_bad, reason=reason)


def _version_flaw(database: Database, replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.versions)
    query = "SELECT name, version, record, evidence FROM versions ORDER BY name, version"
    for name, version, record, evidence in database.rows(query):
        seq, digest = told.pop((name, version), (0, None))
        if digest != pair_digest(record, evidence):
            return seq, f"Version {version} of {name} is not as audit row {seq} recorded it."
    for (name, version), (seq, _) in told.items():
        return seq, f"Version {version} of {name}, recorded in audit row {seq}, is gone."
    return None


def _alias_flaw(database: Database, replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.aliases)
    query = "SELECT name, alias, version, generation FROM aliases ORDER BY name, alias"
    for name, alias, version, generation in database.rows(query):
        seq, *expected = told.pop((name, alias), (0, 0, 0))
        if expected != [version, generation]:
            return seq, (
                f"{alias} of {name} points at version {version}, generation {generation}; "
                f"audit row {seq} left it at version {expected[0]}, generation {expected[1]}."
            )
    for (name, alias), (seq, *_) in told.items():
        return seq, f"{alias} of {name}, set in audit row {seq}, is gone."
    return None


def _deployment_flaw(database: Database, replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.deployments)
    for seq, record in database.rows("SELECT seq, record FROM deployments ORDER BY seq"):
        if told.pop(seq, None) != digest_bytes(record.encode()):
            return seq, f"The deployment of audit row {seq} is not as it was recorded."
    for seq in told:
        return seq, f"The deployment of audit row {seq} is gone."
    return None
