"""Judges a model by its scores: a blessing bound to its digest, or a refusal with reasons."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal

import msgspec

from wherry.contracts import Blessing, Check, Digest, Metric, Scores, digest_bytes, digest_record
from wherry.contracts.errors import FormatError
from wherry.contracts.parity import Parity
from wherry.gate.settings import COSTS, SHARES, Policy, metric_of

_SLACK: Final = 1e-9
"""Differences of floats: 0.62 - 0.60 is a little over 0.02."""


def decide(
    tuned: Scores,
    quantized: Scores,
    parity: Parity,
    champion: Scores | None,
    policy: Policy,
) -> Blessing:
    """Judges the quantized file; whatever is missing or not comparable fails.

    Args:
        tuned: of the model before quantizing.
        quantized: of the file that would ship.
        parity: between the two, by their next tokens.
        champion: of the live version's file; None if there is none yet.
        policy: what is asked.

    Returns:
        The blessing, with a check for each rule; a refusal is a value too.

    Raises:
        FormatError: if the scores are of other subjects, so that the wrong model was judged.
    """
    _check_subject(tuned, "tuned")
    _check_subject(quantized, "quantized")
    checks = (
        *_floors(quantized, policy),
        *_ceilings(quantized, policy),
        *_champion(quantized, champion, policy),
        *_quantization(tuned, quantized, policy),
        _parity(quantized, parity),
        *_data(tuned, quantized, policy),
    )
    return Blessing(
        passed=all(check.passed for check in checks),
        model_digest=quantized.model_digest,
        policy_digest=policy_digest(policy),
        scores_digest=digest_record(quantized),
        checks=checks,
        champion_digest=champion.model_digest if champion else None,
    )


def policy_digest(policy: Policy) -> Digest:
    """Gives the digest of a policy's meaning: order and defaults left out do not change it."""
    # Through asdict: msgspec leaves out the fields that a policy read from JSON has by default.
    return digest_bytes(msgspec.json.encode(asdict(policy), order="sorted"))


@dataclass(frozen=True)
class _Seen:
    """A metric as it was found, or why it cannot be used."""

    value: float | None
    unit: str
    why: str = ""
    rows: int = 0
    """That a share stands on; 0 for what is not counted in rows."""


def _check_subject(scores: Scores, subject: str) -> None:
    if scores.subject != subject:
        raise FormatError(
            f"the scores are of the model {scores.subject!r}, expected {subject!r}.",
            remedy="Wire the evaluation of each model to its own input of the gate.",
        )


def _floors(scores: Scores, policy: Policy) -> Iterator[Check]:
    end: Literal["value", "low"] = policy.use
    for key, floor in policy.floors.items():
        seen = _see(scores, key, policy, end)
        holds = seen.value is not None and seen.value >= floor - _SLACK
        yield _judged(
            "floor", key, floor, seen, holds, f"at least {_say(floor, seen.unit)} is asked for", end
        )


def _ceilings(scores: Scores, policy: Policy) -> Iterator[Check]:
    for key, ceiling in policy.ceilings.items():
        # A size is exact and has no interval; a time has one.
        exact = policy.use == "value" or _high(scores, key) is None
        end: Literal["value", "high"] = "value" if exact else "high"
        seen = _see(scores, key, policy, end)
        holds = seen.value is not None and seen.value <= ceiling + _SLACK
        asked = f"at most {_say(ceiling, seen.unit)} is allowed"
        yield _judged("ceiling", key, ceiling, seen, holds, asked, end)


def _champion(scores: Scores, champion: Scores | None, policy: Policy) -> Iterator[Check]:
    if champion is None or not policy.champion:
        return
    may_skip = policy.champion_on_other_data == "skip"
    same = scores.data_digest == champion.data_digest
    yield _same("same_data_as_champion", same, _OTHER_DATA[same, may_skip], may_skip)
    for key, margin in policy.champion.items() if same else ():
        yield _against(scores, champion, key, margin, policy)


_OTHER_DATA: Final = {
    (True, True): "the champion was scored on the same data",
    (True, False): "the champion was scored on the same data",
    (False, True): "the champion was scored on other data: not compared, as the policy says",
    (False, False): (
        "the champion was scored on other data and cannot be compared: score it on this data, or "
        "set champion_on_other_data: skip for this release"
    ),
}


def _against(scores: Scores, champion: Scores, key: str, margin: float, policy: Policy) -> Check:
    costs = metric_of(key)[0] in COSTS
    end: Literal["value", "low", "high"] = "value"
    if policy.use == "low" and not (costs and _high(scores, key) is None):
        end = "high" if costs else "low"
    theirs, ours = _see(champion, key, policy, "value"), _see(scores, key, policy, end)
    why = theirs.why or _unlike(key, theirs, ours)
    if theirs.value is None or why:
        skip = policy.champion_on_other_data == "skip"
        reason = f"the champion cannot be compared: {why}"
        return Check("data", *metric_of(key), 1.0, 0.0, skip, reason)
    limit = theirs.value + margin if costs else theirs.value - margin
    asked = (
        f"the champion has {_say(theirs.value, ours.unit)}, "
        f"at most {_difference(margin, ours.unit)} worse is allowed"
    )
    worse = 1 if costs else -1
    holds = ours.value is not None and worse * (ours.value - limit) <= _SLACK
    return _judged("champion", key, limit, ours, holds, asked, end)


def _quantization(tuned: Scores, quantized: Scores, policy: Policy) -> Iterator[Check]:
    for key, most in policy.quantization.items():
        before, after = _see(tuned, key, policy, "value"), _see(quantized, key, policy, "value")
        why = before.why or after.why or _unlike(key, before, after)
        if before.value is None or after.value is None or why:
            yield Check("quantization", *metric_of(key), most, None, False, why, after.unit)
            continue
        lost = before.value - after.value
        lost = -lost if metric_of(key)[0] in COSTS else lost
        reason = (
            f"{_name(key)} lost {_difference(lost, after.unit)} by quantizing, "
            f"at most {_difference(most, after.unit)} are allowed"
        )
        passed = lost <= most + _SLACK
        yield Check("quantization", *metric_of(key), most, lost, passed, reason, after.unit)


def _parity(quantized: Scores, parity: Parity) -> Check:
    shown = parity.find("quantization") or next(iter(parity.comparisons), None)
    share = shown.next_token_agreement if shown else None
    least = shown.min_agreement if shown else 1.0
    if parity.model_digest != quantized.model_digest:
        reason = f"the parity check is of another file, {parity.model_digest}"
    elif share is None:
        reason = "the parity check compared nothing"
    elif not parity.passed:
        reason = "; ".join(parity.reasons) or "the converted file differs from the tuned model"
    else:
        reason = f"{_say(share, '')} of next tokens agree, at least {_say(least, '')} is asked for"
        return Check("parity", "next_token_agreement", "", least, share, share >= least, reason)
    return Check("parity", "next_token_agreement", "", least, None, False, reason)


def _data(tuned: Scores, quantized: Scores, policy: Policy) -> Iterator[Check]:
    same = tuned.data_digest == quantized.data_digest
    word = "the same" if same else "different"
    yield _same("same_data", same, f"tuned and quantized were scored on {word} data")
    same = tuned.template_digest == quantized.template_digest
    word = "the same chat template" if same else "different chat templates"
    yield _same("same_template", same, f"tuned and quantized were asked through {word}")
    same = quantized.split == tuned.split == policy.split
    splits = " and ".join(sorted({tuned.split, quantized.split}))
    reason = f"scored on the split {splits}, {policy.split} is asked for"
    yield _same("split", same, reason)


def _same(what: str, same: bool, reason: str, may_differ: bool = False) -> Check:
    return Check("data", what, "", 1.0, float(same), same or may_differ, reason)


def _judged(
    rule: Literal["floor", "ceiling", "champion"],
    key: str,
    threshold: float,
    seen: _Seen,
    holds: bool,
    asked: str,
    end: str,
) -> Check:
    if seen.value is None:
        reason = seen.why
    else:
        which = "" if end == "value" else f" ({end} end of the 95% interval)"
        reason = f"{_name(key)} is {_say(seen.value, seen.unit)}{which}, {asked}"
    return Check(rule, *metric_of(key), threshold, seen.value, holds, reason, seen.unit)


def _see(scores: Scores, key: str, policy: Policy, end: Literal["value", "low", "high"]) -> _Seen:
    metric = scores.find(*metric_of(key))
    if metric is None:
        return _Seen(None, "", f"{_name(key)} is not among the {scores.subject} model's scores")
    least = policy.min_rows if metric.name in SHARES and not metric.slice else 1
    if metric.n < least:
        why = f"{_name(key)} stands on {metric.n} rows, at least {least} are asked for"
        return _Seen(None, metric.unit, why)
    value: float | None = getattr(metric, end)
    if value is None or not _possible(metric, value):
        which = "could not be measured" if end == "value" else f"has no {end} end of an interval"
        return _Seen(None, metric.unit, f"{_name(key)} {which}")
    return _Seen(value, metric.unit, rows=metric.n if metric.name in SHARES else 0)


def _unlike(key: str, one: _Seen, other: _Seen) -> str:
    """Says why two values cannot be compared: an evaluation may take the first rows alone."""
    if one.value is None or other.value is None or one.rows == other.rows:
        return ""
    return f"{_name(key)} stands on {one.rows} rows there and on {other.rows} here"


def _possible(metric: Metric, value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= (1 if metric.name in SHARES else math.inf)


def _high(scores: Scores, key: str) -> float | None:
    metric = scores.find(*metric_of(key))
    return metric.high if metric else None


def _name(key: str) -> str:
    metric, slice = metric_of(key)
    return f"{metric} of {slice}" if slice else metric


def _say(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    return f"{value:.4g} {unit}" if unit else f"{100 * value:.2f}%"


def _difference(value: float, unit: str) -> str:
    return _say(value, unit) if unit else f"{100 * value:.2f} points"
