"""Checks a store from its first audit row to its tables."""

from wherry.contracts import Digest, Release, digest_bytes
from wherry.ledger.chain import flaw, opened
from wherry.ledger.events import pair_digest
from wherry.ledger.records import GENESIS, Verification
from wherry.ledger.replay import Replay
from wherry.ledger.tables import Tables


def verify(tables: Tables) -> Verification:
    """Recomputes the chain, replays it, and compares versions, aliases and deployments.

    Memory grows with versions and deployments, not with the rows.
    """
    replay = Replay()
    rows, prev = 0, GENESIS
    for rows, (seq, hash, text) in enumerate(tables.raw_rows(), 1):
        reason = f"its number is {seq}" if seq != rows else ""
        reason = reason or flaw(text, hash, seq=rows, prev=prev)
        reason = reason or replay.apply(opened(text, hash))
        if reason:
            return _bad(rows, prev, rows, f"Audit row {rows}: {reason}.")
        prev = hash
    bad = _version_flaw(tables, replay) or _alias_flaw(tables, replay)
    if bad := bad or _deployment_flaw(tables, replay):
        seq, reason = bad
        # What no row tells of lacks the row that would come next.
        return _bad(rows, prev, seq or rows + 1, reason)
    return Verification(ok=True, rows=rows, head=prev)


def _bad(rows: int, head: Digest, first_bad: int, reason: str) -> Verification:
    return Verification(ok=False, rows=rows, head=head, first_bad=first_bad, reason=reason)


def _version_flaw(tables: Tables, replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.versions)
    for name, version, digest, record, evidence in tables.raw_versions():
        seq, expected = told.pop((name, version), (0, None))
        if expected != pair_digest(record, evidence) or Release.from_json(record).digest != digest:
            return seq, f"Version {version} of {name} is not as {_row(seq)} recorded it."
    for (name, version), (seq, _) in told.items():
        return seq, f"Version {version} of {name}, recorded in audit row {seq}, is gone."
    return None


def _alias_flaw(tables: Tables, replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.aliases)
    for name, alias, version, generation in tables.raw_aliases():
        seq, *expected = told.pop((name, alias), (0, 0, 0))
        if expected != [version, generation]:
            return seq, (
                f"{alias} of {name} points at version {version}, generation {generation}; "
                f"{_row(seq)} left it at version {expected[0]}, generation {expected[1]}."
            )
    for (name, alias), (seq, *_) in told.items():
        return seq, f"{alias} of {name}, set in audit row {seq}, is gone."
    return None


def _deployment_flaw(tables: Tables, replay: Replay) -> tuple[int, str] | None:
    told = dict(replay.deployments)
    for seq, record in tables.raw_deployments():
        if told.pop(seq, None) != digest_bytes(record.encode()):
            return seq, f"The deployment of audit row {seq} is not as it was recorded."
    for seq in told:
        return seq, f"The deployment of audit row {seq} is gone."
    return None


def _row(seq: int) -> str:
    return f"audit row {seq}" if seq else "no audit row"
