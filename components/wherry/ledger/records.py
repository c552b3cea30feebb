"""What the ledger keeps: candidates, aliases and the rows of the audit chain."""

from dataclasses import dataclass
from typing import Final, Literal

from wherry.contracts import Blessing, Code, Digest, Lineage, Metric, Scores
from wherry.contracts.record import Record

CHAMPION: Final = "champion"
"""The alias that is deployed."""
PREVIOUS: Final = "previous"
"""Follows `CHAMPION`: the version that it pointed at before."""
CHALLENGER: Final = "challenger"
"""A version on trial: it serves nobody, so that it needs no approval yet."""
GENESIS: Final[Digest] = "sha256:" + 64 * "0"
"""Stands where the first audit row names the row before it."""

Action = Literal["register", "approve", "promote", "rollback", "deploy", "retire", "revoke"]
SwitchAction = Literal["promote", "rollback"]
Withdrawal = Literal["retire", "revoke"]


@dataclass(frozen=True)
class Actor:
    """Who or what changed the store."""

    id: str
    """The user's or the service's name."""
    kind: Literal["human", "service"]
    authenticated: str
    """How the name was established, such as ``os-user``."""


@dataclass(frozen=True)
class Candidate:
    """A published file with the evidence that it may be released."""

    name: str
    """The model's name, a DNS label such as ``icd10-triage``."""
    digest: Digest
    """Of the one file that ships."""
    uri: str
    """Where the file lies in the artifact store."""
    size: int
    """In bytes."""
    lineage: Lineage
    blessing: Blessing
    scores: tuple[Scores, ...]
    """Of the file itself (subject ``quantized``), and of what it was made from."""


@dataclass(frozen=True)
class Evidence(Record):
    """What a version was released on; kept with it."""

    blessing: Blessing
    scores: tuple[Scores, ...]
    schema: Literal["wherry.evidence/1"] = "wherry.evidence/1"


@dataclass(frozen=True)
class Alias:
    """A name that moves between versions."""

    name: str
    alias: str
    version: int
    generation: int
    """Counted from 1; every move adds one."""


@dataclass(frozen=True)
class Switch:
    """An alias's move as it is asked for."""

    alias: str
    name: str
    version: int
    expected_generation: int
    """That the caller saw; 0 for no such alias yet."""
    reason: str
    action: SwitchAction = "promote"
    key: str = ""
    """Names this change, so that a retry is known; empty for none."""


@dataclass(frozen=True)
class Subject:
    """The version that an audit row is about."""

    name: str
    version: int
    digest: Digest
    format: str = "gguf"
    record_digest: Digest | None = None
    """Of the version's record and evidence as stored, so that a later edit is found."""


@dataclass(frozen=True)
class Input:
    """Something that a version was made from."""

    role: Literal["data", "base", "adapter"]
    digest: Digest
    uri: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Decision:
    """What the gate decided, and by which policy."""

    passed: bool
    blessing_digest: Digest
    policy_digest: Digest


@dataclass(frozen=True)
class Approval(Record):
    """A person's word that a version may go live; bound to its digest and its policy."""

    name: str
    version: int
    digest: Digest
    policy_digest: Digest
    actor: Actor
    meaning: str
    """What the signature means, such as ``reviewed and released for use`` (21 CFR 11.50)."""
    ts: str
    """UTC, RFC 3339."""
    role: str = ""
    """The part that the approver acted in, as the policy names it."""
    schema: Literal["wherry.approval/1"] = "wherry.approval/1"


@dataclass(frozen=True)
class Approved:
    """An approval as its audit row tells it."""

    meaning: str
    policy_digest: Digest
    record_digest: Digest
    role: str = ""


@dataclass(frozen=True)
class Move:
    """One alias as a row leaves it."""

    alias: str
    version: int
    generation: int


@dataclass(frozen=True)
class Previous:
    """Where the alias pointed before the row."""

    version: int
    digest: Digest
    generation: int


@dataclass(frozen=True)
class Deployed:
    """What was deployed where."""

    target: str
    url: str
    generation: int
    healthy: bool
    record_digest: Digest


@dataclass(frozen=True)
class AuditRow:
    """One change of the store.

    A row's canonical form is its JSON by RFC 8785 without `hash` and without the fields
    that are empty; `hash` is that form's SHA-256. `prev` is the hash of the row before,
    so that no row can be edited, taken out or moved without changing all that follow.
    """

    action: Action
    model: Subject
    outcome: Literal["done"] = "done"
    inputs: tuple[Input, ...] = ()
    code: Code | None = None
    metrics: tuple[Metric, ...] = ()
    """Over all rows of the test data, without slices."""
    gate: Decision | None = None
    moves: tuple[Move, ...] = ()
    previous: Previous | None = None
    deploy: Deployed | None = None
    approval: Approved | None = None
    reason: str = ""
    seq: int = 0
    """Counted from 1 without gaps."""
    prev: Digest = GENESIS
    hash: Digest = ""
    event_id: str = ""
    """One a change: a retry with the same id adds no row."""
    ts: str = ""
    """UTC, RFC 3339. For people: order follows `seq`."""
    actor: Actor | None = None
    schema: Literal["wherry.audit/1"] = "wherry.audit/1"


@dataclass(frozen=True)
class Verification:
    """Whether the store holds together, and where it first does not."""

    ok: bool
    rows: int
    """Rows read, up to the first bad one."""
    head: Digest
    """Hash of the last good row. Kept elsewhere, it later shows a tail that was cut off."""
    first_bad: int | None = None
    """The `seq` of the first bad row, or of the row that an edited table contradicts."""
    reason: str = ""
    root: Digest = ""
    """Root of the Merkle tree over the good rows."""
    checkpoints: int = 0
    """Signed checkpoints that the rows agree with."""
    skewed: tuple[int, ...] = ()
    """The first rows whose time is before that of the row before them: a clock was wrong. Order
    is that of `seq`, so nothing else is."""
