"""What a deploy decides: nothing unproved goes live, and nothing live is lost."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.targets import CANDIDATE, PUBLIC, FakeEndpoint, FakeTarget
from wherry.contracts import Code, Deployment, Lineage, Message, Release, Row, Source, digest_bytes
from wherry.contracts.errors import ConflictError, DataError, DeployError
from wherry.deploy.settings import DeploySettings
from wherry.deploy.step import Plan, Question, deploy, pick
from wherry.progress import Silent

OLD, NEW = digest_bytes(b"old"), digest_bytes(b"new")
ANSWERS = {"asthma": "lung", "otitis": "ear", "acne": "skin"}
QUESTIONS = [Question((Message("user", asked),), label) for asked, label in ANSWERS.items()]
PLAN = Plan(DeploySettings(smoke_rows=3, smoke_min_correct=2), tuple(QUESTIONS))


def release(version: int = 2) -> Release:
    any_digest = digest_bytes(b"")
    lineage = Lineage(
        data_digest=any_digest,
        data_source=Source("dvc:.", "", "data", "md5:0"),
        base_uri="pkg://a/b",
        base_digest=any_digest,
        adapter_digest=any_digest,
        template_digest=any_digest,
        settings_digest=any_digest,
        scores_digest=any_digest,
        blessing_digest=any_digest,
        policy_digest=any_digest,
        code=Code("0"),
    )
    return Release("triage", version, NEW, "file:x", 3, "registered", "2026-01-01", lineage)


def live(generation: int = 1) -> Deployment:
    return Deployment("triage", 1, OLD, "local", PUBLIC, generation, True, pid=1)


def candidate(**changes: Any) -> FakeEndpoint:
    return replace(FakeEndpoint(NEW, ANSWERS), **changes)


def go(
    target: FakeTarget,
    endpoint: FakeEndpoint | None = None,
    public: FakeEndpoint | None = None,
    generation: int = 2,
) -> Deployment:
    endpoints = {CANDIDATE: endpoint or candidate(), PUBLIC: public or candidate()}
    return deploy(release(), generation, PLAN, target, endpoints.__getitem__, Silent())


def test_a_first_deploy_is_proved_and_promoted() -> None:
    target = FakeTarget()
    made = go(target)
    assert target.events == ["start", "promote"]
    assert (made.version, made.digest, made.url, made.pid) == (2, NEW, PUBLIC, 2)
    assert "3 of 3 right" in made.checks[-1]


def test_a_wrong_or_missing_answer_is_named_by_its_number_and_no_row_is_quoted() -> None:
    short = FakeEndpoint(NEW, {**ANSWERS, "asthma": "eye"})
    target = FakeTarget()
    made = go(target, short)
    assert made.checks[1] == "wrong over chat: questions 1"
    assert "2 of 3 right over chat" in made.checks[-1]
    for text in (question.prompt[-1].content for question in PLAN.questions):
        assert not any(text in check for check in made.checks)


def test_its_example_is_a_request_that_a_person_may_send() -> None:
    body = json.loads(go(FakeTarget()).example)
    assert body["model"] == "triage"
    assert body["messages"] == [{"role": "user", "content": "asthma"}]


def test_what_already_serves_is_proved_again_and_not_restarted() -> None:
    target = FakeTarget(live=live(), fits=True)
    made = go(target)
    assert target.events == ["record"]
    assert (made.pid, made.generation, made.version) == (1, 2, 2)


def test_a_live_server_that_fails_its_test_is_replaced() -> None:
    target = FakeTarget(live=live(), fits=True)
    assert go(target, public=candidate(answers={})).pid == 2
    assert target.events == ["start", "promote"]


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (candidate(answers={"asthma": "lung"}), "wrong over chat: questions 2, 3"),
        (candidate(broken="chat"), "chat/completions did not answer"),
        (candidate(broken="predict"), "0 of 3 right over predict"),
        (candidate(is_ready=False), "not ready"),
        (candidate(loaded=OLD), f"serves {OLD}"),
    ],
)
def test_a_candidate_that_fails_is_stopped_and_the_old_stays(
    endpoint: FakeEndpoint, reason: str
) -> None:
    target = FakeTarget(live=live())
    with pytest.raises(DeployError) as caught:
        go(target, endpoint)
    assert target.events == ["start", "discard"]
    assert target.live == live()
    assert reason in caught.value.message
    assert "the last line of the log" in caught.value.message


def test_as_many_as_demanded_are_enough_and_one_less_is_not() -> None:
    enough = {"asthma": " Lung.", "otitis": "ear"}
    assert go(FakeTarget(), candidate(answers=enough)).healthy
    with pytest.raises(DeployError, match=r"1 of 3 right over chat.*at least 2 wanted"):
        go(FakeTarget(), candidate(answers={"asthma": "lung"}))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left")])
def test_whatever_interrupts_the_promotion_leaves_no_candidate(error: BaseException) -> None:
    target = FakeTarget(live=live(), promote_error=error)
    with pytest.raises(type(error)):
        go(target)
    assert target.events == ["start", "promote", "discard"]
    assert target.live == live()


def test_a_candidate_that_does_not_start_leaves_the_old() -> None:
    target = FakeTarget(live=live(), start_error=DeployError("no", remedy="x"))
    with pytest.raises(DeployError):
        go(target)
    assert target.events == ["start", "discard"]


def test_an_older_generation_never_overwrites_a_newer() -> None:
    target = FakeTarget(live=live(generation=3), fits=True)
    with pytest.raises(ConflictError, match="generation 3"):
        go(target, generation=2)
    assert target.events == []


def test_the_same_generation_may_be_deployed_again() -> None:
    assert go(FakeTarget(live=live(generation=2))).generation == 2


def test_questions_are_taken_evenly() -> None:
    rows = [
        Row(str(n), (Message("user", f"q{n}"), Message("assistant", "a")), label="b")
        for n in range(10)
    ]
    assert [q.prompt[0].content for q in pick(rows, 3)] == ["q0", "q3", "q6"]
    assert pick(rows, 10)[0].answer == "b"
    with pytest.raises(DataError, match="has 10 rows"):
        pick(rows, 11)
