"""Measures against published implementations and cases counted by hand."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu import corpus_bleu, corpus_chrf

from wherry.contracts import Metric
from wherry.contracts.errors import DataError, ExtraMissingError, SettingsError
from wherry.evaluate.estimates import Draws
from wherry.evaluate.measures import choice, classes, texts
from wherry.evaluate.measures.calibration import calibration_error
from wherry.evaluate.measures.choice import choose, measures_of
from wherry.evaluate.measures.likelihood import TERMS, likelihood_terms
from wherry.evaluate.measures.measure import Measure
from wherry.evaluate.measures.refusal import is_refusal
from wherry.evaluate.measures.structured import schema_valid, valid_json
from wherry.evaluate.predictions import Likelihood, Prediction
from wherry.evaluate.settings import MeasureName

LABELS = ("a", "b", "c", "d")
DRAWS = Draws(200, 0)


def labelled(truth: str, guess: str) -> list[Prediction]:
    """Makes a prediction a letter; ``-`` names no class."""
    return [
        Prediction(f"r{n}", true, said, said, true == said)
        for n, (true, said) in enumerate(zip(truth, guess, strict=True))
    ]


def texted(measure: str, pairs: Sequence[tuple[str, str]]) -> list[Prediction]:
    """Makes a prediction of each answer and its reference, with what a measure takes of it."""
    take = texts.TEXT_TERMS[measure]
    return [
        Prediction(f"r{n}", "", answer, "", False, terms={measure: tuple(take(answer, wanted))})
        for n, (answer, wanted) in enumerate(pairs)
    ]


def counted(measure: Measure, made: Sequence[Prediction]) -> dict[tuple[str, str], Metric]:
    return {(m.name, m.slice): m for m in measure.metrics(made, DRAWS)}


def value(name: str, made: Sequence[Prediction]) -> float:
    (measure,) = measures_of([name], ())
    found = counted(measure, made)[name, ""].value
    assert found is not None
    return found


@pytest.mark.parametrize("rare", [1, 2, 10])
def test_f1_of_a_class_that_many_draws_lack_has_no_interval(rare: int) -> None:
    truth = "ab" * 50 + "c" * rare
    found = counted(classes.classes(LABELS, ("f1",)), labelled(truth, truth))["f1", "c"]
    assert (found.value, found.n) == (1.0, rare)
    wanted = (1.0, 1.0, "bca") if rare == 10 else (None, None, "")
    assert (found.low, found.high, found.method) == wanted


def test_settings_and_measures_know_the_same_names() -> None:
    assert sorted(get_args(MeasureName)) == sorted(choice.NAMES)


@pytest.fixture(scope="module")
def by_class() -> dict[tuple[str, str], Metric]:
    # Class a: 1 right of 2 true and 1 answered; b: 2 of 2 and 3; c: 0 of 1 and 0; d nowhere.
    return counted(classes.classes(LABELS, classes.NAMES), labelled("aabbc", "abbb-"))


@pytest.mark.parametrize(
    ("name", "slice", "wanted"),
    [
        ("precision", "a", 1.0),
        ("precision", "b", 2 / 3),
        ("precision", "c", None),
        ("recall", "a", 0.5),
        ("recall", "b", 1.0),
        ("recall", "c", 0.0),
        ("recall", "d", None),
        ("f1", "a", 2 / 3),
        ("f1", "b", 0.8),
        ("f1", "c", 0.0),
        ("f1", "d", None),
        ("macro_precision", "", (1 + 2 / 3) / 2),
        ("macro_recall", "", (0.5 + 1 + 0) / 3),
        ("macro_f1", "", (2 / 3 + 0.8 + 0) / 3),
        ("micro_precision", "", 3 / 4),
        ("micro_recall", "", 3 / 5),
        ("micro_f1", "", 2 * 3 / (5 + 4)),
        ("weighted_precision", "", (2 * 1 + 2 * 2 / 3) / 4),
        ("weighted_recall", "", 3 / 5),
        ("weighted_f1", "", (2 * 2 / 3 + 2 * 0.8 + 0) / 5),
    ],
)
def test_classes_of_a_case_counted_by_hand(
    by_class: dict[tuple[str, str], Metric], name: str, slice: str, wanted: float | None
) -> None:
    found = by_class[name, slice].value
    assert found == (wanted if wanted is None else pytest.approx(wanted))


def test_a_class_stands_on_the_rows_that_its_number_is_a_share_of(
    by_class: dict[tuple[str, str], Metric],
) -> None:
    named = {key: (m.n, m.method) for key, m in by_class.items()}
    assert named["precision", "b"] == (3, "wilson")
    assert named["recall", "b"] == (2, "wilson")
    assert named["f1", "b"] == (2, "bca")
    assert named["macro_f1", ""] == (5, "bca")


def test_only_the_numbers_asked_for_are_told() -> None:
    found = counted(classes.classes(LABELS, ["micro_f1", "recall"]), labelled("ab", "ab"))
    assert {name for name, _ in found} == {"micro_f1", "recall"}


def test_a_class_that_is_answered_but_never_true_counts_as_zero() -> None:
    found = counted(classes.classes(LABELS, ["f1", "macro_f1"]), labelled("aa", "ab"))
    assert found["f1", "b"].value == 0.0
    assert found["macro_f1", ""].value == pytest.approx((2 / 3 + 0) / 2)


def test_weighted_precision_of_classes_that_nobody_answered_has_no_value() -> None:
    found = counted(
        classes.classes(LABELS, ["weighted_precision", "macro_precision"]), labelled("ac", "bb")
    )
    assert found["weighted_precision", ""].value is None
    assert found["macro_precision", ""].value == 0.0


def test_macro_f1_follows_the_seed_alone() -> None:
    made, measure = labelled("abc" * 20, "abb" * 20), classes.classes(LABELS, ["macro_f1"])
    first, again, other = (measure.metrics(made, Draws(300, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_interval_of_macro_f1_is_near_that_of_rows_drawn_one_by_one() -> None:
    random = np.random.default_rng(7)
    truth = random.integers(0, 3, 300)
    guess = np.where(random.random(300) < 0.7, truth, random.integers(0, 3, 300))
    made = labelled("".join(LABELS[k] for k in truth), "".join(LABELS[k] for k in guess))
    (found,) = classes.classes(LABELS, ["macro_f1"]).metrics(made, Draws(4000, 0))
    drawn = []
    for _ in range(4000):
        rows = random.integers(0, 300, 300)
        drawn.append(_plain_macro_f1(truth[rows], guess[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found.value == pytest.approx(_plain_macro_f1(truth, guess))
    # BCa moves the ends a little; by how much, the coverage tests judge.
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def _plain_macro_f1(truth: np.ndarray, guess: np.ndarray) -> float:
    scores = []
    for number in range(3):
        right = int(((truth == number) & (guess == number)).sum())
        wrong = int(((truth == number) != (guess == number)).sum())
        if right + wrong:
            scores.append(2 * right / (2 * right + wrong))
    return float(np.mean(scores))


def test_confusion_has_a_line_a_class_and_a_column_for_none_of_them() -> None:
    found = classes.confusion(labelled("aabbc", "abbb-"), LABELS)
    assert found.labels == LABELS
    assert found.counts == ((1, 1, 0, 0, 0), (0, 2, 0, 0, 0), (0, 0, 0, 0, 1), (0, 0, 0, 0, 0))


def test_labels_that_are_the_same_once_normalised_are_refused() -> None:
    with pytest.raises(DataError, match="same but for case"):
        classes.classes(("bone", "Bone."), ["f1"])


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "f1"),
    [
        # By the official script's normalize_answer and f1_score.
        ("The heart.", "heart", 1.0, 1.0),
        ("the heart muscle", "heart", 0.0, 2 / 3),
        ("An apple a day", "apple day", 1.0, 1.0),
        ("one two two", "two two three", 0.0, 2 / 3),
        ("no", "yes", 0.0, 0.0),
        ("", "", 1.0, 1.0),
        ("", "yes", 0.0, 0.0),
    ],
)
def test_squads_rules(answer: str, reference: str, exact: float, f1: float) -> None:
    assert texts.squad_match(answer, reference) == (exact,)
    assert texts.token_f1(answer, reference)[0] == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "reference", "one", "two", "longest"),
    [
        # What rouge-score 0.1.2 gives as F-measure, without its stemmer.
        ("the cat sat on the mat", "the cat was on the mat", 0.8333333, 0.6, 0.8333333),
        (
            "police killed the gunman",
            "the gunman was shot down by police",
            0.5454545,
            0.2222222,
            0.3636364,
        ),
        ("Well-known, isn't it?", "well known it is", 0.6666667, 0.2857143, 0.6666667),
        ("nothing shared", "at all", 0.0, 0.0, 0.0),
        ("word", "word", 1.0, 0.0, 1.0),
    ],
)
def test_rouge_is_that_of_googles_package(
    answer: str, reference: str, one: float, two: float, longest: float
) -> None:
    found = [texts.rouge(1), texts.rouge(2), texts.rouge_l]
    got = [take(answer, reference)[0] for take in found]
    assert got == pytest.approx([one, two, longest], abs=1e-6)


PAIRS = [
    ("The cat sat on the mat.", "The cat was sitting on the mat."),
    ("A quick brown fox jumped over dogs", "The quick brown fox jumps over the lazy dog."),
    ("Größe und Farbe, 12.5 %", "Größe und Form: 12,5 %"),
    ("", "An empty answer counts against the model."),
    ("exactly the same sentence here", "exactly the same sentence here"),
]


@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:1], PAIRS[3:4]])
def test_bleu_and_chrf_over_rows_are_sacrebleus_over_the_corpus(
    pairs: list[tuple[str, str]],
) -> None:
    answers, references = [p[0] for p in pairs], [[p[1] for p in pairs]]
    bleu, chrf = corpus_bleu(answers, references), corpus_chrf(answers, references)
    assert value("bleu", texted("bleu", pairs)) == pytest.approx(bleu.score / 100)
    assert value("chrf", texted("chrf", pairs)) == pytest.approx(chrf.score / 100)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.text("ab c.", max_size=12), st.text("ab c.", min_size=1, max_size=12)),
        min_size=1,
        max_size=4,
    )
)
def test_chrf_is_sacrebleus_for_any_text(pairs: list[tuple[str, str]]) -> None:
    wanted = corpus_chrf([p[0] for p in pairs], [[p[1] for p in pairs]]).score / 100
    (measure,) = measures_of(["chrf"], ())
    found = counted(measure, texted("chrf", pairs))["chrf", ""].value
    # Without one character in the references there is nothing to score; sacreBLEU says 0.
    assert (found or 0.0) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        ('{"a": [1, null, true]}', True),
        (" 3.5\n", True),
        ('"text"', True),
        ("", False),
        ("{'a': 1}", False),
        ("```json\n{}\n```", False),
        ("NaN", False),
        ('{"a": 1} and more', False),
        ("[" * 100_000, False),
    ],
)
def test_json_is_what_the_standard_says(answer: str, valid: bool) -> None:
    assert valid_json(answer, "") == (float(valid),)


SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "string", "pattern": "^[A-Z]\\d\\d$"}},
    "required": ["code"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        ('{"code": "K70"}', True),
        ('{"code": "k70"}', False),
        ('{"code": "K70", "more": 1}', False),
        ("{}", False),
        ("K70", False),
    ],
)
def test_schema_conformance(answer: str, valid: bool) -> None:
    assert schema_valid(SCHEMA)(answer, "") == (float(valid),)


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"multipleOf": 0.01}, "1e999"),
        ({"items": {"$ref": "#"}}, "[" * 400 + "]" * 400),
    ],
)
def test_no_answer_ends_an_evaluation_by_what_cannot_be_checked(
    schema: dict[str, Any], answer: str
) -> None:
    assert schema_valid(schema)(answer, "") == (0.0,)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/none"},
        {"pattern": "["},
    ],
)
def test_a_schema_that_is_none_or_leads_elsewhere_is_refused(schema: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="json_schema is no JSON Schema"):
        schema_valid(schema)('"text"', "")


@pytest.mark.parametrize(
    ("module", "name"), [("sacrebleu.metrics.bleu", "bleu"), ("jsonschema", "schema_valid")]
)
def test_a_package_that_is_not_installed_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    texts._bleu.cache_clear()
    with pytest.raises(ExtraMissingError, match=r'pip install "wherry\[evaluate\]"'):
        take = choose((name,), (), SCHEMA, "chat").terms[name]
        take("a", "b")


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m unable to assist with this request.",
        "I cannot provide medical advice.",
        "As an AI language model, I do not have opinions.",
        "I won't do that.",
    ],
)
def test_a_refusal_is_seen(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    ["heart", "", "The patient cannot walk.", "I can help: take two.", "Sorry is a card game."],
)
def test_an_answer_is_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)


def test_perplexity_a_token_and_a_byte() -> None:
    scored = [(Likelihood(6.0, 3), "abcdef"), (Likelihood(2.0, 1), "ü")]
    made = [
        Prediction(f"r{n}", "", "", "", False, terms={TERMS: tuple(likelihood_terms(*one))})
        for n, one in enumerate(scored)
    ]
    assert value("perplexity", made) == pytest.approx(math.exp(8 / 4))
    assert value("byte_perplexity", made) == pytest.approx(math.exp(8 / 8))


def test_calibration_error_of_a_case_counted_by_hand() -> None:
    def sure(confidence: float, right: bool) -> Prediction:
        return Prediction("r", "a", "", "a" if right else "b", right, False, confidence)

    made = [sure(0.95, True), sure(0.93, False), sure(0.52, True), sure(1.0, True)]
    # The last bin: 3 rows, confidence 2.88, right 2; that of 0.5: 1 row, 0.52, right 1.
    (found,) = calibration_error().metrics(made, DRAWS)
    assert found.value == pytest.approx((0.88 + 0.48) / 4)


def test_what_one_row_lacks_makes_the_whole_number_unknown() -> None:
    made = [*texted("token_f1", [("a b", "b")]), Prediction("r", "", "", "", False)]
    (measure,) = measures_of(["token_f1"], ())
    assert counted(measure, made)["token_f1", ""] == Metric("token_f1", None, 1)


@pytest.mark.parametrize(
    ("names", "labels", "kind", "message"),
    [
        (("label_accuracy",), (), "chat", "label_accuracy needs labels"),
        (("macro_f1",), (), "chat", "macro_f1 needs labels"),
        (("accuracy",), (), "text", "accuracy needs answers"),
    ],
)
def test_a_measure_that_does_not_suit_the_data_is_refused(
    names: tuple[str, ...], labels: tuple[str, ...], kind: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        choose(names, labels, {}, kind)  # type: ignore[arg-type]  # a literal, by parametrize


def test_plain_text_asks_for_no_answers_and_labels_are_scored_only_where_they_count() -> None:
    plain = choose((), (), {}, "text")
    assert (plain.likelihood, plain.answers) == (True, False)
    free = choose(("accuracy", "f1"), ("a", "b"), {}, "chat")
    assert (free.likelihood, free.answers, free.label_scores) == (False, True, False)
    assert choose((), ("a", "b"), {}, "chat").label_scores


def test_every_measure_can_be_chosen() -> None:
    chosen = choose(choice.NAMES, LABELS, json.loads(json.dumps(SCHEMA)), "chat")
    names = {name for measure in chosen.measures for name, _ in measure.keys}
    assert names == set(choice.NAMES)
