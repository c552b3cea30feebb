"""The policy table: each rule holds where it should, and refuses for the right reason alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from tests.fakes.releases import metrics, parity, scores, share
from wherry.contracts import (
    Blessing,
    Metric,
    PairedTest,
    PairedTests,
    Scores,
    digest_bytes,
    read_settings,
)
from wherry.gate.settings import Policy
from wherry.gate.step import decide

Verdict = Literal["better", "worse", "undecided"]
LIVE = digest_bytes(b"the champion")
OTHER = digest_bytes(b"other")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
FLOOR = {"floors": {"accuracy": 0.6}}


def with_metrics(*changed: Metric) -> Scores:
    """The file's scores with metrics added or replaced."""
    names = {(each.name, each.slice) for each in changed}
    kept = [each for each in metrics() if (each.name, each.slice) not in names]
    return replace(scores(), metrics=(*kept, *changed))


def safety(**changes: Any) -> Scores:
    """Scores of the same file on prompts about safety."""
    found = (
        Metric("jailbreak_rate", 0.02, 50, 0.0, 0.1, method="wilson"),
        Metric("refusal_rate", 0.9, 50, 0.8, 0.97, method="wilson"),
    )
    return replace(
        scores(data=digest_bytes(b"prompts")), **{"split": "safety", "metrics": found, **changes}
    )


def paired(difference: float = 0.01, reach: float = 0.02, **changes: Any) -> PairedTests:
    """Paired tests against the champion of `scores(model=LIVE)`."""
    low, high = difference - reach, difference + reach
    verdict: Verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    test = PairedTest(
        "accuracy", "", 252, 0.7, 0.7 + difference, difference, low, high, 0.04, 0.04, "mcnemar",
        verdict,
    )  # fmt: skip
    time = PairedTest(
        "first_token", "", 20, 180.0, 190.0, 10.0, 5.0, 15.0, 0.01, 0.01, "bootstrap", "worse", "ms"
    )
    made = PairedTests(
        LIVE, scores().model_digest, scores().data_digest, (test, time), OTHER, OTHER
    )
    return replace(made, **changes)


@dataclass(frozen=True)
class Case:
    """A policy, what it is held against, and why it refuses; nothing if it passes."""

    policy: Mapping[str, Any]
    reasons: tuple[str, ...] = ()
    quantized: Scores = field(default_factory=scores)
    champion: Scores | None = None
    paired: PairedTests | None = None
    more: tuple[Scores, ...] = ()
    newest_row: datetime | None = None


CLASSES = with_metrics(share("f1", 0.8, 12, "cancer"), share("f1", 0.45, 9, "eye"))
GROUPS = with_metrics(share("accuracy", 0.9, 40, "group=a"), share("accuracy", 0.5, 40, "group=b"))
PLAIN = replace(scores(), metrics=(Metric("perplexity", 12.5, 400, 12.0, 13.0, unit="per token"),))
CHAMPION = scores(model=LIVE)
NOT_WORSE = {**FLOOR, "champion": {"accuracy": 0.02}, "significance": "not worse"}
BETTER = {**NOT_WORSE, "significance": "better"}

TABLE = {
    "a floor": Case(FLOOR),
    "a ceiling on a rate holds": Case(
        {**FLOOR, "ceilings": {"jailbreak_rate": 0.05}}, more=(safety(),)
    ),
    "a ceiling on a rate": Case(
        {**FLOOR, "ceilings": {"jailbreak_rate": 0.01}},
        ("jailbreak_rate is 2.00%, at most 1.00% is allowed",),
        more=(safety(),),
    ),
    "a ceiling on the worse end of a rate": Case(
        {"floors": {"accuracy": 0.6}, "ceilings": {"jailbreak_rate": 0.05}, "use": "low"},
        ("jailbreak_rate is 10.00% (high end of the 95% interval), at most 5.00% is allowed",),
        more=(safety(),),
    ),
    "a rate of nothing at all may be asked for": Case(
        {**FLOOR, "ceilings": {"jailbreak_rate": 0}},
        ("jailbreak_rate is 2.00%, at most 0.00% is allowed",),
        more=(safety(),),
    ),
    "a rate without an interval fails its worse end": Case(
        {**FLOOR, "ceilings": {"jailbreak_rate": 0.05}, "use": "low"},
        ("jailbreak_rate has no high end of an interval",),
        more=(safety(metrics=(Metric("jailbreak_rate", 0.0, 50),)),),
    ),
    "the slowest of a few runs is no 95th percentile": Case(
        {**FLOOR, "ceilings": {"first_token_p95": 300}},
        ("first_token_p95 stands on 19 runs, at least 20 are asked for",),
        quantized=with_metrics(Metric("first_token_p95", 290.0, 19, unit="ms")),
    ),
    "a percentile of many runs": Case(
        {**FLOOR, "ceilings": {"first_token_p95": 300}},
        quantized=with_metrics(Metric("first_token_p95", 290.0, 20, unit="ms")),
    ),
    "a percentile for which too few runs were timed": Case(
        {**FLOOR, "ceilings": {"first_token_p95": 300}},
        (
            "first_token_p95 is not among the quantized model's scores: it takes 20 runs at "
            "least (speed_runs of evaluate)",
        ),
    ),
    "a percentile that nothing measures": Case(
        {**FLOOR, "ceilings": {"first_token_p99": 300}},
        ("first_token_p99 is not among the quantized model's scores",),
    ),
    "a time whose worse end nobody knows": Case(
        {**FLOOR, "ceilings": {"first_token_p95": 300}, "use": "low"},
        ("first_token_p95 has no high end of an interval",),
        quantized=with_metrics(Metric("first_token_p95", 290.0, 20, low=250.0, unit="ms")),
    ),
    "a time whose worse end nobody knows beside the champion's": Case(
        {**FLOOR, "champion": {"first_token_p95": 300}, "use": "low"},
        ("first_token_p95 has no high end of an interval",),
        quantized=with_metrics(Metric("first_token_p95", 290.0, 20, low=250.0, unit="ms")),
        champion=replace(
            with_metrics(Metric("first_token_p95", 290.0, 20, unit="ms")), model_digest=LIVE
        ),
    ),
    "a size that is too large by less than one sees": Case(
        {**FLOOR, "ceilings": {"size": 145e6 - 1}},
        ("size is 145.0 MB, at most 145.0 MB is allowed (in full: 145000000, 144999999)",),
    ),
    "a loss that is too large by less than one sees": Case(
        {**FLOOR, "quantization": {"accuracy": 0.01}},
        (
            "accuracy lost 1.00 points by quantizing, at most 1.00 points are allowed "
            "(in full: 0.010004, 0.01)",
        ),
        quantized=with_metrics(share("accuracy", 0.7 - 0.010004, 252)),
    ),
    "plain text by its perplexity": Case({"ceilings": {"perplexity": 13}}, quantized=PLAIN),
    "plain text of too high a perplexity, at its worse end": Case(
        {"ceilings": {"perplexity": 12.6}, "use": "low"},
        (
            "perplexity is 13 per token (high end of the 95% interval), at most 12.6 per token is "
            "allowed",
        ),
        quantized=PLAIN,
    ),
    "a ceiling of a few bytes": Case(
        {**FLOOR, "ceilings": {"size": 1600}},
        ("size is 145.0 MB, at most 1,600 bytes is allowed",),
    ),
    "a size is exact": Case({**FLOOR, "ceilings": {"size": 145e6}, "use": "low"}),
    "safety that was not measured": Case(
        {**FLOOR, "ceilings": {"jailbreak_rate": 0.05}},
        ("jailbreak_rate is not among the quantized model's scores",),
    ),
    "too few prompts": Case(
        {**FLOOR, "ceilings": {"jailbreak_rate": 0.05}},
        ("jailbreak_rate stands on 9 rows, at least 30 are asked for",),
        more=(safety(metrics=(Metric("jailbreak_rate", 0.0, 9, 0, 0.3),)),),
    ),
    "safety of another file": Case(
        {**FLOOR, "ceilings": {"jailbreak_rate": 0.05}},
        (
            "jailbreak_rate is not among the quantized model's scores",
            f"the scores on safety are of another file, {OTHER}",
        ),
        more=(safety(model_digest=OTHER),),
    ),
    "safety through another template": Case(
        FLOOR,
        ("safety was asked through another chat template",),
        more=(safety(template_digest=OTHER),),
    ),
    "a model that nobody hashed": Case(
        FLOOR,
        ("nobody re-hashed the model that was scored on test",),
        quantized=replace(scores(), model_verified=False),
    ),
    "refusals may be asked for, or too many": Case(
        {"floors": {"accuracy": 0.6, "refusal_rate": 0.95}},
        ("refusal_rate is 90.00%, at least 95.00% is asked for",),
        more=(safety(),),
    ),
    "every class": Case({**FLOOR, "every": {"f1": 0.4}}, quantized=CLASSES),
    "every class but one": Case(
        {**FLOOR, "every": {"f1": 0.5}},
        ("f1 of eye is 45.00%, at least 50.00% is asked for",),
        quantized=CLASSES,
    ),
    "every class alone is a floor too": Case({"every": {"f1": 0.4}}, quantized=CLASSES),
    "every class on too few rows": Case(
        {**FLOOR, "every": {"f1": 0.4}, "min_slice_rows": 10},
        ("f1 of eye stands on 9 rows, at least 10 are asked for",),
        quantized=CLASSES,
    ),
    "every group, not every class": Case(
        {**FLOOR, "every": {"accuracy/group=*": 0.55}},
        ("accuracy of group=b is 50.00%, at least 55.00% is asked for",),
        quantized=GROUPS,
    ),
    "no such slice at all": Case(
        {**FLOOR, "every": {"accuracy/group=*": 0.55}},
        ("there is no slice for accuracy/group=* among the scores",),
    ),
    "latency at the 95th percentile": Case(
        {**FLOOR, "ceilings": {"first_token_p95": 300}},
        ("first_token_p95 is 310 ms, at most 300 ms is allowed",),
        quantized=with_metrics(Metric("first_token_p95", 310.0, 20, unit="ms")),
    ),
    "not worse, shown row by row": Case(NOT_WORSE, champion=CHAMPION, paired=paired(0.01, 0.02)),
    "not worse is not shown by few rows": Case(
        NOT_WORSE,
        (
            "accuracy differs from the champion's by -4.00 points at worst (95% interval, row by "
            "row), at most 2.00 points worse is allowed",
        ),
        champion=CHAMPION,
        paired=paired(0.01, 0.05),
    ),
    "a cost that rose, shown row by row": Case(
        {**FLOOR, "champion": {"first_token": 12}, "significance": "not worse"},
        (
            "first_token differs from the champion's by 15 ms at worst (95% interval, row by row), "
            "at most 12 ms worse is allowed",
        ),
        champion=CHAMPION,
        paired=paired(),
    ),
    "a cost that rose within the margin": Case(
        {**FLOOR, "champion": {"first_token": 15}, "significance": "not worse"},
        champion=CHAMPION,
        paired=paired(),
    ),
    "better": Case(BETTER, champion=CHAMPION, paired=paired(0.05, 0.04)),
    "not shown to be better": Case(
        BETTER,
        (
            "accuracy differs from the champion's by -1.00 points at worst (95% interval, row by "
            "row), at most 2.00 points worse is allowed; it is not shown to be better: undecided, "
            "p = 0.040 after the correction",
        ),
        champion=CHAMPION,
        paired=paired(0.01, 0.02),
    ),
    "nothing to beat yet": Case(BETTER),
    "the champion itself": Case(BETTER, champion=scores()),
    "no paired test": Case(
        NOT_WORSE, ("accuracy was not tested against the champion, row by row",), champion=CHAMPION
    ),
    "no paired test of this metric": Case(
        {**NOT_WORSE, "champion": {"macro_f1": 0.02}},
        ("macro_f1 is not among the paired tests against the champion",),
        champion=CHAMPION,
        paired=paired(),
    ),
    "paired tests of another file": Case(
        NOT_WORSE,
        (f"the paired tests are of another file, {OTHER}",),
        champion=CHAMPION,
        paired=paired(challenger_digest=OTHER),
    ),
    "paired tests against another champion": Case(
        NOT_WORSE,
        (f"the paired tests are of another champion, {OTHER}",),
        champion=CHAMPION,
        paired=paired(champion_digest=OTHER),
    ),
    "paired tests on other data": Case(
        NOT_WORSE,
        (f"the paired tests are of other data, {OTHER}",),
        champion=CHAMPION,
        paired=paired(data_digest=OTHER),
    ),
    "a paired test that could not be made": Case(
        NOT_WORSE,
        ("accuracy could not be compared with the champion's",),
        champion=CHAMPION,
        paired=paired(
            tests=(replace(paired().tests[0], low=None, high=None, verdict="undecided"),)
        ),
    ),
    "a paired test that is not a number": Case(
        NOT_WORSE,
        ("accuracy could not be compared with the champion's",),
        champion=CHAMPION,
        paired=paired(tests=(replace(paired().tests[0], low=float("nan")),)),
    ),
    "a paired test on too few rows": Case(
        NOT_WORSE,
        ("accuracy was tested on 12 rows, at least 30 are asked for",),
        champion=CHAMPION,
        paired=paired(tests=(replace(paired().tests[0], n=12),)),
    ),
    "a paired test that stands there twice": Case(
        NOT_WORSE,
        ("accuracy is more than once among the paired tests against the champion",),
        champion=CHAMPION,
        paired=paired(tests=(*paired().tests, replace(paired(-0.5).tests[0]))),
    ),
    "a paired test whose interval is turned round": Case(
        NOT_WORSE,
        ("accuracy could not be compared with the champion's",),
        champion=CHAMPION,
        paired=paired(tests=(replace(paired().tests[0], low=0.1, high=-0.3),)),
    ),
    "a paired test in another unit": Case(
        {**FLOOR, "champion": {"first_token": 15}, "significance": "not worse"},
        ("first_token is in s, expected in ms",),
        champion=CHAMPION,
        paired=paired(tests=(replace(paired().tests[1], unit="s", high=0.02, low=0.01),)),
    ),
    "a size in another unit": Case(
        {**FLOOR, "ceilings": {"size": 160e6}},
        ("size is in MB, expected in bytes",),
        quantized=with_metrics(Metric("size", 900.0, 1, unit="MB")),
    ),
    "a share that is none": Case(
        FLOOR,
        ("accuracy is in %, expected without a unit",),
        quantized=with_metrics(Metric("accuracy", 0.99, 252, unit="%")),
    ),
    "an interval that is turned round": Case(
        {**FLOOR, "use": "low"},
        ("accuracy has an interval that ends before it begins",),
        quantized=with_metrics(Metric("accuracy", 0.3, 252, low=0.9, high=0.2)),
    ),
    "scores that tell two things of one": Case(
        FLOOR,
        ("the scores on test tell accuracy more than once",),
        quantized=replace(scores(), metrics=(*metrics(), share("accuracy", 0.1))),
    ),
    "scores of safety that tell two things of one slice": Case(
        FLOOR,
        ("the scores on safety tell jailbreak_rate of dan more than once",),
        more=(safety(metrics=(share("jailbreak_rate", 0.0, 50, "dan"),) * 2),),
    ),
    "a number without a unit that is no share": Case(
        {**FLOOR, "ceilings": {"wikitext_word_perplexity": 20}},
        ("wikitext_word_perplexity is 32.5, at most 20 is allowed",),
        quantized=with_metrics(Metric("wikitext_word_perplexity", 32.5, 62)),
    ),
    "a perplexity on enough rows": Case(
        {**FLOOR, "ceilings": {"perplexity": 20}},
        quantized=with_metrics(Metric("perplexity", 9.0, 30, unit="per token")),
    ),
    "a perplexity on too few rows": Case(
        {**FLOOR, "ceilings": {"perplexity": 20}},
        ("perplexity stands on 3 rows, at least 30 are asked for",),
        quantized=with_metrics(Metric("perplexity", 9.0, 3, unit="per token")),
    ),
    "a perplexity on other rows than the champion's": Case(
        {**FLOOR, "champion": {"perplexity": 1}},
        ("the champion cannot be compared: perplexity stands on 40 rows there and on 100 here",),
        quantized=with_metrics(Metric("perplexity", 9.0, 100, unit="per token")),
        champion=replace(
            with_metrics(Metric("perplexity", 9.0, 40, unit="per token")), model_digest=LIVE
        ),
    ),
    "a perplexity by byte beside one by token": Case(
        {**FLOOR, "champion": {"perplexity": 1}},
        ("the champion cannot be compared: perplexity is per token there and per byte here",),
        quantized=with_metrics(Metric("perplexity", 2.0, 40, unit="per byte")),
        champion=replace(
            with_metrics(Metric("perplexity", 9.0, 40, unit="per token")), model_digest=LIVE
        ),
    ),
    "data that is young enough": Case(
        {**FLOOR, "max_data_age_days": 30}, newest_row=NOW - timedelta(days=29)
    ),
    "data that is too old": Case(
        {**FLOOR, "max_data_age_days": 30},
        ("the newest row of the training data is 31.0 days old, at most 30 are asked",),
        newest_row=NOW - timedelta(days=31),
    ),
    "data of an unknown age": Case(
        {**FLOOR, "max_data_age_days": 30},
        (
            "not every row of the training data says when it was written, or no data set was "
            "handed over",
        ),
    ),
    "data of the future": Case(
        {**FLOOR, "max_data_age_days": 30},
        ("the newest row of the training data is of the future, 2026-06-02 00:00:00+00:00",),
        newest_row=NOW + timedelta(days=1),
    ),
    "all of several groups": Case(
        {"all_of": [FLOOR, {"ceilings": {"size": 100e6}}]},
        ("size is 145.0 MB, at most 100.0 MB is allowed",),
    ),
    "one of two groups": Case(
        {**FLOOR, "any_of": [{"floors": {"accuracy": 0.9}}, {"ceilings": {"size": 150e6}}]}
    ),
    "none of two groups": Case(
        {**FLOOR, "any_of": [{"floors": {"accuracy": 0.9}}, {"ceilings": {"size": 100e6}}]},
        (
            "one of 2 alternatives is asked for: none of them holds",
            "accuracy is 70.00%, at least 90.00% is asked for",
            "size is 145.0 MB, at most 100.0 MB is allowed",
        ),
    ),
    "what is missing holds in no alternative": Case(
        {**FLOOR, "any_of": [{"floors": {"speed_of_light": 1}}]},
        (
            "one of 1 alternatives is asked for: none of them holds",
            "speed_of_light is not among the quantized model's scores",
        ),
    ),
    "groups within groups": Case(
        {
            "any_of": [
                {**FLOOR, "all_of": [{"ceilings": {"size": 100e6}}]},
                {"any_of": [{"floors": {"accuracy": 0.99}}, {"floors": {"accuracy": 0.65}}]},
            ]
        }
    ),
    "a part of a group that fails spoils the group": Case(
        {**FLOOR, "any_of": [{"floors": {"accuracy": 0.65}, "ceilings": {"size": 100e6}}]},
        (
            "one of 1 alternatives is asked for: none of them holds",
            "size is 145.0 MB, at most 100.0 MB is allowed",
        ),
    ),
    "an alternative that has no champion to compare with lets nothing pass": Case(
        {**FLOOR, "any_of": [{"champion": {"accuracy": 0.02}}, {"floors": {"accuracy": 0.9}}]},
        (
            "one of 2 alternatives is asked for: none of them holds",
            "accuracy is 70.00%, at least 90.00% is asked for",
        ),
    ),
    "nor does one whose champion may be skipped": Case(
        {
            **FLOOR,
            "any_of": [{"champion": {"accuracy": 0.02}}, {"floors": {"accuracy": 0.9}}],
            "champion_on_other_data": "skip",
        },
        (
            "one of 2 alternatives is asked for: none of them holds",
            "accuracy is 70.00%, at least 90.00% is asked for",
        ),
        champion=scores(model=LIVE, data=OTHER),
    ),
    "the champion in an alternative, scored on other data": Case(
        {**FLOOR, "any_of": [{"champion": {"accuracy": 0.02}}, {"floors": {"accuracy": 0.65}}]},
        champion=scores(model=LIVE, data=OTHER),
    ),
}


def judged(case: Case) -> Blessing:
    return decide(
        scores("tuned", digest_bytes(b"adapter")),
        case.quantized,
        parity(),
        case.champion,
        read_settings(Policy, dict(case.policy)),
        paired=case.paired,
        more=case.more,
        newest_row=case.newest_row,
        now=NOW,
    )


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE.keys())
def test_the_policy_table(case: Case) -> None:
    verdict = judged(case)
    assert verdict.reasons == case.reasons
    assert verdict.passed is not bool(case.reasons)


def test_each_rule_says_where_it_stands() -> None:
    case = TABLE["groups within groups"]
    names = [check.name for check in judged(case).checks if check.name]
    assert names == [
        "any_of",
        "any_of[0].floors.accuracy",
        "any_of[0].all_of[0].ceilings.size",
        "any_of[1].any_of",
        "any_of[1].any_of[0].floors.accuracy",
        "any_of[1].any_of[1].floors.accuracy",
    ]


def test_what_does_not_count_still_shows_as_failed() -> None:
    found = {check.name: check for check in judged(TABLE["one of two groups"]).checks}
    lost = found["any_of[0].floors.accuracy"]
    assert (lost.passed, lost.holds) == (False, True)
    assert lost.excused == "in any_of, alternative 2 holds"
    assert found["any_of[1].ceilings.size"].excused == ""


def test_without_a_clock_data_is_too_old() -> None:
    policy = read_settings(Policy, {**FLOOR, "max_data_age_days": 30})
    verdict = decide(scores("tuned"), scores(), parity(), None, policy, newest_row=NOW)
    assert not verdict.passed
    assert "days old" in verdict.reasons[0]


def test_the_approvals_that_are_needed_are_on_the_blessing() -> None:
    verdict = judged(Case({**FLOOR, "required_approvals": ["clinical safety"]}))
    assert (verdict.passed, verdict.required_approvals) == (True, ("clinical safety",))
