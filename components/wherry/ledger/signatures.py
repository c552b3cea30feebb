"""Checks who signed what a store's versions were released on: blessings, waivers, approvals.

A signature is judged as of when its record came into the store: a key that was revoked later does
not undo it. When that was, the row's own clock says, within what signed checkpoints leave: a row
that one of them covers was there before it was signed, any other came after. So nobody who has a
revoked key adds a row that seems older than the last checkpoint.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Final

from wherry.contracts import Approval, Blessing, Release, person
from wherry.contracts.blessing import Waiver
from wherry.contracts.errors import FormatError, SignatureError, SigningKeyError, StoreError
from wherry.ledger.chain import opened
from wherry.ledger.checkpoints import Checkpoint, Signed
from wherry.ledger.events import register_key
from wherry.ledger.records import AuditRow, Evidence
from wherry.signing import APPROVAL, BLESSING, WAIVER, Keyring, TrustedKey, check_stamp

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables  # loads SQLAlchemy

_EVER: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class Signatures:
    """Whether trusted keys signed what versions were released on, and where first they did not."""

    good: int = 0
    """Signatures that hold."""
    revoked_since: int = 0
    """Those of them whose key was revoked after they came into the store."""
    first_bad: int | None = None
    """The `seq` of the first row whose version or approval no trusted key signed as it is."""
    reason: str = ""


@dataclass(frozen=True)
class _Stamped:
    """One record with a signature inside."""

    seq: int
    """Of the row that tells of it."""
    what: str
    """Such as ``the blessing of icd10-triage v2``."""
    record: Blessing | Waiver | Approval
    kind: str
    """Its payload type."""
    at: datetime
    """When it was signed already."""
    who: str = ""
    """Whose key must have signed it; empty for any that is trusted."""
    odd: str = ""
    """Why it says nothing about what it stands beside; empty if it does."""


def check_signatures(
    tables: "Tables", keyring: Keyring, checkpoints: Iterable[Signed], now: datetime
) -> Signatures:
    """Checks every blessing, waiver and approval of a store that `verify` found whole.

    Args:
        tables: of the store.
        keyring: the keys that are trusted.
        checkpoints: that the log agrees with.
        now: in UTC.
    """
    ring, when = _whenever(keyring), _When(checkpoints, now)
    good = revoked = 0
    bad: list[tuple[int, str]] = []
    for one in chain(_of_versions(tables, when), _of_approvals(tables, when)):
        try:
            key = _checked(one, ring)
        except (FormatError, SignatureError, SigningKeyError) as error:
            bad.append((one.seq, f"Audit row {one.seq}: {one.what}: {error.message}"))
        else:
            good, revoked = good + 1, revoked + bool(key.revoked_at)
    seq, reason = min(bad, default=(None, ""))
    return Signatures(good, revoked, seq, reason)


def came_in(
    tables: "Tables", release: Release, checkpoints: Iterable[Signed], now: datetime
) -> datetime:
    """Gives when a version came into the log, by its row's clock and by signed checkpoints."""
    row = tables.row(register_key(release.name, release.digest))
    return _When(checkpoints, now).of(row) if row else now


class _When:
    """Tells when rows came into the log, by their clocks and by signed checkpoints."""

    def __init__(self, checkpoints: Iterable[Signed], now: datetime) -> None:
        kept = sorted((one.checkpoint for one in checkpoints), key=lambda one: one.size)
        self._kept: list[Checkpoint] = kept
        self._now = now

    def of(self, row: AuditRow) -> datetime:
        """Gives when a row was there already."""
        place = bisect_left(self._kept, row.seq, key=lambda one: one.size)
        before, after = self._kept[:place][-1:], self._kept[place:][:1]
        earliest = max(map(self.moment, (row.ts, *(one.ts for one in before))))
        return min(earliest, self._now, *(self.moment(one.ts) for one in after))

    def moment(self, text: str) -> datetime:
        """Reads a time; what is none gives the strictest, now."""
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            return self._now
        return read if read.tzinfo else self._now


def _of_versions(tables: "Tables", when: _When) -> Iterator[_Stamped]:
    for name, version, digest, record, evidence in tables.raw_versions():
        of = f"{name} v{version}"
        blessing = Evidence.from_json(evidence, where=f"the evidence of {of}").blessing
        row = tables.row(register_key(name, digest))
        if row is None:
            raise StoreError(f"no audit row made {of}.", remedy="Run `wherry audit verify`.")
        at, odd = when.of(row), _odd(blessing, Release.from_json(record))
        yield _Stamped(row.seq, f"the blessing of {of}", blessing, BLESSING, at, odd=odd)
        # The gate looked at waivers when it judged, and signed that.
        judged = min(at, when.moment(blessing.judged)) if blessing.judged else at
        for one in blessing.waivers:
            what = f"the waiver of {one.rule} for {of}"
            yield _Stamped(row.seq, what, one, WAIVER, judged, one.who)


def _odd(blessing: Blessing, release: Release) -> str:
    about = blessing.model_digest, blessing.policy_digest
    if about != (release.digest, release.lineage.policy_digest):
        return "it is of another file or policy"
    if blessing.name not in ("", release.name):
        return f"it is of the model {blessing.name}"
    return "" if blessing.passed and not blessing.reasons else "it is a refusal"


def _of_approvals(tables: "Tables", when: _When) -> Iterator[_Stamped]:
    for seq, name, version, text in tables.raw_approvals():
        what = f"the approval of {name} v{version}"
        approval = Approval.from_json(text, where=what)
        ((_, hash, told),) = tables.raw_rows(seq - 1, seq)
        row = opened(told, hash)
        made = tables.row(register_key(name, row.model.digest))
        odd = "" if approval.model_digest == row.model.digest else "it is of another file"
        if made and person(_id(made)) in (person(_id(row)), person(approval.who)):
            odd = f"it is by {_id(made)}, who made that version"
        yield _Stamped(seq, what, approval, APPROVAL, when.of(row), approval.who, odd)


def _id(row: AuditRow) -> str:
    return row.actor.id if row.actor else ""


def _checked(one: _Stamped, keyring: Keyring) -> TrustedKey:
    key = check_stamp(one.record, one.kind, keyring, at=one.at)
    odd = one.odd
    if one.who not in ("", key.owner):
        odd = f"{key.owner} signed it, not {one.who}"
    if odd:
        raise SignatureError(f"{odd}.", remedy="Find out who wrote it into the store.")
    return key


def _whenever(keyring: Keyring) -> Keyring:
    """Gives the same keys as the past has them.

    They are valid from ever, for a clock that ran behind makes no signature bad; and nothing is
    upheld, for that says what may go live now, not what was right when it came into the store.
    """
    kept = (replace(key, valid_from=_EVER, upheld=()) for key in keyring.keys)
    return Keyring(keys=tuple(kept))
