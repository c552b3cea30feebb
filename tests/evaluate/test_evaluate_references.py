"""Numbers against computations that are not ours, on whatever rows come."""

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sacrebleu import corpus_bleu

from tests.fakes.raw_model import FakeRaw
from wherry.contracts import Row
from wherry.evaluate.estimates import Draws, share
from wherry.evaluate.likelihoods import likelihoods
from wherry.evaluate.measures import classes, texts
from wherry.evaluate.measures.calibration import calibration_error
from wherry.evaluate.measures.choice import measures_of
from wherry.evaluate.measures.likelihood import TERMS, likelihood_terms
from wherry.evaluate.paired.statistics import holm, mcnemar
from wherry.evaluate.predictions import Prediction
from wherry.progress import Silent

LABELS = ("a", "b", "c", "d")
DRAWS = Draws(100, 0)
unhurried = settings(deadline=None, max_examples=60)
"""The first example imports what it compares with."""
WORDS = ("a", "the", "an", "The", "heart", "Heart.", "U.S.", "don't", "--", "é")
odd_texts = st.text("abA1é .,'-_\n", max_size=20)


def labelled(rows: Sequence[tuple[str, str]]) -> list[Prediction]:
    return [
        Prediction(f"r{n}", true, said, "", true == said) for n, (true, said) in enumerate(rows)
    ]


def number(value: float | None) -> float:
    return math.nan if value is None else value


@unhurried
@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from((*LABELS, "-"))), min_size=1, max_size=25
    )
)
def test_precision_recall_and_f1_are_scikit_learns(rows: list[tuple[str, str]]) -> None:
    counted: Any = pytest.importorskip("sklearn.metrics").precision_recall_fscore_support
    measure = classes.classes(LABELS, classes.NAMES)
    ours = {(m.name, m.slice): number(m.value) for m in measure.metrics(labelled(rows), DRAWS)}
    truth, said = zip(*rows, strict=True)
    # Of classes of which none was answered scikit-learn gives a weighted precision, we give none.
    assume(set(truth) & set(said))
    # What is undefined counts nowhere: scikit-learn's zero_division=nan.
    options = {"labels": LABELS, "zero_division": math.nan}
    for mean in classes.MEANS:
        theirs = counted(truth, said, average=mean, **options)[:3]
        found = [ours[f"{mean}_{name}", ""] for name in classes.BY_CLASS]
        assert found == pytest.approx(list(theirs), nan_ok=True)
    for name, theirs in zip(classes.BY_CLASS, counted(truth, said, **options)[:3], strict=True):
        assert [ours[name, label] for label in LABELS] == pytest.approx(list(theirs), nan_ok=True)


@unhurried
@given(odd_texts, odd_texts)
def test_rouge_of_any_text_is_googles(answer: str, reference: str) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    # Google's words are ASCII alone.
    answer, reference = (text.replace("é", "e") for text in (answer, reference))
    wanted = scorer.RougeScorer(["rouge1", "rouge2", "rougeL"]).score(reference, answer)
    found = [take(answer, reference)[0] for take in (texts.rouge(1), texts.rouge(2), texts.rouge_l)]
    assert found == pytest.approx([each.fmeasure for each in wanted.values()])


@unhurried
@given(st.lists(st.tuples(odd_texts, odd_texts), min_size=1, max_size=5))
def test_bleu_over_rows_is_sacrebleus_over_the_corpus(pairs: list[tuple[str, str]]) -> None:
    made = [
        Prediction(f"r{n}", "", answer, "", False, terms={"bleu": tuple(terms)})
        for n, (answer, wanted) in enumerate(pairs)
        for terms in [texts.bleu_terms(answer, wanted)]
    ]
    (measure,) = measures_of(["bleu"], ())
    (found,) = measure.metrics(made, DRAWS)
    wanted = corpus_bleu([p[0] for p in pairs], [[p[1] for p in pairs]]).score / 100
    # Without one word in the references there is nothing to score; sacreBLEU says 0.
    assert (found.value or 0.0) == pytest.approx(wanted)


def official_squad(prediction: str, truth: str) -> tuple[bool, float]:
    """Scores as evaluate-v2.0.py of SQuAD does, written down from it."""

    def normalized(text: str) -> str:
        kept = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())

    said, wanted = normalized(prediction).split(), normalized(truth).split()
    same = sum((Counter(said) & Counter(wanted)).values())
    exact = normalized(prediction) == normalized(truth)
    if not said or not wanted:
        return exact, float(said == wanted)
    if not same:
        return exact, 0.0
    precision, recall = same / len(said), same / len(wanted)
    return exact, 2 * precision * recall / (precision + recall)


@given(*[st.lists(st.sampled_from(WORDS)).map(" ".join)] * 2)
def test_squads_numbers_are_the_official_scripts(answer: str, reference: str) -> None:
    exact, f1 = official_squad(answer, reference)
    assert texts.squad_match(answer, reference) == (float(exact),)
    assert texts.token_f1(answer, reference)[0] == pytest.approx(f1)


@pytest.mark.parametrize("rows", [1, 7, 500])
def test_calibration_error_is_the_papers_sum_over_bins(rows: int) -> None:
    random = np.random.default_rng(rows)
    sure, right = random.random(rows), random.random(rows) < 0.6
    made = [
        Prediction("r", "a", "", "a" if hit else "b", bool(hit), False, float(confidence))
        for confidence, hit in zip(sure, right, strict=True)
    ]
    bins = np.digitize(sure, np.arange(1, 10) / 10)
    wanted = sum(
        (bins == k).sum() / rows * abs(right[bins == k].mean() - sure[bins == k].mean())
        for k in set(bins.tolist())
    )
    (found,) = calibration_error().metrics(made, DRAWS)
    assert found.value == pytest.approx(wanted)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_that_of_the_formula(case: tuple[int, int]) -> None:
    hits, n = case
    z, p = 1.959963984540054, hits / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = share(hits, n)
    wanted = pytest.approx((middle - reach, middle + reach), abs=1e-9)
    assert (found.low, found.high) == wanted


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_mcnemars_p_value_is_twice_the_smaller_tail_of_fair_coins(
    both: int, first: int, second: int
) -> None:
    champion = [True] * both + [True] * first + [False] * second + [False]
    challenger = [True] * both + [False] * first + [True] * second + [False]
    tosses = first + second
    tail = sum(math.comb(tosses, k) for k in range(min(first, second) + 1)) / 2**tosses
    assert mcnemar(champion, challenger).p_value == pytest.approx(min(1.0, 2 * tail))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holms_correction_is_bonferronis_over_every_set_that_a_test_is_in(p: list[float]) -> None:
    # Marcus, Peritz & Gabriel (1976): the closure of Bonferroni's tests is Holm's procedure.
    indexes = range(len(p))
    sets = [s for size in range(1, len(p) + 1) for s in combinations(indexes, size)]
    wanted = [max(min(1.0, len(s) * min(p[i] for i in s)) for s in sets if k in s) for k in indexes]
    assert holm(p) == pytest.approx(wanted)


@pytest.mark.parametrize("context", [2048, 3])
def test_perplexity_a_byte_counts_the_bytes_of_every_script(context: int) -> None:
    model = FakeRaw()  # one token and one nat a character
    model.context = context
    rows = [Row("r0", text="né"), Row("r1", text="日本"), Row("r2", text="👍 ok")]
    found = likelihoods(model, rows, Silent())
    made = [
        Prediction(row.id, "", "", "", False, terms={TERMS: tuple(likelihood_terms(one, row.text))})
        for row, one in zip(rows, found, strict=True)
    ]
    by_token, by_byte = (
        m.metrics(made, DRAWS)[0] for m in measures_of(["perplexity", "byte_perplexity"], ())
    )
    characters, count = 2 + 2 + 4, (1 + 2) + 2 * 3 + (4 + 3)
    assert by_token.value == pytest.approx(math.e)
    assert by_byte.value == pytest.approx(math.exp(characters / count))
