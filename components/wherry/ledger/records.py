"""What the ledger keeps: candidates, aliases and the rows of the audit chain."""

from dataclasses import dataclass, field
from typing import Final, Literal

from wherry.contracts import Blessing, Code, Dataset, Digest, Lineage, Metric, Scores
from wherry.contracts.errors import StoreError
from wherry.contracts.record import Record

CHAMPION: Final = "champion"
"""The alias that is deployed."""
PREVIOUS: Final = "previous"
"""Follows `CHAMPION`: the version that it pointed at before."""
CHALLENGER: Final = "challenger"
"""A version on trial: it serves nobody, so that it needs no approval yet."""
GENESIS: Final[Digest] = "sha256:" + 64 * "0"
"""Stands where the first audit row names the row before it."""

Action = Literal[
    "stage", "register", "approve", "promote", "rollback", "deploy", "retire", "revoke"
]
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
class Run:
    """The run of a pipeline that a change belongs to."""

    platform: Literal["local", "kubeflow", "vertex"]
    id: str = ""
    """The platform's own; empty if it did not say."""
    task: str = ""
    """The task's pod or job, or empty on one machine."""


@dataclass(frozen=True)
class Environment:
    """What a process runs in."""

    wherry: str
    """Its version."""
    python: str
    system: str
    """Such as ``Linux x86_64``."""
    cpus: int
    packages: Digest
    """Of the installed packages with their versions."""
    image: str = ""
    """The container's image with its digest, as far as it is known."""


@dataclass(frozen=True)
class Circumstances:
    """Where a change is made from."""

    run: Run | None = None
    environment: Environment | None = None


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
    dataset: Dataset | None = None
    """The data that it was made from, in figures: splits, rows, licence, cleaning."""
    settings: str = ""
    """Of all stages as JSON, the gate's policy among them."""


@dataclass(frozen=True)
class Evidence(Record):
    """What a version was released on; kept with it."""

    blessing: Blessing
    scores: tuple[Scores, ...]
    dataset: Dataset | None = None
    settings: str = ""
    """Of all stages as JSON, without secrets."""
    redactions: tuple[str, ...] = ()
    """The fields that secrets were taken out of."""
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
class Approved:
    """An approval as its audit row tells it."""

    meaning: str
    policy_digest: Digest
    record_digest: Digest
    role: str = ""
    who: str = ""
    """The owner of the key that signed; the row's actor is the account."""


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
class Named:
    """Bytes by the name that a stage has for them."""

    name: str
    digest: Digest


@dataclass(frozen=True)
class Stage:
    """A stage of a run as it ran."""

    name: str
    """Such as ``tune`` or ``evaluate base``."""
    inputs: tuple[Named, ...] = ()
    outputs: tuple[Named, ...] = ()
    settings: Digest | None = None
    """Of the JSON text that it was handed."""
    parameters: dict[str, str] = field(default_factory=dict)
    """What else it was handed: names, addresses, numbers; without secrets."""
    redacted: tuple[str, ...] = ()
    """The parameters that secrets were taken out of."""


NO_MODEL: Final = Subject(name="", version=0, digest=GENESIS)
"""Stands in rows that are about no version."""


@dataclass(frozen=True)
class AuditRow:
    """One change of the store.

    A row's canonical form is its JSON by RFC 8785 without `hash` and without the fields
    that are empty; `hash` is that form's SHA-256. `prev` is the hash of the row before,
    so that no row can be edited, taken out or moved without changing all that follow.
    """

    action: Action
    model: Subject = NO_MODEL
    outcome: Literal["done", "failed"] = "done"
    error_code: str = ""
    """Of a stage that failed."""
    stage: Stage | None = None
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
    retention: Digest | None = None
    """Of the policy by which a version's file was given up, in the row that withdraws it."""
    run: Run | None = None
    environment: Environment | None = None
    redactions: tuple[str, ...] = ()
    """The fields that secrets were taken out of."""
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
    """The `seq` of the first bad row, or of the row that an edited table contradicts; None too if
    it is the database that no longer refuses changes."""
    reason: str = ""
    root: Digest = ""
    """Root of the Merkle tree over the good rows."""
    checkpoints: int = 0
    """Signed checkpoints that the rows agree with."""
    covered: int = 0
    """The first rows that one of them covers; of later ones no signature says that they stood."""
    skewed: tuple[int, ...] = ()
    """The first rows whose time is before that of the row before them: a clock was wrong. Order
    is that of `seq`, so nothing else is."""

    @property
    def remedy(self) -> str:
        """What to do about a store that does not hold."""
        if self.first_bad is None:
            return "Find out who took the triggers away; docs/audit says how they come back."
        return "Find out who changed it, and restore it from a backup."

    def check(self) -> None:
        """Refuses a store that does not hold: what it says of versions may be anybody's.

        Raises:
            StoreError: naming what is wrong.
        """
        if not self.ok:
            raise StoreError(f"The audit trail does not hold: {self.reason}", remedy=self.remedy)
