"""A registered version with its lineage, and where it runs."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.dataset import Source
from wherry.contracts.digest import Digest
from wherry.contracts.record import Record


@dataclass(frozen=True)
class Code(Record):
    """The code that made a version."""

    version: str
    """Of Wherry."""
    commit: str = ""
    """The working folder's git commit, or empty outside a repository."""
    dirty: bool = False
    """Whether tracked files differed from that commit."""


@dataclass(frozen=True)
class Lineage:
    """Everything that a version was made from, by digest."""

    data_digest: Digest
    data_source: Source
    base_uri: str
    base_digest: Digest
    adapter_digest: Digest
    template_digest: Digest
    settings_digest: Digest
    """Of all stages' settings as they ran."""
    scores_digest: Digest
    blessing_digest: Digest
    policy_digest: Digest
    code: Code
    teacher_digest: Digest | None = None
    """Of the model that it was tuned to follow, if any."""
    start_digest: Digest | None = None
    """Of the adapter that its training went on from, if any."""


ReleaseState = Literal["registered", "retired", "revoked"]
"""``retired``: no longer to be promoted; ``revoked``: withdrawn as unfit, never to run again."""


@dataclass(frozen=True)
class Release(Record):
    """One immutable version of a model."""

    name: str
    version: int
    """Counted from 1 for each name."""
    digest: Digest
    """Of the one file that ships."""
    uri: str
    """Where the file lies, content-addressed."""
    size: int
    """In bytes."""
    state: ReleaseState
    created: str
    """UTC, RFC 3339. For people: order follows `version`."""
    lineage: Lineage
    aliases: tuple[str, ...] = ()
    expired: bool = False
    """Whether a retention policy gave its file up: its record stays, and it never runs again."""
    schema: Literal["wherry.release/1"] = "wherry.release/1"


@dataclass(frozen=True)
class Deployment(Record):
    """One release as it runs on one target."""

    name: str
    version: int
    digest: Digest
    target: Literal["local", "kserve", "vertex"]
    url: str
    """Such as ``http://127.0.0.1:8080``."""
    generation: int
    """The alias's generation that it was made for; an older one never overwrites a newer one."""
    healthy: bool
    pid: int = 0
    """Of the local server, or 0."""
    checks: tuple[str, ...] = ()
    """What the smoke test found, in words that hold nothing of a row."""
    example: str = ""
    """The body of a chat request that a person may try, as JSON: a held-out row. The ledger, which
    forgets nothing, records the deployment without it."""
    schema: Literal["wherry.deployment/1"] = "wherry.deployment/1"
