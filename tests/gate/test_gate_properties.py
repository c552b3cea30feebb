"""Whatever the scores: worse ones are never judged better, and nothing missing ever passes."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.releases import parity, scores
from wherry.contracts import Metric, Scores, digest_bytes
from wherry.gate.metrics import COSTS, SHARES
from wherry.gate.settings import Policy, Rules
from wherry.gate.step import decide

NAMES = ("accuracy", "macro_f1", "size", "first_token")
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Other work on the machine must not fail a property."""
fractions = st.floats(0, 1)
amounts = st.floats(0, 1e9)


def metric(name: str, value: float | None, spread: float, n: int) -> Metric:
    """A metric whose interval holds its value."""
    if value is None:
        return Metric(name, None, n)
    top = 1.0 if name in SHARES else float("inf")
    return Metric(name, value, n, low=max(0.0, value - spread), high=min(top, value + spread))


@st.composite
def measured(draw: st.DrawFn, subject: str) -> Scores:
    """Scores of a model, some of them missing."""
    found = tuple(
        metric(
            name,
            draw(st.none() | (fractions if name in SHARES else amounts)),
            draw(st.floats(0, 0.1)),
            draw(st.sampled_from((0, 1, 29, 30, 252))),
        )
        for name in draw(st.sets(st.sampled_from(NAMES), min_size=2))
    )
    return replace(scores(subject), metrics=found)


shares = st.sampled_from(("accuracy", "macro_f1"))
costs = st.sampled_from(("size", "first_token"))
groups = st.recursive(
    st.one_of(
        st.builds(Rules, floors=st.dictionaries(shares, st.floats(0.01, 1), min_size=1)),
        st.builds(Rules, ceilings=st.dictionaries(costs, st.floats(1, 1e9), min_size=1)),
        st.builds(Rules, champion=st.dictionaries(shares | costs, fractions, min_size=1)),
    ),
    lambda inner: st.one_of(
        st.builds(Rules, any_of=st.lists(inner, min_size=1, max_size=2).map(tuple)),
        st.builds(Rules, all_of=st.lists(inner, min_size=1, max_size=2).map(tuple)),
    ),
    max_leaves=4,
)
"""Groups of rules, within each other."""


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies that can be meant."""
    return Policy(
        floors=draw(st.dictionaries(shares, st.floats(0.01, 1), min_size=1)),
        ceilings=draw(st.dictionaries(costs, st.floats(1, 1e9))),
        champion=draw(st.dictionaries(shares | costs, fractions)),
        quantization=draw(st.dictionaries(shares | costs, fractions)),
        all_of=draw(st.none() | st.lists(groups, min_size=1, max_size=2).map(tuple)),
        any_of=draw(st.none() | st.lists(groups, min_size=1, max_size=3).map(tuple)),
        use=draw(st.sampled_from(("value", "low"))),
        champion_on_other_data=draw(st.sampled_from(("fail", "skip"))),
    )


def worsened(scores: Scores, name: str, by: float) -> Scores:
    """The same scores with one metric worse by a share of itself."""

    def move(number: float | None) -> float | None:
        if number is None:
            return None
        return number * (1 + by) if name in COSTS else number * (1 - by)

    changed = tuple(
        replace(m, value=move(m.value), low=move(m.low), high=move(m.high)) if m.name == name else m
        for m in scores.metrics
    )
    return replace(scores, metrics=changed)


champions = st.none() | measured("quantized").map(
    lambda found: replace(found, model_digest=digest_bytes(b"champion"))
)


@unhurried
@given(measured("tuned"), measured("quantized"), champions, policies(), st.data())
def test_a_worse_score_never_turns_a_refusal_into_a_pass(
    tuned: Scores, quantized: Scores, champion: Scores | None, policy: Policy, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(NAMES))
    worse = worsened(quantized, name, data.draw(fractions))
    before = decide(tuned, quantized, parity(), champion, policy)
    after = decide(tuned, worse, parity(), champion, policy)
    assert before.passed >= after.passed
    for kept, lost in zip(before.checks, after.checks, strict=True):
        assert (kept.name, kept.passed) >= (lost.name, lost.passed)


@unhurried
@given(measured("tuned"), measured("quantized"), champions, policies(), st.data())
def test_a_better_champion_never_turns_a_refusal_into_a_pass(
    tuned: Scores, quantized: Scores, champion: Scores | None, policy: Policy, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(NAMES))
    weaker = worsened(champion, name, data.draw(fractions)) if champion else None
    against_weaker = decide(tuned, quantized, parity(), weaker, policy)
    against_stronger = decide(tuned, quantized, parity(), champion, policy)
    assert against_weaker.passed >= against_stronger.passed


@unhurried
@given(measured("tuned"), measured("quantized"), policies(), st.data())
def test_taking_a_metric_away_never_turns_a_refusal_into_a_pass(
    tuned: Scores, quantized: Scores, policy: Policy, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(NAMES))
    kept = tuple(m for m in quantized.metrics if m.name != gone)
    before = decide(tuned, quantized, parity(), None, policy)
    after = decide(tuned, replace(quantized, metrics=kept), parity(), None, policy)
    assert before.passed >= after.passed


@unhurried
@given(measured("tuned"), measured("quantized"), policies())
def test_a_pass_means_that_every_floor_was_measured_and_met(
    tuned: Scores, quantized: Scores, policy: Policy
) -> None:
    verdict = decide(tuned, quantized, parity(), None, policy)
    assert verdict.passed == all(check.holds for check in verdict.checks)
    assert all("any_of" in check.name for check in verdict.checks if check.excused)
    assert bool(verdict.reasons) != verdict.passed
    if verdict.passed:
        for name, floor in policy.floors.items():
            found = quantized.find(name)
            assert found and found.value is not None and found.n >= policy.min_rows
            assert found.value >= floor - 1e-9
