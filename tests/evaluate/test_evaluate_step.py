"""How answers become predictions and metrics."""

import math

import pytest

from tests.fakes.answerer import FakeAnswerer
from wherry.contracts import Message, ModelRef, Row, digest_bytes
from wherry.contracts.errors import DataError, TemplateError
from wherry.evaluate.step import (
    Answer,
    Prediction,
    Speed,
    check_template,
    costs,
    normalise,
    predict,
    quality,
    refuse_ambiguous,
)
from wherry.progress import Silent

LABELS = ("bone", "heart", "skin")


def _row(number: int, label: str, completion: str = "") -> Row:
    said = Message("assistant", completion or label)
    return Row(f"r{number}", (Message("user", f"case {number}"), said), label)


def _predicted(rows: list[Row], texts: list[str]) -> list[Prediction]:
    answerer = FakeAnswerer(texts)
    return predict(rows, answerer.answer([row.prompt for row in rows], LABELS, Silent()), LABELS)


@pytest.mark.parametrize(
    "text", ["heart", " Heart.\n", "HEART!", '"heart"', "\N{FULLWIDTH LATIN SMALL LETTER H}eart"]
)
def test_case_punctuation_and_spacing_do_not_count(text: str) -> None:
    assert normalise(text) == "heart"


@pytest.mark.parametrize("text", ["the heart", "heartburn", "heart skin", ""])
def test_more_or_less_than_the_label_is_no_hit(text: str) -> None:
    assert normalise(text) != "heart"


def test_predictions_say_what_was_answered_and_picked() -> None:
    rows = [_row(1, "heart"), _row(2, "bone")]
    answers = [Answer(" Heart", (-3.0, -0.1, -9.0)), Answer("no idea", (-1.0, -2.0, -3.0))]
    assert predict(rows, answers, LABELS) == [
        Prediction("r1", "heart", " Heart", "heart", True),
        Prediction("r2", "bone", "no idea", "bone", False),
    ]


def test_scores_that_are_no_numbers_pick_nothing() -> None:
    (made,) = predict([_row(1, "bone")], [Answer("bone", (math.nan, -1.0, -1.0))], LABELS)
    assert made.label_pick == ""


def test_a_label_outside_the_set_is_refused_by_row() -> None:
    with pytest.raises(DataError, match=r"r1.*'liver'"):
        predict([_row(1, "liver")], [Answer("", (0.0, 0.0, 0.0))], LABELS)


def test_quality_counts_exact_normalised_and_picked_answers_apart() -> None:
    rows = [_row(1, "bone"), _row(2, "heart"), _row(3, "skin"), _row(4, "skin")]
    made = _predicted(rows, ["bone", "Heart.", "bone", "nothing"])
    found = {
        (metric.name, metric.slice): metric
        for metric in quality(rows, made, LABELS, resamples=100, seed=0)
    }
    assert found["accuracy", ""].value == 0.5
    assert found["exact_match", ""].value == 0.25
    # The fake gives no label a preference for "Heart." and "nothing": the first stands.
    assert found["label_accuracy", ""].value == 0.25
    assert found["accuracy", "skin"].value == 0.0
    assert found["accuracy", "skin"].n == 2
    assert found["f1", "bone"].value == pytest.approx(2 / 3)
    assert found["f1", "heart"].value == 1.0
    assert found["macro_f1", ""].value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["macro_f1", ""].method == "bootstrap"
    assert found["accuracy", ""].method == "wilson"


def test_every_share_has_an_interval_around_it() -> None:
    rows = [_row(n, LABELS[n % 3]) for n in range(30)]
    made = _predicted(rows, ["bone"] * 30)
    for metric in quality(rows, made, LABELS, resamples=100, seed=0):
        assert metric.value is not None and metric.low is not None and metric.high is not None
        assert metric.low - 1e-9 <= metric.value <= metric.high + 1e-9


def test_without_labels_the_completion_is_what_counts() -> None:
    rows = [_row(1, "", "yes, please"), _row(2, "", "no")]
    made = predict(rows, [Answer("Yes, please.", ()), Answer("maybe", ())], ())
    names = {metric.name: metric.value for metric in quality(rows, made, (), resamples=100, seed=0)}
    assert names == {"accuracy": 0.5, "exact_match": 0.0}


def test_no_rows_give_no_values() -> None:
    metrics = quality([], [], LABELS, resamples=100, seed=0)
    assert {metric.value for metric in metrics} == {None}
    assert {metric.n for metric in metrics} == {0}


def test_labels_that_differ_in_case_alone_are_refused() -> None:
    rows = [_row(1, "bone")]
    made = predict(rows, [Answer("bone", (0.0, 0.0))], ("bone", "Bone"))
    with pytest.raises(DataError, match="same but for case"):
        quality(rows, made, ("bone", "Bone"), resamples=100, seed=0)


def test_labels_whose_tokens_begin_one_another_are_refused() -> None:
    refuse_ambiguous(("a", "b"), [(1, 2), (1, 3)])
    with pytest.raises(DataError, match="'heart' begin those of 'heartburn'"):
        refuse_ambiguous(("heart", "heartburn"), [(7,), (7, 8)])


def test_costs_are_medians_with_units() -> None:
    speed = Speed((30.0, 10.0, 20.0), (5.0, 6.0, 7.0), 1000)
    found = {metric.name: metric for metric in costs(9, speed, resamples=100, seed=0)}
    assert (found["size"].value, found["size"].unit) == (9, "bytes")
    assert (found["peak_memory"].value, found["peak_memory"].unit) == (1000, "bytes")
    assert (found["first_token"].value, found["first_token"].unit) == (20.0, "ms")
    assert (found["decode_speed"].value, found["decode_speed"].unit) == (6.0, "tokens/s")


def test_memory_that_cannot_be_read_is_unknown_and_not_absent() -> None:
    found = {m.name: m for m in costs(9, Speed((1.0,), (1.0,), None), resamples=100, seed=0)}
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
