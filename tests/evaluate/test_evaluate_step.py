"""How answers become predictions and metrics."""

import math
from pathlib import Path

import pytest

from tests.fakes.answerer import FakeAnswerer
from wherry.contracts import Message, Metric, ModelRef, Row, digest_bytes
from wherry.contracts.errors import DataError, TemplateError
from wherry.evaluate.estimates import Draws
from wherry.evaluate.journal import NoJournal
from wherry.evaluate.measures.choice import choose
from wherry.evaluate.measures.classes import confusion
from wherry.evaluate.predictions import Likelihood, lines_of, read_predictions
from wherry.evaluate.slices import Slicing
from wherry.evaluate.step import (
    Answer,
    Exam,
    Model,
    Prediction,
    Speed,
    check_template,
    costs,
    examine,
    label_tokens,
    latencies,
    normalise,
    predict,
    quality,
)
from wherry.progress import Silent

LABELS = ("bone", "heart", "skin")


def _row(number: int, label: str, completion: str = "") -> Row:
    said = Message("assistant", completion or label)
    return Row(f"r{number}", (Message("user", f"case {number}"), said), label)


def _exam(rows: list[Row], labels: tuple[str, ...] = LABELS, *names: str) -> Exam:
    return Exam(rows, labels, choose(names, labels, {}, "chat"))


def _predicted(rows: list[Row], texts: list[str]) -> list[Prediction]:
    answerer = FakeAnswerer(texts)
    answers = answerer.answer([row.prompt for row in rows], LABELS, Silent())
    return predict(_exam(rows), answers)


def _quality(made: list[Prediction], labels: tuple[str, ...] = LABELS) -> tuple[Metric, ...]:
    measures = choose((), labels, {}, "chat").measures
    return quality(made, measures, labels, Slicing(), Draws(100, 0))


@pytest.mark.parametrize(
    "text",
    [
        *("heart", " Heart.\n", "HEART!", '"heart"', "**Heart**", "- heart", "# Heart", "* heart."),
        *(
            "\N{FULLWIDTH LATIN SMALL LETTER H}eart",
            "\N{LEFT DOUBLE QUOTATION MARK}heart”",
            "«heart»",
        ),
        *("> heart", "<heart>", "\N{ZERO WIDTH SPACE}heart\N{ZERO WIDTH NO-BREAK SPACE}"),
    ],
)
def test_case_punctuation_and_spacing_do_not_count(text: str) -> None:
    assert normalise(text) == "heart"


@pytest.mark.parametrize("text", ["the heart", "heartburn", "heart skin", ""])
def test_more_or_less_than_the_label_is_no_hit(text: str) -> None:
    assert normalise(text) != "heart"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-5", "-5"),
        ("- -5.", "-5"),
        ("'+1'", "+1"),
        ("C++.", "c++"),
        ("**C#**", "c#"),
        ("5%", "5%"),
        ("(<5)", "<5"),
        (">=5.", ">=5"),
        ("> 5", "5"),
        ("**.5**", ".5"),
        ("<.5", "<.5"),
        ("...5", "5"),
        ("\N{MINUS SIGN}5", "-5"),
        ("\N{EN DASH}.5", "-.5"),
        ("3\N{EN DASH}5", "3-5"),
        ("\N{EN DASH} 5", "5"),
        ("<5 >", "<5"),
        ("<5>", "5"),
        ("+", "+"),
        ("?", "?"),
        ("...", "..."),
        ("", ""),
        (" ", ""),
    ],
)
def test_marks_that_make_another_answer_count(text: str, wanted: str) -> None:
    assert normalise(text) == wanted


def test_labels_of_which_one_begins_another_or_that_are_signs_are_told_apart() -> None:
    labels = ("C", "C#", "C++", "C1", "+", "-", "-1", "1")
    rows = [_row(n, label) for n, label in enumerate(labels)]
    made = predict(_exam(rows, labels), [Answer(f" {label}\n", ()) for label in labels])
    assert all(each.correct for each in made)
    wrong = predict(_exam(rows, labels), [Answer(labels[n - 1], ()) for n in range(len(labels))])
    assert not any(each.correct for each in wrong)
    silent = predict(_exam(rows, labels), [Answer("", ())] * len(labels))
    assert not any(each.correct for each in silent)


def test_an_answer_that_is_the_rows_own_sentence_is_right_and_of_its_class() -> None:
    rows = [_row(n, label, f"It is the {label}.") for n, label in enumerate(("bone", "heart"))]
    said = ["it is the bone", "It is the bone."]
    made = predict(_exam(rows), [Answer(text, ()) for text in said])
    assert [each.correct for each in made] == [True, False]
    found = {(m.name, m.slice): m.value for m in _quality(made)}
    assert (found["accuracy", ""], found["f1", "bone"], found["f1", "heart"]) == (0.5, 1.0, 0.0)
    assert confusion(made, LABELS).counts == ((1, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0))


def test_the_label_counts_where_the_last_turn_names_another_class() -> None:
    made = predict(_exam([_row(1, "bone", "Skin.")]), [Answer("skin", ())])
    assert not made[0].correct
    assert predict(_exam([_row(1, "bone", "Skin.")]), [Answer("bone", ())])[0].correct


def test_a_longer_answer_that_only_holds_the_label_is_wrong() -> None:
    (made,) = predict(_exam([_row(1, "bone")]), [Answer("I think it is the bone.", ())])
    assert not made.correct


def test_one_row_has_numbers_and_classes_without_rows_have_none() -> None:
    made = predict(_exam([_row(1, "bone")]), [Answer("bone", (0.0, -1.0, -1.0))])
    found = {(m.name, m.slice): m for m in _quality(made)}
    assert (found["accuracy", ""].value, found["accuracy", ""].n) == (1.0, 1)
    assert found["accuracy", ""].low == pytest.approx(0.2065, abs=1e-4)  # Wilson's of 1 of 1
    assert found["macro_f1", ""].value == 1.0
    for name in ("accuracy", "f1"):
        assert (found[name, "heart"].value, found[name, "heart"].n) == (None, 0)


def test_predictions_say_what_was_answered_and_picked() -> None:
    rows = [_row(1, "heart"), _row(2, "bone")]
    answers = [Answer(" Heart", (-3.0, -0.1, -9.0)), Answer("no idea", (-1.0, -2.0, -3.0))]
    assert predict(_exam(rows), answers) == [
        Prediction("r1", "heart", " Heart", "heart", True, False, 0.947724),
        Prediction("r2", "bone", "no idea", "bone", False, False, 0.665241),
    ]


def test_an_answer_that_is_the_last_turn_to_the_letter_is_exact() -> None:
    (made,) = predict(_exam([_row(1, "bone")]), [Answer("bone", (0.0, -1.0, -1.0))])
    assert made.exact


def test_scores_that_are_no_numbers_pick_nothing() -> None:
    (made,) = predict(_exam([_row(1, "bone")]), [Answer("bone", (math.nan, -1.0, -1.0))])
    assert (made.label_pick, made.confidence) == ("", None)


def test_a_label_known_to_be_less_probable_is_not_picked_and_leaves_no_confidence() -> None:
    (made,) = predict(_exam([_row(1, "bone")]), [Answer("", (-2.0, -math.inf, -3.0))])
    assert (made.label_pick, made.confidence) == ("bone", None)


def test_what_is_not_known_of_every_row_has_no_value() -> None:
    rows = [_row(1, "bone"), _row(2, "bone")]
    made = predict(_exam(rows), [Answer("bone", (0.0, -1.0, -1.0)), Answer("bone", ())])
    found = {(m.name, m.slice): m for m in _quality(made)}
    for name in ("label_accuracy", "calibration_error"):
        assert (found[name, ""].value, found[name, ""].n) == (None, 1)
    assert found["accuracy", ""].value == 1.0


@pytest.mark.parametrize("nats", [math.nan, math.inf])
def test_a_perplexity_that_is_no_number_is_unknown_and_the_predictions_are_read_again(
    tmp_path: Path, nats: float
) -> None:
    exam = _exam([_row(1, "bone"), _row(2, "bone")], LABELS, "perplexity")
    made = predict(exam, [Answer("", ())] * 2, [Likelihood(2.0, 1), Likelihood(nats, 1)])
    (tmp_path / "made.jsonl").write_bytes(lines_of(made))
    assert read_predictions(tmp_path / "made.jsonl") == made
    (found,) = quality(made, exam.chosen.measures, LABELS, Slicing(()), Draws(100, 0))
    assert (found.name, found.value, found.n) == ("perplexity", None, 1)


def test_a_label_outside_the_set_is_refused_by_row() -> None:
    with pytest.raises(DataError, match=r"r1.*'liver'"):
        examine(_exam([_row(1, "liver")]), Model(FakeAnswerer([])), NoJournal(), 8, Silent())


def test_quality_counts_exact_normalised_and_picked_answers_apart() -> None:
    rows = [_row(1, "bone"), _row(2, "heart"), _row(3, "skin"), _row(4, "skin")]
    made = _predicted(rows, ["bone", "Heart.", "bone", "nothing"])
    found = {(metric.name, metric.slice): metric for metric in _quality(made)}
    assert found["accuracy", ""].value == 0.5
    assert found["exact_match", ""].value == 0.25
    # The fake gives no label a preference for "Heart." and "nothing": the first stands.
    assert found["label_accuracy", ""].value == 0.25
    assert found["accuracy", "skin"].value == 0.0
    assert found["accuracy", "skin"].n == 2
    assert found["f1", "bone"].value == pytest.approx(2 / 3)
    assert found["f1", "heart"].value == 1.0
    assert found["macro_f1", ""].value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["macro_f1", ""].method == "bca"
    assert found["accuracy", ""].method == "wilson"


def test_every_share_has_an_interval_around_it() -> None:
    rows = [_row(n, LABELS[n % 3]) for n in range(30)]
    made = _predicted(rows, ["bone"] * 30)
    for metric in _quality(made):
        assert metric.value is not None and metric.low is not None and metric.high is not None
        assert metric.low - 1e-9 <= metric.value <= metric.high + 1e-9


def test_without_labels_the_completion_is_what_counts() -> None:
    rows = [_row(1, "", "yes, please"), _row(2, "", "no")]
    made = predict(_exam(rows, ()), [Answer("Yes, please.", ()), Answer("maybe", ())])
    names = {metric.name: metric.value for metric in _quality(made, ())}
    assert names.keys() == {"accuracy", "exact_match", "token_f1", "rouge_l", "chrf"}
    assert (names["accuracy"], names["exact_match"], names["token_f1"]) == (0.5, 0.0, 0.5)


def test_no_rows_give_no_values() -> None:
    metrics = _quality([])
    assert {metric.value for metric in metrics} == {None}
    assert {metric.n for metric in metrics} == {0}


def test_labels_that_differ_in_case_alone_are_refused() -> None:
    with pytest.raises(DataError, match="same but for case"):
        _exam([_row(1, "bone")], ("bone", "Bone"))
    # Before the model is asked, and not when the confusion is counted after all rows.
    with pytest.raises(DataError, match="same but for case"):
        _exam([_row(1, "bone")], ("bone", "Bone"), "accuracy")


def _letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def _sentencepiece(text: str) -> list[int]:
    """Puts a space before each text, as SentencePiece does."""
    return _letters(f" {text}")


def test_labels_are_tokens_behind_the_prompt() -> None:
    for encode in (_letters, _sentencepiece):
        assert label_tokens(encode, "Organ? ", ("ear", "eye")) == [(101, 97, 114), (101, 121, 101)]


def test_labels_whose_tokens_begin_one_another_are_refused() -> None:
    with pytest.raises(DataError, match="'heart' begin those of 'heartburn'"):
        label_tokens(_letters, "Organ? ", ("heart", "heartburn"))


def test_a_label_that_the_prompt_swallows_is_refused() -> None:
    def merging(text: str) -> list[int]:
        return _letters(text.replace("? e", "\N{WHITE QUESTION MARK ORNAMENT}"))

    with pytest.raises(DataError, match="'ear' has no tokens of its own"):
        label_tokens(merging, "Organ? ", ("ear",))


def test_costs_are_medians_with_units() -> None:
    speed = Speed((30.0, 10.0, 20.0), (5.0, 6.0, 7.0), 1000)
    found = {metric.name: metric for metric in costs(9, speed, Draws(100, 0))}
    assert (found["size"].value, found["size"].unit) == (9, "bytes")
    assert (found["peak_memory"].value, found["peak_memory"].unit) == (1000, "bytes")
    assert (found["first_token"].value, found["first_token"].unit) == (20.0, "ms")
    assert (found["decode_speed"].value, found["decode_speed"].unit) == (6.0, "tokens/s")


def test_runs_enough_tell_the_slowest_too() -> None:
    times = tuple(float(n) for n in range(100))
    found = {m.name: m for m in costs(9, Speed(times, times, 1), Draws(100, 0))}
    slowest = found["first_token_p95"]
    assert (slowest.value, slowest.n, slowest.unit) == (pytest.approx(94.05), 100, "ms")
    assert slowest.low is not None and slowest.high is not None
    assert 85 < slowest.low < 94 < slowest.high <= 99
    few = costs(9, Speed(times[:19], times, 1), Draws(100, 0))
    assert "first_token_p95" not in {m.name for m in few}


def test_latency_is_a_median_with_its_order_statistics() -> None:
    middle, slowest = latencies([float(n) for n in range(1, 102)])
    assert (middle.name, middle.value, middle.method) == ("latency", 51.0, "binomial")
    assert middle.low is not None and middle.high is not None
    assert 38 < middle.low < 51 < middle.high < 64
    assert slowest.name == "latency_p95"
    (nothing,) = latencies([])
    assert (nothing.value, nothing.n) == (None, 0)


def test_memory_that_cannot_be_read_is_unknown_and_not_absent() -> None:
    found = {m.name: m for m in costs(9, Speed((1.0,), (1.0,), None), Draws(100, 0))}
    assert found["peak_memory"].value is None


def test_another_template_than_the_trained_one_is_refused() -> None:
    digest = digest_bytes(b"weights")
    model = ModelRef(
        name="m",
        format="gguf",
        file="m.gguf",
        digest=digest,
        size=1,
        base_uri="",
        base_digest=digest,
        template_digest=digest_bytes(b"template"),
    )
    check_template(FakeAnswerer([]), model)
    with pytest.raises(TemplateError, match="expected sha256"):
        check_template(FakeAnswerer([], template="another"), model)
