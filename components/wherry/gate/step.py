"""Judges a model by its scores: a blessing bound to its digest, or a refusal with reasons."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields, replace
from datetime import datetime

import msgspec

from wherry.contracts import (
    Blessing,
    Check,
    Digest,
    PairedTests,
    Scores,
    digest_bytes,
    digest_record,
)
from wherry.contracts.errors import FormatError
from wherry.contracts.parity import Parity
from wherry.gate.evidence import NO_CLOCK, Evidence
from wherry.gate.fair import parity_check, same_ground
from wherry.gate.rules import age, leaves
from wherry.gate.settings import Policy, Rules
from wherry.gate.waivers import Granted, Waivers

Excuse = Callable[[Check], Check]


def decide(
    tuned: Scores,
    quantized: Scores,
    parity: Parity,
    champion: Scores | None,
    policy: Policy,
    *,
    paired: PairedTests | None = None,
    more: Sequence[Scores] = (),
    newest_row: datetime | None = None,
    granted: Sequence[Granted] = (),
    name: str = "",
    now: datetime = NO_CLOCK,
) -> Blessing:
    """Judges the quantized file; whatever is missing or not comparable fails.

    Args:
        tuned: of the model before quantizing.
        quantized: of the file that would ship.
        parity: between the two, by their next tokens.
        champion: of the live version's file; None if there is none yet.
        policy: what is asked.
        paired: the file against the champion, row by row.
        more: scores of the same file on other questions: benchmarks, safety.
        newest_row: when the newest row of the training data was written.
        granted: waivers whose signatures were looked at; the policy's own are never believed.
        name: the model's.
        now: without it, waivers have ended and data is too old.

    Returns:
        The blessing, with a check for each rule, not signed yet; a refusal is a value too.

    Raises:
        FormatError: if the scores are of other subjects, so that the wrong model was judged.
    """
    _check_subject(tuned, "tuned")
    _check_subject(quantized, "quantized")
    evidence = Evidence(quantized, tuned, champion, paired, tuple(more), newest_row, now)
    waivers = Waivers(granted, name, quantized.model_digest, policy_digest(policy), now)
    judged = judge(evidence, policy, waivers)
    checks = (*judged, parity_check(quantized, parity), *same_ground(evidence, policy))
    return Blessing(
        passed=all(check.holds for check in checks),
        model_digest=quantized.model_digest,
        policy_digest=waivers.policy_digest,
        scores_digest=digest_record(quantized),
        checks=checks,
        champion_digest=champion.model_digest if champion else None,
        name=name,
        evidence=_digests(evidence, parity),
        waivers=waivers.used(checks),
        required_approvals=policy.required_approvals,
    )


def judge(evidence: Evidence, policy: Policy, waivers: Waivers) -> tuple[Check, ...]:
    """Gives a check for each rule of a policy, without those that a blessing needs besides."""
    return (
        *_group(evidence, policy, policy, "", waivers.excused),
        *map(waivers.excused, age(evidence, policy)),
        *waivers.faults(policy),
    )


def policy_digest(policy: Policy) -> Digest:
    """Gives the digest of a policy's meaning: order and defaults left out do not change it.

    Fields at their defaults are not part of it, so that a rule that a later version knows does
    not change the digest of a policy without it; waivers are exceptions to it, not part of it.
    """
    said = {name: value for name, value in _said(policy).items() if name != "waivers"}
    return digest_bytes(msgspec.json.encode(said, order="sorted"))


def _said(rules: Policy | Rules) -> dict[str, object]:
    """Gives the fields of rules that are not at their defaults, those of groups alike."""
    found: dict[str, object] = {}
    for each in fields(rules):
        value = getattr(rules, each.name)
        made = each.default_factory() if each.default_factory is not MISSING else each.default
        if value != made:
            groups = each.name in ("all_of", "any_of")
            found[each.name] = [_said(group) for group in value] if groups else value
    return found


def _digests(evidence: Evidence, parity: Parity) -> dict[str, Digest]:
    parts = {
        "tuned": evidence.tuned,
        "parity": parity,
        "champion": evidence.champion,
        "paired": evidence.paired,
        **{scores.split: scores for scores in evidence.more},
    }
    return {name: digest_record(part) for name, part in parts.items() if part}


def _check_subject(scores: Scores, subject: str) -> None:
    if scores.subject != subject:
        raise FormatError(
            f"the scores are of the model {scores.subject!r}, expected {subject!r}.",
            remedy="Wire the evaluation of each model to its own input of the gate.",
        )


def _group(
    evidence: Evidence, rules: Rules | Policy, policy: Policy, path: str, excuse: Excuse
) -> Iterator[Check]:
    """Gives the checks of a group of rules, and of the groups within it."""
    for check in leaves(evidence, rules, policy):
        yield excuse(replace(check, name=f"{path}{check.name}") if check.name else check)
    for number, part in enumerate(rules.all_of or ()):
        yield from _group(evidence, part, policy, f"{path}all_of[{number}].", excuse)
    if rules.any_of:
        parts = [
            tuple(_group(evidence, part, policy, f"{path}any_of[{number}].", excuse))
            for number, part in enumerate(rules.any_of)
        ]
        yield from _alternatives(parts, f"{path}any_of")


def _alternatives(parts: Sequence[tuple[Check, ...]], name: str) -> Iterator[Check]:
    """Gives one check that an alternative holds; then the others' failures do not count."""
    holding = [number for number, part in enumerate(parts) if _shown(part)]
    told = f"alternative {holding[0] + 1} holds" if holding else "none of them holds"
    reason = f"one of {len(parts)} alternatives is asked for: {told}"
    count = float(len(holding))
    yield Check("any_of", "holding", "", 1.0, count, bool(holding), reason, "alternatives", name)
    for check in (check for part in parts for check in part):
        excused = check.excused or ("" if check.passed or not holding else f"in {name}, {told}")
        yield replace(check, excused=excused)


def _shown(part: Sequence[Check]) -> bool:
    """Says whether an alternative holds by a rule that was judged.

    Without a champion, or with one on other data that may be skipped, rules on the champion have
    nothing to judge: at the top others stand beside them, but alone they would let anything pass.
    """
    return all(check.holds for check in part) and any(check.name for check in part)
