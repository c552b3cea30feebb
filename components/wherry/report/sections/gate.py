"""The gate: every threshold beside what was observed."""

from dataclasses import dataclass
from typing import Final

from wherry.contracts.blessing import Blessing, Check
from wherry.contracts.scores import Scores
from wherry.page.plots.bullet import Bullet, bullet
from wherry.page.view import Badge, Signpost, State
from wherry.page.words import NBSP, measured, metric

_RULES: Final = {
    "floor": "At least",
    "ceiling": "At most",
    "every": "In every slice at least",
    "champion": "No worse than the champion",
    "quantization": "Lost by quantizing",
    "any_of": "One of several",
    "age": "Age of the data",
    "waiver": "Waiver",
    "parity": "Conversion parity",
    "data": "Fair comparison",
}
_DOWNWARD: Final = frozenset({"ceiling", "quantization", "age"})
"""Rules whose allowed side lies below the threshold."""
_YES_OR_NO: Final = frozenset({"any_of", "data", "waiver"})
"""Rules that hold or not, without an amount."""


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
    note: str
    """Which end of the interval was compared, if it was not the value."""
    bullet: Bullet | None
    """None for a rule that holds or not."""


@dataclass(frozen=True)
class GateSection:
    """What the template shows of the gate."""

    signpost: Signpost
    judged: tuple[Judged, ...]
    champion: str
    """The digest of the live version that it was compared with, or empty."""
    policy: str


def gate_section(blessing: Blessing, scores: Scores) -> GateSection:
    """Gives the gate section; what was refused stands first.

    Args:
        blessing: the verdict.
        scores: what was judged.
    """
    ordered = sorted(blessing.checks, key=lambda check: (check.holds, check.passed))
    return GateSection(
        signpost=_signpost(blessing),
        judged=tuple(_judged(check, scores) for check in ordered),
        champion=blessing.champion_digest or "",
        policy=blessing.policy_digest,
    )


def _signpost(blessing: Blessing) -> Signpost:
    passed, total = sum(check.holds for check in blessing.checks), len(blessing.checks)
    word = "blessed" if blessing.passed else "refused"
    state: State = "good" if blessing.passed else "bad"
    return Signpost("gate", "Gate", state, f"{word}: {passed} of {total} rules hold")


def _judged(check: Check, scores: Scores) -> Judged:
    plain = check.rule in _YES_OR_NO
    return Judged(
        rule=_RULES.get(check.rule, check.rule),
        metric=metric(check.metric),
        slice=check.slice,
        threshold="yes" if plain else _limit(check),
        observed=_observed(check),
        result=_result(check),
        reason=f"{check.reason} ({check.excused})" if check.excused else check.reason,
        note=check.reason if plain else check.excused or _end(check, scores),
        bullet=None if plain else _bullet(check),
    )


def _result(check: Check) -> Badge:
    if check.passed:
        return Badge("good", "Holds")
    return Badge("warn", "Excused") if check.excused else Badge("bad", "Fails")


def _limit(check: Check) -> str:
    sign = "≥" if _at_least(check) else "≤"
    return f"{sign} {_amount(check, check.threshold)}"


def _amount(check: Check, value: float) -> str:
    """Gives a value, or a difference: of shares that is points, which no share of a share is."""
    # Against the champion a share's own threshold is above 0, a difference's is not.
    differs = check.rule == "quantization" or (check.rule == "champion" and check.threshold <= 0)
    text = measured(check.metric, value, check.unit)
    return text.replace("%", f"{NBSP}points") if differs else text


def _observed(check: Check) -> str:
    if check.observed is None:
        return "not measured"
    if check.rule in _YES_OR_NO:
        return "yes" if check.observed >= check.threshold else "no"
    return _amount(check, check.observed)


def _bullet(check: Check) -> Bullet:
    return bullet(check.observed, check.threshold, at_least=_at_least(check))


def _end(check: Check, scores: Scores) -> str:
    found = scores.find(check.metric, check.slice)
    if found is None or check.observed is None or check.observed == found.value:
        return ""
    ends = {found.low: "the 95% interval's lower end", found.high: "the 95% interval's upper end"}
    return ends.get(check.observed, "")


def _at_least(check: Check) -> bool:
    """Says which side of the threshold is allowed: the one that the verdict puts it on."""
    if check.observed is None or check.observed == check.threshold:
        return check.rule not in _DOWNWARD
    return check.passed == (check.observed > check.threshold)
