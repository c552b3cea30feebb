"""The gate's verdict, bound to one file's digest and signed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record

Rule = Literal[
    "floor",
    "ceiling",
    "every",
    "champion",
    "quantization",
    "any_of",
    "age",
    "waiver",
    "parity",
    "data",
]


@dataclass(frozen=True)
class Check:
    """One threshold of the policy beside what was observed."""

    rule: Rule
    metric: str
    slice: str
    threshold: float
    observed: float | None
    passed: bool
    reason: str
    """One sentence for people: what was asked, what was seen."""
    unit: str = ""
    name: str = ""
    """Where the rule stands in the policy, such as ``floors.accuracy`` or
    ``any_of[1].ceilings.size``; empty for what the gate always checks."""
    excused: str = ""
    """Why a check that failed does not count: a waiver, or another alternative that holds."""

    @property
    def holds(self) -> bool:
        """Whether it passed, or does not count."""
        return self.passed or bool(self.excused)


@dataclass(frozen=True)
class Waiver(Record):
    """A person's word that a rule need not hold for a while; good only with its signature."""

    rule: str
    """Of the policy, such as ``floors.f1/cancer``."""
    name: str
    """The model that it is for."""
    policy_digest: Digest
    """The policy that it is an exception to; under another one it is worth nothing."""
    who: str
    """The owner of the key that signs it."""
    why: str
    """In words, for who reads the blessing later."""
    granted: str
    """UTC, RFC 3339."""
    until: str
    """From then on it is worth nothing; UTC, RFC 3339."""
    model_digest: Digest | None = None
    """The one file that it is for, or None for each file of that name."""
    slice: str = ""
    """The one slice of the rule that it is for; empty for the whole rule."""
    envelope: str = ""
    """The signed statement: a DSSE envelope of this record without this field."""
    schema: Literal["wherry.waiver/1"] = "wherry.waiver/1"


@dataclass(frozen=True)
class Blessing(Record):
    """Whether a model file may be released, and every reason why or why not."""

    passed: bool
    model_digest: Digest
    policy_digest: Digest
    scores_digest: Digest
    checks: tuple[Check, ...]
    champion_digest: Digest | None = None
    """The live version that it was compared with, if there was one."""
    name: str = ""
    """The model's name that it was judged for."""
    judged: str = ""
    """When, UTC, RFC 3339."""
    evidence: Mapping[str, Digest] = field(default_factory=dict)
    """Of what else it was judged by: ``tuned``, ``parity``, ``champion``, ``paired``, and scores
    on other questions by their split."""
    waivers: tuple[Waiver, ...] = ()
    """Those that excused a check, with their signatures."""
    required_approvals: tuple[str, ...] = ()
    """Roles that a person must approve it in before it is deployed."""
    approve_until: str = ""
    """Later approvals are refused; UTC, RFC 3339. Empty for no end."""
    envelope: str = ""
    """The signed statement: a DSSE envelope of this record without this field."""
    schema: Literal["wherry.blessing/1"] = "wherry.blessing/1"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused; empty if it passed."""
        return tuple(check.reason for check in self.checks if not check.holds)
