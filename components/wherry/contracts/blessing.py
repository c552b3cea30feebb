"""The gate's verdict, bound to one file's digest."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record


@dataclass(frozen=True)
class Check:
    """One threshold of the policy beside what was observed."""

    rule: Literal["floor", "ceiling", "champion", "quantization", "parity", "data"]
    metric: str
    slice: str
    threshold: float
    observed: float | None
    passed: bool
    reason: str
    """One sentence for people: what was asked, what was seen."""
    unit: str = ""


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
    required_approvals: tuple[str, ...] = ()
    """The parts, such as ``release-manager``, in each of which another person must approve."""
    schema: Literal["wherry.blessing/1"] = "wherry.blessing/1"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused; empty if it passed."""
        return tuple(check.reason for check in self.checks if not check.passed)
