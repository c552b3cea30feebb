"""The gate: every threshold beside what was observed."""

from dataclasses import dataclass
from typing import Final

from wherry.contracts.blessing import Blessing, Check
from wherry.report.plots.bullet import Bullet, bullet
from wherry.report.view import Badge, Signpost, State
from wherry.report.words import measured, metric

_RULES: Final = {
    "floor": "At least",
    "ceiling": "At most",
    "champion": "No worse than the champion",
    "quantization": "Lost by quantizing",
    "parity": "Conversion parity",
    "data": "Data",
}
_DOWNWARD: Final = frozenset({"ceiling", "quantization"})
"""Rules whose allowed side lies below the threshold."""


@dataclass(frozen=True)
class Judged:
    """One check as a table row."""

    rule: str
    metric: str
    slice: str
    threshold: str
    observed: str
    result: Badge
    reason: str
    bullet: Bullet


@dataclass(frozen=True)
class GateSection:
    """What the template shows of the gate."""

    signpost: Signpost
    judged: tuple[Judged, ...]
    champion: str
    """The digest of the live version that it was compared with, or empty."""
    policy: str


def gate_section(blessing: Blessing) -> GateSection:
    """Gives the gate section; what was refused stands first."""
    ordered = sorted(blessing.checks, key=lambda check: check.passed)
    return GateSection(
        signpost=_signpost(blessing),
        judged=tuple(_judged(check) for check in ordered),
        champion=blessing.champion_digest or "",
        policy=blessing.policy_digest,
    )


def _signpost(blessing: Blessing) -> Signpost:
    passed, total = sum(check.passed for check in blessing.checks), len(blessing.checks)
    word = "blessed" if blessing.passed else "refused"
    state: State = "good" if blessing.passed else "bad"
    return Signpost("gate", "Gate", state, f"{word}: {passed} of {total} rules hold")


def _judged(check: Check) -> Judged:
    return Judged(
        rule=_RULES.get(check.rule, check.rule),
        metric=metric(check.metric),
        slice=check.slice,
        threshold=f"{'≥' if _at_least(check) else '≤'} {_number(check, check.threshold)}",
        observed=_number(check, check.observed),
        result=Badge("good", "Holds") if check.passed else Badge("bad", "Fails"),
        reason=check.reason,
        bullet=bullet(
            check.observed, check.threshold, at_least=_at_least(check), share=not check.unit
        ),
    )


def _number(check: Check, value: float | None) -> str:
    return measured(check.metric, value, check.unit)


def _at_least(check: Check) -> bool:
    """Says which side of the threshold is allowed: the one that the verdict puts it on."""
    if check.observed is None or check.observed == check.threshold:
        return check.rule not in _DOWNWARD
    return check.passed == (check.observed > check.threshold)
