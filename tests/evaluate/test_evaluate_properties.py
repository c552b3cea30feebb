"""What holds of every prediction and of every pair of models."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wherry.evaluate.estimates import Draws
from wherry.evaluate.measures.choice import choose
from wherry.evaluate.paired.statistics import holm, mcnemar
from wherry.evaluate.predictions import Prediction, lines_of, read_predictions
from wherry.evaluate.slices import Slicing
from wherry.evaluate.step import quality

LABELS = ("a", "b", "c")
unhurried = settings(deadline=None, max_examples=40)
"""The first example imports scipy."""
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def predictions(draw: st.DrawFn) -> list[Prediction]:
    def one(number: int) -> Prediction:
        label, answer = draw(st.sampled_from(LABELS)), draw(st.sampled_from((*LABELS, "-")))
        pick, sure = draw(st.sampled_from(LABELS)), draw(st.floats(0, 1))
        return Prediction(f"r{number}", label, answer, pick, label == answer, False, sure)

    return [one(number) for number in range(draw(st.integers(1, 12)))]


_VANISHING = [
    Prediction("r0", "a", "a", "a", True, False, 1.0),
    Prediction("r1", "a", "a", "b", True, False, 4.7e-145),
]
"""Their calibration spreads by less than a float's cube holds."""


@unhurried
@given(predictions())
@example(_VANISHING)
def test_every_number_of_labels_is_a_share_with_ends_in_order(made: list[Prediction]) -> None:
    chosen = choose((), LABELS, {}, "chat")
    for metric in quality(made, chosen.measures, LABELS, Slicing(), Draws(100, 0)):
        if metric.value is None:
            assert (metric.low, metric.high, metric.method) == (None, None, "")
            continue
        assert 0 <= metric.value <= 1
        if metric.low is None or metric.high is None:
            # Of a single row, or of a class that many draws lack.
            assert (metric.low, metric.high, metric.method) == (None, None, "")
            assert len(made) == 1 or (metric.name == "f1" and metric.slice in LABELS)
            continue
        assert -1e-9 <= metric.low <= metric.high <= 1 + 1e-9


@unhurried
@given(predictions())
def test_the_order_of_rows_changes_no_number(made: list[Prediction]) -> None:
    measures = choose((), LABELS, {}, "chat").measures
    there, back = (
        quality(rows, measures, LABELS, Slicing(), Draws(100, 0)) for rows in (made, made[::-1])
    )
    for one, other in zip(there, back, strict=True):
        assert one.value == (other.value and pytest.approx(other.value))
        assert one.low == (other.low and pytest.approx(other.low))


@unhurried
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_to_trade_places_turns_the_difference_round(pairs: list[tuple[bool, bool]]) -> None:
    champion, challenger = ([pair[side] for pair in pairs] for side in (0, 1))
    there, back = mcnemar(champion, challenger), mcnemar(challenger, champion)
    assert there.difference == -back.difference
    assert there.low == pytest.approx(-back.high)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.low - 1e-9 <= there.difference <= there.high + 1e-9
    assert there.low >= -1 - 1e-9 and there.high <= 1 + 1e-9
    assert 0 < there.p_value <= 1


@unhurried
@given(st.lists(st.floats(0, 1), max_size=20))
def test_a_correction_never_lowers_a_p_value_nor_changes_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p_value, corrected in zip(p_values, adjusted, strict=True):
        assert p_value <= corrected <= 1
    ranked = [corrected for _, corrected in sorted(zip(p_values, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@unhurried
@given(
    answer=texts,
    label=texts,
    terms=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)
def test_predictions_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, answer: str, label: str, terms: list[float]
) -> None:
    made = [Prediction("r", label, answer, "", False, terms={"bleu": tuple(terms)})] * 2
    path = tmp_path_factory.mktemp("made") / "predictions.jsonl"
    path.write_bytes(lines_of(made))
    assert read_predictions(path) == made
