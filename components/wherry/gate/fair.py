"""What the gate always checks: that all evidence is of one file, on one ground."""

from collections import Counter
from collections.abc import Iterator

from wherry.contracts import Check, Digest, Scores
from wherry.contracts.parity import Parity
from wherry.gate.evidence import Evidence, named, say
from wherry.gate.settings import Policy


def parity_check(quantized: Scores, parity: Parity) -> Check:
    """Gives the check that the conversion agreed."""
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
        reason = f"{say(share, '')} of next tokens agree, at least {say(least, '')} is asked for"
        return Check("parity", "next_token_agreement", "", least, share, share >= least, reason)
    return Check("parity", "next_token_agreement", "", least, None, False, reason)


def same_ground(evidence: Evidence, policy: Policy) -> Iterator[Check]:
    """Gives the checks that the scores may be compared at all."""
    quantized, tuned = evidence.quantized, evidence.tuned or evidence.quantized
    if evidence.tuned:
        same = tuned.data_digest == quantized.data_digest
        word = "the same" if same else "different"
        yield _same("same_data", same, f"tuned and quantized were scored on {word} data")
        same = tuned.template_digest == quantized.template_digest
        word = "the same chat template" if same else "different chat templates"
        yield _same("same_template", same, f"tuned and quantized were asked through {word}")
    splits = " and ".join(sorted({tuned.split, quantized.split}))
    reason = f"scored on the split {splits}, {policy.split} is asked for"
    yield _same("split", quantized.split == tuned.split == policy.split, reason)
    yield from _unverified(evidence)
    yield from _ambiguous(evidence)
    for scores in evidence.more:
        yield from _of_the_file(scores, quantized)


def of_file(scores: Scores, digest: Digest) -> Check:
    """Gives the check that scores are of the file with this digest."""
    same = scores.model_digest == digest
    told = "this very file" if same else f"another file: they are of {scores.model_digest}"
    return _same("same_file", same, f"the scores are of {told}")


def _unverified(evidence: Evidence) -> Iterator[Check]:
    for scores in (evidence.quantized, *evidence.more):
        if not scores.model_verified:
            reason = f"nobody re-hashed the model that was scored on {scores.split}"
            yield _same("verified_model", False, reason)


def _ambiguous(evidence: Evidence) -> Iterator[Check]:
    """Gives a check that fails for scores that say two things of one: nobody knows which holds."""
    tuned = (evidence.tuned,) if evidence.tuned else ()
    for scores in (evidence.quantized, *tuned, *evidence.more):
        seen = Counter((metric.name, metric.slice) for metric in scores.metrics)
        twice = [named(f"{name}/{slice}") for (name, slice), times in seen.items() if times > 1]
        if twice:
            reason = f"the scores on {scores.split} tell {twice[0]} more than once"
            yield _same("one_value", False, reason)


def _of_the_file(scores: Scores, quantized: Scores) -> Iterator[Check]:
    same = scores.model_digest == quantized.model_digest
    word = "this very file" if same else f"another file, {scores.model_digest}"
    yield _same("same_model", same, f"the scores on {scores.split} are of {word}")
    same = scores.template_digest == quantized.template_digest
    word = "the same chat template" if same else "another chat template"
    yield _same("same_template", same, f"{scores.split} was asked through {word}")


def _same(what: str, same: bool, reason: str) -> Check:
    return Check("data", what, "", 1.0, float(same), same, reason)
