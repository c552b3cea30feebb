"""What each type is measured by, and which of them ships."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from wherry.contracts import Ladder, Metric, Rung, digest_bytes
from wherry.quantize.ladder import (
    Judge,
    Made,
    Quality,
    Questions,
    Speed,
    answered,
    best,
    following,
    pick,
    question,
    share,
    single_tokens,
    superseded,
)
from wherry.quantize.settings import SMALLEST, QuantizeSettings
from wherry.quantize.step import Divergence, Logits, Sample, diverge, judge

DIGEST = digest_bytes(b"x")
LADDER = QuantizeSettings(types=("Q8_0", "Q4_0"), max_task_loss=0.1, max_perplexity_change=0.05)
EXACT = Quality(Divergence(9, 1.0, 0.0), 10.0, (Metric("exact_match", 0.8, 50),))


class Counting:
    """A model over five tokens that expects the number after the last one."""

    def __init__(self, wrong: frozenset[int] = frozenset()) -> None:
        self._wrong = wrong

    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        for sample in samples:
            found = np.zeros((len(sample.keep), 5), np.float32)
            for row, index in enumerate(sample.keep):
                last = sample.ids[index]
                found[row, (last + (2 if last in self._wrong else 1)) % 5] = math.log(4)
            yield found


def _rung(kind: str, size: int, *, passed: bool = True, kl: float | None = 0.01) -> Rung:
    return Rung(kind, f"m.{kind}.gguf", DIGEST, size, 1.0, 10.0, 0.0, kl, 0.9, passed)


RUNGS = [_rung("Q8_0", 8), _rung("Q4_0", 4, passed=False, kl=0.5), _rung("Q5_0", 5)]


def test_the_smallest_that_passes_ships() -> None:
    assert pick(RUNGS, SMALLEST) == RUNGS[2]


def test_a_type_asked_for_ships_though_a_smaller_one_passes() -> None:
    assert pick(RUNGS, "Q8_0") == RUNGS[0]


def test_a_type_asked_for_that_does_not_pass_is_not_replaced_by_another() -> None:
    assert pick(RUNGS, "Q4_0") is None
    assert best(RUNGS, "Q4_0").type == "Q4_0"


def test_none_passes_and_a_refusal_tells_of_the_least_loss() -> None:
    failed = [replace(rung, passed=False) for rung in RUNGS] + [
        _rung("Q2_K", 2, passed=False, kl=None)
    ]
    assert pick(failed, SMALLEST) is None
    assert best(failed, SMALLEST).kl == 0.01


def test_only_one_file_is_kept_while_types_are_tried() -> None:
    assert superseded(RUNGS, SMALLEST) == {"Q8_0", "Q4_0"}
    assert superseded(RUNGS[:1], "Q4_0") == frozenset()
    assert superseded(RUNGS, "Q8_0") == {"Q4_0", "Q5_0"}


def test_a_greedy_answer_is_right_if_each_of_its_tokens_is_the_most_probable() -> None:
    tasks = [question([0, 1], [2, 3], 0), question([1], [2, 3], 1), question([2], [3, 1], 2)]
    _, (exact,) = answered(tasks, (), Counting())
    assert (exact.name, exact.value, exact.n) == ("exact_match", 2 / 3, 3)


def test_a_label_is_picked_among_the_labels_alone() -> None:
    # After 1 comes 2 for the model; among the tokens 3 and 4 all are alike, so the first wins.
    tasks = [question([1], [2, 0], 0), question([2], [3, 0], 1), question([1], [4, 0], 1)]
    _, (exact, label) = answered(tasks, (2, 3), Counting())
    assert exact.value == 0
    assert (label.name, label.value) == ("label_accuracy", 2 / 3)


def test_labels_of_several_tokens_or_of_one_token_are_not_guessed_at() -> None:
    assert single_tokens([(7,), (9,)]) == (7, 9)
    assert single_tokens([(7,), (9, 3)]) == ()
    assert single_tokens([(7,), (7,)]) == ()


def test_quality_of_a_case_counted_by_hand() -> None:
    samples = [Sample((0, 1, 2), (0, 1, 2)), Sample((3, 0), (0, 1))]
    reference = list(Counting().logits(samples))
    tasks = [question([0], [1, 2]), question([0, 3], [0])]
    found = Questions(samples, reference, tasks).quality(Counting())
    # Half the mass lies on the next number; 3 is followed by 0, which has an eighth.
    assert found.perplexity == pytest.approx((2 * 2 * 8) ** (1 / 3))
    assert Questions(samples, reference, tasks).lossless(Counting()).perplexity == found.perplexity
    assert found.divergence == Divergence(5, 1.0, 0.0)
    off = Questions(samples, reference).quality(Counting(frozenset({1})))
    assert off.divergence.agreement == 0.8
    whole = diverge(reference, list(Counting(frozenset({1})).logits(samples)))
    assert off.divergence.kl == pytest.approx(whole.kl)


def test_plain_text_is_judged_by_how_probable_it_is_itself() -> None:
    # The model gives the number after the last one half the probability, each other an eighth.
    samples = [Sample((0, 1, 2, 4), (0, 1, 2, 3)), Sample((0, 1, 3), (2,))]
    reference = list(Counting().logits(samples))
    asked = Questions(samples, reference, plain=True)
    found = asked.quality(Counting())
    # 0→1 and 1→2 are right, 2→4 is not; behind the last of each nothing stands.
    assert found.perplexity == pytest.approx((2 * 2 * 8) ** (1 / 3))
    assert found.scores == ()
    assert asked.lossless(Counting()) == found
    worse = asked.quality(Counting(frozenset({1}))).perplexity
    assert worse == pytest.approx((2 * 8 * 8) ** (1 / 3))
    # Of conversations it is the answers' that counts, and without any there is none.
    assert Questions(samples, reference).quality(Counting()).perplexity is None


def test_a_long_plain_text_is_read_to_its_end() -> None:
    ids = tuple(number % 5 for number in range(200))
    samples = [Sample(ids, tuple(range(200)))]
    asked = Questions(samples, list(Counting().logits(samples)), plain=True)
    assert len(following(samples[0], asked.reference[0])) == 199
    assert asked.quality(Counting()).perplexity == pytest.approx(2)


def test_of_no_context_nothing_is_known() -> None:
    found = Questions([], []).quality(Counting())
    assert found.perplexity is None
    assert found.divergence.kl == math.inf


def test_a_model_whose_logits_are_no_numbers_has_no_perplexity() -> None:
    class Broken(Counting):
        def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
            yield from (logits * np.float32(math.nan) for logits in super().logits(samples))

    samples = [Sample((0, 1, 2), (0, 1, 2))]
    reference = list(Counting().logits(samples))
    found = Questions(samples, reference, [question([0], [1])]).quality(Broken())
    assert found.perplexity is None
    compared = judge("quantization", ("a", "b"), found.divergence, LADDER, "Q4_0")
    rung = Judge(EXACT, LADDER).rung(Made("Q4_0", "f", DIGEST, 1, 1.0), compared, found, Speed())
    assert not rung.passed and rung.kl is None


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2552, 0.3663), (0, 10, 0.0, 0.2775), (5, 5, 0.5655, 1)],
)
def test_shares_carry_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    found = share("exact_match", [True] * hits + [False] * (n - hits))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_is_none() -> None:
    assert share("exact_match", []).value is None


def _judged(quality: Quality, settings: QuantizeSettings = LADDER) -> Rung:
    compared = judge("quantization", ("a", "b"), quality.divergence, settings, "Q4_0")
    return Judge(EXACT, settings).rung(
        Made("Q4_0", "f", DIGEST, 1, 1.0), compared, quality, Speed()
    )


def test_a_type_passes_within_all_its_limits() -> None:
    rung = _judged(Quality(Divergence(9, 0.9, 0.1), 10.4, (Metric("exact_match", 0.72, 50),)))
    assert rung.passed and rung.reasons == ()
    assert rung.perplexity_change == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (replace(EXACT, divergence=Divergence(9, 0.9, 0.3)), "KL 0.3"),
        (replace(EXACT, divergence=Divergence(9, 0.6, 0.1)), "agreement 0.600"),
        (replace(EXACT, perplexity=11.0), "perplexity rose by 10.0%"),
        (replace(EXACT, perplexity=None), "perplexity is not a number"),
        (replace(EXACT, scores=(Metric("exact_match", 0.6, 50),)), "fell from 0.800 to 0.600"),
        (replace(EXACT, scores=()), "exact_match could not be measured"),
        (replace(EXACT, scores=(Metric("exact_match", None, 0),)), "could not be measured"),
    ],
)
def test_a_type_is_refused_for_the_reason_that_it_has(quality: Quality, reason: str) -> None:
    rung = _judged(quality)
    assert not rung.passed
    assert len(rung.reasons) == 1 and reason in rung.reasons[0]


def test_a_limit_on_answers_that_could_not_be_scored_refuses() -> None:
    compared = judge("quantization", ("a", "b"), EXACT.divergence, LADDER, "Q4_0")
    made = Made("Q4_0", "f", DIGEST, 1, 1.0)
    rung = Judge(replace(EXACT, scores=()), LADDER).rung(made, compared, EXACT, Speed())
    assert rung.reasons == ("no answer could be scored",)


def test_a_ladder_comes_back_from_its_json() -> None:
    ladder = Ladder(tuple(RUNGS), "Q5_0", SMALLEST, DIGEST, 9, DIGEST, 512, 10.0)
    assert Ladder.from_json(ladder.to_json()) == ladder
    named = replace(ladder, reference="merged float32 model")
    assert Ladder.from_json(named.to_json()) == named
    assert ladder.find("Q4_0") == RUNGS[1] and ladder.find("F16") is None
