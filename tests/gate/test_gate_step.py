"""What the gate passes and refuses, rule by rule; whatever is missing fails."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.releases import metrics, parity, scores, share, worse
from wherry.contracts import Blessing, Check, Metric, Scores, digest_bytes, digest_record
from wherry.contracts.errors import FormatError
from wherry.gate.settings import Policy
from wherry.gate.step import decide, policy_digest

LIVE = digest_bytes(b"the champion")
POLICY = Policy(
    floors={"accuracy": 0.6, "f1/cancer": 0.5},
    ceilings={"size": 160e6, "first_token": 200.0},
    champion={"accuracy": 0.02},
    quantization={"accuracy": 0.02},
)


def judge(
    quantized: Scores | None = None,
    tuned: Scores | None = None,
    champion: Scores | None = None,
    **policy: Any,
) -> Blessing:
    """Judges scores that pass, but for what is handed in."""
    return decide(
        tuned or scores("tuned", digest_bytes(b"adapter")),
        quantized or scores(),
        parity(),
        champion,
        replace(POLICY, **policy),
    )


def check(blessing: Blessing, rule: str, metric: str, slice: str = "") -> Check:
    """Gives the one check of a rule and a metric."""
    (found,) = (c for c in blessing.checks if (c.rule, c.metric, c.slice) == (rule, metric, slice))
    return found


def with_metric(metric: Metric) -> Scores:
    """The quantized file's scores with one metric replaced."""
    kept = [m for m in metrics() if (m.name, m.slice) != (metric.name, metric.slice)]
    return replace(scores(), metrics=(*kept, metric))


def test_a_good_file_is_blessed_and_the_blessing_is_bound_to_it() -> None:
    verdict = judge(champion=scores(model=LIVE))
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.model_digest == scores().model_digest
    assert verdict.scores_digest == digest_record(scores())
    assert verdict.policy_digest == policy_digest(POLICY)
    assert verdict.champion_digest == LIVE
    assert [c.rule for c in verdict.checks] == [
        *("floor", "floor", "ceiling", "ceiling", "data", "champion", "quantization", "parity"),
        *("data", "data", "data"),
    ]


def test_a_floor_refuses_what_lies_below_it() -> None:
    verdict = judge(scores(accuracy=0.59), quantization={})
    found = check(verdict, "floor", "accuracy")
    assert not verdict.passed
    assert (found.threshold, found.observed, found.passed) == (0.6, 0.59, False)
    assert verdict.reasons == ("accuracy is 59.00%, at least 60.00% is asked for",)
    assert judge(scores(accuracy=0.60), scores("tuned", accuracy=0.60)).passed


def test_a_floor_of_one_class_refuses_it_alone() -> None:
    verdict = judge(with_metric(share("f1", 0.4, n=12, slice="cancer")))
    assert verdict.reasons == ("f1 of cancer is 40.00%, at least 50.00% is asked for",)


def test_a_ceiling_refuses_what_lies_above_it() -> None:
    verdict = judge(with_metric(Metric("size", 176.2e6, 1, unit="bytes")))
    found = check(verdict, "ceiling", "size")
    assert (found.threshold, found.observed, found.unit) == (160e6, 176.2e6, "bytes")
    assert verdict.reasons == ("size is 176.2 MB, at most 160.0 MB is allowed",)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (Metric("accuracy", None, 252), "accuracy could not be measured"),
        (Metric("accuracy", float("nan"), 252), "accuracy could not be measured"),
        (Metric("accuracy", float("inf"), 252), "accuracy could not be measured"),
        (Metric("accuracy", 1.2, 252), "accuracy could not be measured"),
        (Metric("accuracy", 0.9, 0), "accuracy stands on 0 rows, at least 30 are asked for"),
        (Metric("accuracy", 1.0, 1), "accuracy stands on 1 rows, at least 30 are asked for"),
        (Metric("f1", 0.9, 0, slice="cancer"), "f1 of cancer stands on 0 rows"),
        (Metric("size", None, 1, unit="bytes"), "size could not be measured"),
        (Metric("size", -1.0, 1, unit="bytes"), "size could not be measured"),
        (Metric("size", 1e6, 0, unit="bytes"), "size stands on 0 runs"),
    ],
)
def test_a_metric_that_was_not_measured_fails(metric: Metric, told: str) -> None:
    verdict = judge(with_metric(metric))
    assert not verdict.passed
    assert told in "; ".join(verdict.reasons)


def test_a_metric_that_is_missing_fails() -> None:
    verdict = judge(replace(scores(), metrics=()))
    assert not verdict.passed
    assert "accuracy is not among the quantized model's scores" in verdict.reasons
    assert "size is not among the quantized model's scores" in verdict.reasons
    assert all(c.observed is None for c in verdict.checks if c.rule in ("floor", "ceiling"))


def test_the_low_end_is_compared_if_the_policy_says_so() -> None:
    good = scores(accuracy=0.62)
    tuned = scores("tuned", accuracy=0.62)
    assert judge(good, tuned).passed
    verdict = judge(good, tuned, use="low", floors={"accuracy": 0.6})
    assert check(verdict, "floor", "accuracy").observed == pytest.approx(0.59)
    # The upper end of a time; a size is exact.
    assert check(verdict, "ceiling", "first_token").observed == 220.0
    assert check(verdict, "ceiling", "size").observed == 145e6
    assert verdict.reasons == (
        "accuracy is 59.00% (low end of the 95% interval), at least 60.00% is asked for",
        "first_token is 220 ms (high end of the 95% interval), at most 200 ms is allowed",
    )


def test_a_floor_on_the_low_end_fails_without_an_interval() -> None:
    verdict = judge(with_metric(Metric("accuracy", 0.99, 252)), use="low")
    assert "accuracy has no low end of an interval" in verdict.reasons


def test_no_worse_than_the_champion_beyond_the_margin() -> None:
    live = scores(model=LIVE, accuracy=0.72)
    verdict = judge(champion=live)
    found = check(verdict, "champion", "accuracy")
    assert found.threshold == pytest.approx(0.70)
    assert verdict.passed
    refused = judge(champion=scores(model=LIVE, accuracy=0.73))
    assert refused.reasons == (
        "accuracy is 70.00%, the champion has 73.00%, at most 2.00 points worse is allowed",
    )


def test_a_cost_may_not_rise_beyond_the_margin_over_the_champions() -> None:
    live = scores(model=LIVE)
    slower = with_metric(Metric("first_token", 195.0, 20, unit="ms"))
    policy = replace(POLICY, champion={"first_token": 20.0})
    tuned = scores("tuned")
    assert decide(tuned, slower, parity(), live, policy).passed
    policy = replace(POLICY, champion={"first_token": 10.0})
    verdict = decide(tuned, slower, parity(), live, policy)
    assert verdict.reasons == (
        "first_token is 195 ms, the champion has 180 ms, at most 10 ms worse is allowed",
    )


def test_the_first_release_has_nothing_to_beat() -> None:
    verdict = judge(champion=None)
    assert verdict.passed
    assert verdict.champion_digest is None
    assert [c for c in verdict.checks if c.rule == "champion"] == []


def test_a_champion_scored_on_other_data_is_not_compared() -> None:
    live = scores(model=LIVE, accuracy=0.10, data=digest_bytes(b"older test split"))
    refused = judge(champion=live)
    assert not refused.passed
    (reason,) = refused.reasons
    assert "scored on other data" in reason
    assert "champion_on_other_data: skip" in reason
    passed = judge(champion=live, champion_on_other_data="skip")
    assert passed.passed
    found = check(passed, "data", "same_data_as_champion")
    assert (found.observed, found.passed) == (0.0, True)
    assert "not compared, as the policy says" in found.reason
    assert not judge(scores(accuracy=0.5), champion=live, champion_on_other_data="skip").passed


def test_a_champion_that_lacks_the_metric_is_not_compared() -> None:
    live = replace(scores(model=LIVE), metrics=())
    refused = judge(champion=live)
    assert refused.reasons == (
        "the champion cannot be compared: accuracy is not among the quantized model's scores",
    )
    assert judge(champion=live, champion_on_other_data="skip").passed


@pytest.mark.parametrize(("after", "passes"), [(0.70, True), (0.68, True), (0.679, False)])
def test_at_most_so_much_is_lost_by_quantizing(after: float, passes: bool) -> None:
    verdict = judge(scores(accuracy=after))
    found = check(verdict, "quantization", "accuracy")
    assert (found.threshold, found.passed) == (0.02, passes)
    assert found.observed == pytest.approx(0.70 - after)
    assert verdict.passed is passes


@pytest.mark.parametrize(("after", "lost", "passes"), [(190.0, 10.0, True), (191.0, 11.0, False)])
def test_a_cost_is_lost_by_rising(after: float, lost: float, passes: bool) -> None:
    slower = with_metric(Metric("first_token", after, 20, unit="ms"))
    verdict = judge(slower, quantization={"first_token": 10.0})
    assert check(verdict, "quantization", "first_token").observed == lost
    assert verdict.passed is passes


def test_an_infinite_speed_was_not_measured() -> None:
    endless = with_metric(Metric("decode_speed", float("inf"), 20, unit="tokens/s"))
    verdict = judge(endless, floors={"accuracy": 0.6, "decode_speed": 10.0})
    assert verdict.reasons == ("decode_speed could not be measured",)


def test_scores_over_fewer_rows_of_the_same_data_are_not_compared() -> None:
    few = replace(scores("tuned"), metrics=(share("accuracy", 0.7, n=50),))
    told = "accuracy stands on 50 rows there and on 252 here"
    assert judge(tuned=few).reasons == (told,)
    live = replace(few, subject="quantized", model_digest=LIVE)
    assert judge(champion=live).reasons == (f"the champion cannot be compared: {told}",)
    assert judge(champion=live, champion_on_other_data="skip").passed


def test_a_loss_that_cannot_be_computed_fails() -> None:
    verdict = judge(tuned=replace(scores("tuned"), metrics=()))
    assert verdict.reasons == ("accuracy is not among the tuned model's scores",)


def test_other_data_templates_or_splits_fail() -> None:
    def refused(**change: Any) -> str:
        (reason,) = judge(tuned=replace(scores("tuned"), **change)).reasons
        return reason

    assert "different data" in refused(data_digest=digest_bytes(b"other"))
    assert "different chat templates" in refused(template_digest=digest_bytes(b"other"))
    assert refused(split="eval") == "scored on the split eval and test, test is asked for"
    assert judge(split="eval").reasons == ("scored on the split test, eval is asked for",)


def test_a_conversion_that_does_not_agree_fails() -> None:
    good = parity()
    nothing = replace(good, comparisons=())
    failed = replace(good, passed=False, reasons=("KL is 0.4 nats",))
    low = replace(good.comparisons[0], next_token_agreement=0.5)
    for bad, told in (
        (parity(digest_bytes(b"another")), "the parity check is of another file"),
        (nothing, "compared nothing"),
        (failed, "KL is 0.4 nats"),
        (replace(good, comparisons=(low,)), "50.00% of next tokens agree"),
    ):
        verdict = decide(scores("tuned"), scores(), bad, None, POLICY)
        assert not verdict.passed
        assert told in "; ".join(verdict.reasons)
        assert not check(verdict, "parity", "next_token_agreement").passed


def test_scores_of_the_wrong_model_are_a_mistake_not_a_refusal() -> None:
    with pytest.raises(FormatError, match=r"of the model 'tuned', expected 'quantized'"):
        decide(scores("tuned"), scores("tuned"), parity(), None, POLICY)
    with pytest.raises(FormatError, match=r"of the model 'base', expected 'tuned'"):
        decide(scores("base"), scores(), parity(), None, POLICY)


def test_a_worse_metric_lowers_what_was_seen() -> None:
    verdict = judge(worse(scores(), "accuracy", 0.05))
    assert check(verdict, "floor", "accuracy").observed == pytest.approx(0.65)


def test_each_check_says_why_it_holds() -> None:
    for found in judge(champion=scores(model=LIVE)).checks:
        assert found.passed
        assert len(found.reason) > 20


def test_a_blessing_of_an_earlier_version_can_still_be_read() -> None:
    raw = json.loads(judge().to_json())
    for name in ("name", "judged", "evidence", "waivers", "required_approvals", "envelope"):
        del raw[name]
    for each in raw["checks"]:
        del each["name"], each["excused"]
    old = Blessing.from_json(json.dumps(raw))
    assert (old.passed, old.reasons, old.envelope) == (True, (), "")
