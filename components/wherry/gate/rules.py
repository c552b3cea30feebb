"""One check for each rule of a policy: what was asked, what was seen, and one sentence on it."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wherry.contracts import Check, PairedTest, PairedTests, Scores
from wherry.contracts.blessing import Rule
from wherry.gate.evidence import (
    SLACK,
    End,
    Evidence,
    Seen,
    difference,
    least_rows,
    named,
    say,
    see,
    told_apart,
    turned_round,
    unlike,
    wrong_unit,
)
from wherry.gate.metrics import is_exact, less_is_better
from wherry.gate.settings import Policy, Rules, metric_of

SECONDS_A_DAY: Final = 86_400
_NO_TIME: Final = (
    "not every row of the training data says when it was written, or no data set was handed over"
)


def leaves(evidence: Evidence, rules: Rules | Policy, policy: Policy) -> Iterator[Check]:
    """Gives a check for each rule of a group, those of groups within it left out."""
    yield from _floors(evidence, rules, policy)
    yield from _ceilings(evidence, rules, policy)
    yield from _every(evidence, rules, policy)
    yield from _champion(evidence, rules, policy)
    yield from _quantization(evidence, rules, policy)


def age(evidence: Evidence, policy: Policy) -> Iterator[Check]:
    """Gives the check on how old the training data is, if the policy asks for one."""
    most = policy.max_data_age_days
    if most is None:
        return
    name = "max_data_age_days"
    blank = Check("age", "data_age", "", most, None, False, "", "days", name)
    if evidence.newest_row is None:
        yield replace(blank, reason=_NO_TIME)
        return
    days = (evidence.now - evidence.newest_row).total_seconds() / SECONDS_A_DAY
    told = f"the newest row of the training data is {days:.1f} days old, at most {most:g} are asked"
    if days < 0:
        told = f"the newest row of the training data is of the future, {evidence.newest_row}"
    yield replace(blank, observed=days, passed=0 <= days <= most, reason=told)


def _floors(evidence: Evidence, rules: Rules | Policy, policy: Policy) -> Iterator[Check]:
    for key, floor in rules.floors.items():
        yield _floor(evidence, "floor", f"floors.{key}", key, floor, policy)


def _every(evidence: Evidence, rules: Rules | Policy, policy: Policy) -> Iterator[Check]:
    for key, floor in rules.every.items():
        metric, _ = metric_of(key)
        slices = evidence.slices(key)
        if not slices:
            reason = f"there is no slice for {key} among the scores"
            yield Check("every", metric, "", floor, None, False, reason, name=f"every.{key}")
        for slice in slices:
            one = f"{metric}/{slice}"
            yield _floor(evidence, "every", f"every.{key}", one, floor, policy)


def _floor(
    evidence: Evidence, rule: Rule, name: str, key: str, floor: float, policy: Policy
) -> Check:
    end: End = policy.use
    seen = see(evidence.find(key), key, evidence.quantized.subject, policy, end)
    holds = seen.value is not None and seen.value >= floor - SLACK
    asked = f"at least {say(floor, seen.unit)} is asked for"
    return _judged(rule, name, key, floor, seen, holds, asked, end)


def _ceilings(evidence: Evidence, rules: Rules | Policy, policy: Policy) -> Iterator[Check]:
    for key, ceiling in rules.ceilings.items():
        metric = evidence.find(key)
        end: End = "value" if policy.use == "value" or is_exact(metric_of(key)[0]) else "high"
        seen = see(metric, key, evidence.quantized.subject, policy, end)
        holds = seen.value is not None and seen.value <= ceiling + SLACK
        asked = f"at most {say(ceiling, seen.unit)} is allowed"
        yield _judged("ceiling", f"ceilings.{key}", key, ceiling, seen, holds, asked, end)


def _champion(evidence: Evidence, rules: Rules | Policy, policy: Policy) -> Iterator[Check]:
    champion = evidence.champion
    if champion is None or not rules.champion:
        return
    may_skip = policy.champion_on_other_data == "skip"
    same = evidence.quantized.data_digest == champion.data_digest
    reason = _OTHER_DATA[same, may_skip]
    yield Check("data", "same_data_as_champion", "", 1.0, float(same), same or may_skip, reason)
    for key, margin in rules.champion.items() if same else ():
        if policy.significance == "none":
            yield _against(evidence, champion, key, margin, policy)
        else:
            yield _proved(evidence, champion, key, margin, policy)


_OTHER_DATA: Final = {
    (True, True): "the champion was scored on the same data",
    (True, False): "the champion was scored on the same data",
    (False, True): "the champion was scored on other data: not compared, as the policy says",
    (False, False): (
        "the champion was scored on other data and cannot be compared: hand the data set to "
        "compare_champion, which asks it anew, or set champion_on_other_data: skip"
    ),
}


def _against(
    evidence: Evidence, champion: Scores, key: str, margin: float, policy: Policy
) -> Check:
    """Compares with the champion's value, each model measured by itself."""
    metric, name = evidence.find(key), f"champion.{key}"
    costs = less_is_better(metric_of(key)[0])
    end: End = "value"
    if policy.use == "low" and not is_exact(metric_of(key)[0]):
        end = "high" if costs else "low"
    theirs = see(champion.find(*metric_of(key)), key, champion.subject, policy, "value")
    ours = see(metric, key, evidence.quantized.subject, policy, end)
    why = theirs.why or unlike(key, theirs, ours)
    if theirs.value is None or why:
        skip = policy.champion_on_other_data == "skip"
        reason = f"the champion cannot be compared: {why}"
        return Check("data", *metric_of(key), 1.0, 0.0, skip, reason)
    limit = theirs.value + margin if costs else theirs.value - margin
    asked = (
        f"the champion has {say(theirs.value, ours.unit)}, "
        f"at most {difference(margin, ours.unit)} worse is allowed"
    )
    worse = 1 if costs else -1
    holds = ours.value is not None and worse * (ours.value - limit) <= SLACK
    return _judged("champion", name, key, limit, ours, holds, asked, end)


def _proved(evidence: Evidence, champion: Scores, key: str, margin: float, policy: Policy) -> Check:
    """Compares with the champion row by row: what noise could explain proves nothing."""
    limit = margin if less_is_better(metric_of(key)[0]) else -margin
    blank = Check("champion", *metric_of(key), limit, None, False, "", name=f"champion.{key}")
    if champion.model_digest == evidence.quantized.model_digest:
        return replace(blank, observed=0.0, passed=True, reason="it is the champion itself")
    test, why = _test(evidence, champion, key, policy)
    if test is None or why:
        return replace(blank, reason=why)
    worst = test.high if less_is_better(test.metric) else test.low
    if worst is None or not math.isfinite(worst) or turned_round(test.low, test.high):
        return replace(blank, reason=f"{named(key)} could not be compared with the champion's")
    holds = worst <= limit + SLACK if less_is_better(test.metric) else worst >= limit - SLACK
    better = test.verdict == "better" or policy.significance == "not worse"
    reason = _proof(key, test, worst, margin, policy)
    return replace(blank, observed=worst, passed=holds and better, reason=reason, unit=test.unit)


def _test(
    evidence: Evidence, champion: Scores, key: str, policy: Policy
) -> tuple[PairedTest | None, str]:
    """Gives the paired test of a metric, or why there is none that counts."""
    tests = evidence.paired
    if tests is None:
        return None, f"{named(key)} was not tested against the champion, row by row"
    if why := _not_ours(tests, evidence.quantized, champion):
        return None, why
    found = [test for test in tests.tests if (test.metric, test.slice) == metric_of(key)]
    if len(found) != 1:
        often = "more than once" if found else "not"
        return None, f"{named(key)} is {often} among the paired tests against the champion"
    return found[0], _unfit(found[0], key, policy)


def _unfit(test: PairedTest, key: str, policy: Policy) -> str:
    """Says why a test does not count; empty if it does."""
    if why := wrong_unit(test.metric, test.unit):
        return f"{named(key)} {why}"
    least = least_rows(test.metric, test.unit, test.slice, policy)
    if test.n < least:
        return f"{named(key)} was tested on {test.n} rows, at least {least} are asked for"
    return ""


def _not_ours(tests: PairedTests, quantized: Scores, champion: Scores) -> str:
    """Says of what else the paired tests are; empty if they are of these two on this data."""
    for found, wanted, other in (
        (tests.challenger_digest, quantized.model_digest, "another file"),
        (tests.champion_digest, champion.model_digest, "another champion"),
        (tests.data_digest, quantized.data_digest, "other data"),
    ):
        if found != wanted:
            return f"the paired tests are of {other}, {found}"
    return ""


def _proof(key: str, test: PairedTest, worst: float, margin: float, policy: Policy) -> str:
    told = (
        f"{named(key)} differs from the champion's by {difference(worst, test.unit)} at worst "
        f"(95% interval, row by row), at most {difference(margin, test.unit)} worse is allowed"
    )
    if policy.significance == "not worse" or test.verdict == "better":
        return told
    p = "unknown" if test.adjusted_p is None else f"{test.adjusted_p:.3f}"
    return f"{told}; it is not shown to be better: {test.verdict}, p = {p} after the correction"


def _quantization(evidence: Evidence, rules: Rules | Policy, policy: Policy) -> Iterator[Check]:
    quantized = evidence.quantized
    for key, most in rules.quantization.items():
        at = metric_of(key)
        before = (
            see(evidence.tuned.find(*at), key, evidence.tuned.subject, policy, "value")
            if evidence.tuned
            else Seen(None, "", "there are no scores of the tuned model")
        )
        after = see(quantized.find(*at), key, quantized.subject, policy, "value")
        why = before.why or after.why or unlike(key, before, after)
        blank = Check(
            "quantization", *at, most, None, False, why, after.unit, f"quantization.{key}"
        )
        if before.value is None or after.value is None or why:
            yield blank
            continue
        lost = before.value - after.value
        lost = -lost if less_is_better(at[0]) else lost
        reason = (
            f"{named(key)} lost {difference(lost, after.unit)} by quantizing, "
            f"at most {difference(most, after.unit)} are allowed"
        )
        holds = lost <= most + SLACK
        reason += "" if holds else told_apart(lost, most, after.unit)
        yield replace(blank, observed=lost, passed=holds, reason=reason)


def _judged(
    rule: Rule,
    name: str,
    key: str,
    threshold: float,
    seen: Seen,
    holds: bool,
    asked: str,
    end: End,
) -> Check:
    if seen.value is None:
        reason = seen.why
    else:
        which = "" if end == "value" else f" ({end} end of the 95% interval)"
        reason = f"{named(key)} is {say(seen.value, seen.unit)}{which}, {asked}"
        reason += "" if holds else told_apart(seen.value, threshold, seen.unit)
    return Check(rule, *metric_of(key), threshold, seen.value, holds, reason, seen.unit, name)
