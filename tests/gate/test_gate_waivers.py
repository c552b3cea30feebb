"""A waiver excuses one rule, for one model and one policy, while it lasts and if it is signed."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import GGUF, NAME, metrics, parity, scores, share
from wherry.contracts import Blessing, Metric, Scores, Waiver, digest_bytes
from wherry.contracts.errors import SigningKeyError
from wherry.gate.run import granted
from wherry.gate.settings import Policy, Rules
from wherry.gate.step import decide, policy_digest
from wherry.gate.waivers import Granted
from wherry.signing import BLESSING, WAIVER, KeyFolder, stamp

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = Policy(floors={"accuracy": 0.6, "macro_f1": 0.75}, every={"f1": 0.5})
WORDS = "macro_f1 is 68.00%, at least 75.00% is asked for"
GIVEN = Waiver(
    rule="floors.macro_f1",
    name=NAME,
    policy_digest=policy_digest(POLICY),
    who="ann",
    why="two classes have twelve rows",
    granted="2026-05-01T00:00:00Z",
    until="2026-07-01T00:00:00Z",
)


def judge(
    *waivers: Waiver | Granted, quantized: Scores | None = None, policy: Policy = POLICY
) -> Blessing:
    found = [Granted(each) if isinstance(each, Waiver) else each for each in waivers]
    return decide(
        scores("tuned"),
        quantized or scores(),
        parity(),
        None,
        policy,
        granted=found,
        name=NAME,
        now=NOW,
    )


def test_it_excuses_its_rule_and_is_on_record() -> None:
    assert judge().reasons == (WORDS,)
    verdict = judge(GIVEN)
    assert verdict.passed
    assert verdict.waivers == (GIVEN,)
    (found,) = (check for check in verdict.checks if not check.passed)
    assert found.observed == pytest.approx(0.68)
    assert found.excused == (
        "waived by ann until 2026-07-01T00:00:00Z: two classes have twelve rows"
    )


def test_one_that_was_not_needed_is_not_on_record() -> None:
    verdict = judge(GIVEN, policy=POLICY, quantized=scores(accuracy=0.8))
    assert (verdict.passed, verdict.waivers) == (True, ())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"until": "2026-06-01T00:00:00Z"}, "ended at 2026-06-01T00:00:00Z"),
        ({"granted": "2026-06-02T00:00:00Z"}, "begins at 2026-06-02T00:00:00Z"),
        ({"until": "some day"}, "says no time that can be read"),
        ({"until": "2030-01-01"}, "says no time that can be read"),
        ({"name": "another"}, "is for the model 'another'"),
        ({"policy_digest": digest_bytes(b"another")}, "is for another policy"),
        ({"model_digest": digest_bytes(b"another")}, "is for another file"),
    ],
)
def test_one_that_is_not_for_this_says_so_and_the_rule_stands(
    change: dict[str, Any], told: str
) -> None:
    verdict = judge(replace(GIVEN, **change))
    assert verdict.reasons == (f"{WORDS}; the waiver of ann {told}",)
    assert verdict.waivers == ()


def test_one_for_this_very_file_holds() -> None:
    assert judge(replace(GIVEN, model_digest=GGUF)).passed


def test_without_a_clock_every_waiver_has_ended() -> None:
    parts = scores("tuned"), scores(), parity(), None, POLICY
    assert not decide(*parts, granted=[Granted(GIVEN)], name=NAME).passed


def test_a_second_good_one_makes_up_for_an_ended_one() -> None:
    ended = replace(GIVEN, until="2026-05-02T00:00:00Z")
    verdict = judge(ended, GIVEN)
    assert (verdict.passed, verdict.waivers) == (True, (GIVEN,))


def test_an_unknown_rule_refuses_even_a_file_that_needs_no_waiver() -> None:
    verdict = judge(replace(GIVEN, rule="floors.recall"), quantized=scores(accuracy=0.8))
    assert verdict.reasons == (
        "the waiver of floors.recall by ann is refused: the policy has no rule 'floors.recall'",
    )


def test_a_bad_signature_refuses_even_a_file_that_needs_no_waiver() -> None:
    bad = Granted(GIVEN, "E_SIGNATURE, the waiver was changed")
    assert judge(bad, quantized=scores(accuracy=0.8)).reasons == (
        "the waiver of floors.macro_f1 by ann is refused: E_SIGNATURE, the waiver was changed",
    )


@pytest.mark.parametrize(
    "unmeasured", [Metric("macro_f1", None, 252), Metric("macro_f1", 0.68, 3), None]
)
def test_what_was_not_measured_cannot_be_waived(unmeasured: Metric | None) -> None:
    kept = tuple(metric for metric in metrics() if metric.name != "macro_f1")
    file = replace(scores(), metrics=(*kept, unmeasured) if unmeasured else kept)
    verdict = judge(GIVEN, quantized=file)
    assert not verdict.passed
    assert "what was not measured cannot be waived" in verdict.reasons[0]


def test_one_class_is_waived_and_the_others_are_not() -> None:
    added = (share("f1", 0.4, 9, "eye"), share("f1", 0.3, 9, "ear"))
    file = replace(scores(accuracy=0.8), metrics=(*metrics(0.8), *added))
    waiver = replace(GIVEN, rule="every.f1", slice="eye")
    assert judge(waiver, quantized=file).reasons == (
        "f1 of ear is 30.00%, at least 50.00% is asked for",
    )
    assert judge(replace(waiver, slice=""), quantized=file).passed


def test_a_rule_within_an_alternative_is_waived_by_its_place() -> None:
    rules = Rules(floors={"macro_f1": 0.75}, ceilings={"size": 150e6})
    policy = Policy(floors={"accuracy": 0.6}, any_of=(rules,))
    waiver = replace(GIVEN, rule="any_of[0].floors.macro_f1", policy_digest=policy_digest(policy))
    assert not judge(policy=policy).passed
    assert judge(waiver, policy=policy).passed


def test_the_gates_own_checks_cannot_be_waived() -> None:
    for rule in ("parity", "same_data", "split", "any_of"):
        assert "has no rule" in judge(replace(GIVEN, rule=rule)).reasons[-1]


def test_a_waiver_does_not_change_the_policys_digest() -> None:
    assert policy_digest(replace(POLICY, waivers=(GIVEN,))) == policy_digest(POLICY)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    """Ann's keys, which are trusted here."""
    monkeypatch.setenv("WHERRY_KEYS", str(tmp_path / "keys"))
    folder = KeyFolder(tmp_path / "keys")
    folder.init("ann", datetime(2026, 1, 1, tzinfo=UTC))
    return folder


def test_a_good_signature_of_who_it_names_is_found_good(keys: KeyFolder) -> None:
    (found,) = granted((stamp(GIVEN, WAIVER, keys.signer()),))
    assert found.fault == ""


def test_a_signature_must_be_of_who_it_names(keys: KeyFolder) -> None:
    (found,) = granted((stamp(replace(GIVEN, who="bob"), WAIVER, keys.signer()),))
    assert found.fault == "it is signed by ann"


def test_other_signatures_are_found_bad(keys: KeyFolder, tmp_path: Path) -> None:
    good = stamp(GIVEN, WAIVER, keys.signer())
    stranger = KeyFolder(tmp_path / "stranger")
    stranger.init("ann", NOW)
    found = granted(
        (
            GIVEN,
            replace(good, until="2036-01-01T00:00:00Z"),
            stamp(GIVEN, BLESSING, keys.signer()),
            stamp(GIVEN, WAIVER, stranger.signer()),
        )
    )
    assert [each.fault.partition(",")[0] for each in found] == [
        *("E_SIGNATURE", "E_SIGNATURE", "E_SIGNATURE", "E_KEY"),
    ]
    keys.revoke(keys.keyring().current, "lost", datetime.now(UTC))
    assert "was revoked" in granted((good,))[0].fault


def test_waivers_without_a_keyring_end_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_KEYS", str(tmp_path / "none"))
    assert granted(()) == []
    with pytest.raises(SigningKeyError):
        granted((GIVEN,))
