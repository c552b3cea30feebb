"""Rows to batches to a loss curve, with a tokenizer and a learner made by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import msgspec
import pytest

from wherry.contracts import Message, Row
from wherry.contracts.errors import DataError, DivergedError, TemplateError
from wherry.progress import Silent
from wherry.tune.batches import eval_steps, plan, rate_at
from wherry.tune.examples import Example, encode, encode_row, shared_prefix
from wherry.tune.settings import TuneSettings
from wherry.tune.step import tune

END = ord("$")


class LetterTokenizer:
    """One token a letter; a turn reads ``role:text$``."""

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        text = "".join(f"{m.role[0]}:{m.content}$\n" for m in messages)
        return text + ("a:" if open_turn else "")

    def encode(self, text: str) -> Sequence[int]:
        return [ord(letter) for letter in text]

    def ends_turn(self, token: int) -> bool:
        return token == END

    @property
    def begin(self) -> int | None:
        return None

    @property
    def end(self) -> int:
        return END


class OpeningTokenizer(LetterTokenizer):
    """Has every text begin with a token of its own."""

    @property
    def begin(self) -> int | None:
        return ord("^")


class SpacingTokenizer(LetterTokenizer):
    """Puts a space before each text, as SentencePiece does."""

    def encode(self, text: str) -> Sequence[int]:
        return super().encode(f" {text}")


class GluingTokenizer(LetterTokenizer):
    """Has one token for the end of the prompt together with an answer's first letter."""

    def encode(self, text: str) -> Sequence[int]:
        return [0 if letter == "@" else ord(letter) for letter in text.replace("a:e", "@")]


class RewritingTokenizer(LetterTokenizer):
    """Renders a finished conversation otherwise than an open one."""

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        text = super().render(messages, open_turn=open_turn)
        return text if open_turn else text.upper()


class EndlessTokenizer(LetterTokenizer):
    """Never ends a turn."""

    def ends_turn(self, token: int) -> bool:
        return False


class FakeLearner:
    """Loses a little less at every step, or what it is told to."""

    def __init__(self, losses: Sequence[float] = ()) -> None:
        self.losses = list(losses)
        self.rates: list[float] = []
        self.batches: list[Sequence[Example]] = []

    def learn(self, batch: Sequence[Example], rate: float) -> float:
        self.rates.append(rate)
        self.batches.append(batch)
        return self.losses.pop(0) if self.losses else 1 / len(self.rates)

    def loss(self, batch: Sequence[Example]) -> float:
        return 1 / (1 + len(self.rates))

    def keep(self) -> None:
        self.kept = len(self.rates)

    def restore(self) -> None:
        self.restored = self.kept

    def save_state(self, folder: Path) -> None:
        raise AssertionError

    def load_state(self, folder: Path) -> None:
        raise AssertionError


class LengthLearner(FakeLearner):
    """Loses as much as a completion is long."""

    def learn(self, batch: Sequence[Example], rate: float) -> float:
        return float(len(batch[0].completion))


class Told:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.last = (0.0, 0.0)

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.last = (done, total)
        self.notes.append(note)

    def verdict(self, text: str) -> None:
        raise AssertionError


def row(answer: str = "ear", question: str = "otitis") -> Row:
    turns = (Message("system", "S"), Message("user", question), Message("assistant", answer))
    return Row(id="H60", messages=turns, label=answer)


def example(prompt: int = 5, completion: int = 2) -> Example:
    return Example(tuple(range(prompt)), tuple(range(completion)))


def clock() -> float:
    return float(next(_ticks))


_ticks = count()


def test_the_completion_is_the_answer_up_to_the_token_that_ends_the_turn() -> None:
    found = encode_row(row("ear"), LetterTokenizer())
    assert "".join(map(chr, found.completion)) == "ear$"
    assert "".join(map(chr, found.prompt)).endswith("otitis$\na:")


def test_an_answers_tokens_are_those_that_follow_the_prompt_not_those_of_a_text() -> None:
    found = encode_row(row("ear"), SpacingTokenizer())
    assert "".join(map(chr, found.completion)) == "ear$"
    assert "".join(map(chr, found.prompt)).startswith(" s:S$")


def test_an_answer_whose_first_letter_joins_the_prompt_is_learnt_as_it_is_served() -> None:
    found = encode_row(row("ear"), GluingTokenizer())
    assert "".join(map(chr, (*found.prompt, *found.completion))).endswith("otitis$\na:ear$")


def test_a_template_that_rewrites_earlier_turns_is_refused_by_row() -> None:
    with pytest.raises(TemplateError, match=r"'H60'.*no beginning"):
        encode_row(row(), RewritingTokenizer())


def test_a_template_that_never_ends_the_turn_is_refused() -> None:
    with pytest.raises(TemplateError, match="never stop"):
        encode_row(row(), EndlessTokenizer())


def test_rows_that_are_too_long_are_left_out_and_counted() -> None:
    kept, left_out = encode(
        [row(), row(question="x" * 99)], LetterTokenizer(), TuneSettings(max_length=40)
    )
    assert (len(kept), left_out) == (1, 1)


def test_no_row_short_enough_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(DataError, match=r"at most 8 tokens.*max_length"):
        encode([row()], LetterTokenizer(), TuneSettings(max_length=8))
    with pytest.raises(DataError, match="None of 1 rows of the split eval"):
        encode([row()], LetterTokenizer(), TuneSettings(max_length=8), "eval")


def test_the_shared_prefix_ends_where_prompts_first_differ() -> None:
    a, b = Example((1, 2, 3, 4), (9,)), Example((1, 2, 7, 4), (9,))
    assert shared_prefix([a, b]) == 2


def test_the_shared_prefix_leaves_every_prompt_its_last_token() -> None:
    assert shared_prefix([example(prompt=3), example(prompt=5)]) == 2


def test_every_epoch_has_every_row_once() -> None:
    lengths = [n % 13 for n in range(100)]
    batches = plan(lengths, batch_size=8, epochs=2, seed=0)
    rows = [i for batch in batches for i in batch]
    assert sorted(rows) == sorted([*range(100), *range(100)])


def test_batches_hold_rows_of_similar_length() -> None:
    lengths = list(range(64))
    spread = [max(batch) - min(batch) for batch in plan(lengths, batch_size=8, epochs=1, seed=0)]
    assert max(spread) == 7


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    lengths = [5] * 50
    assert plan(lengths, 8, 2, seed=1) == plan(lengths, 8, 2, seed=1)
    assert plan(lengths, 8, 2, seed=1) != plan(lengths, 8, 2, seed=2)


def test_the_learning_rate_rises_then_falls_but_never_to_zero() -> None:
    settings = TuneSettings(learning_rate=1.0, warmup=0.2)
    rates = [rate_at(step, 20, settings) for step in range(1, 21)]
    assert max(rates) == rates[3] == 1.0
    assert all(a < b for a, b in pairwise(rates[:4]))
    assert all(a > b for a, b in pairwise(rates[3:]))
    assert rates[-1] > 0


@pytest.mark.parametrize(
    ("points", "expected"), [(0, set()), (1, {10}), (2, {0, 10}), (3, {0, 5, 10})]
)
def test_the_eval_loss_is_measured_first_and_last(points: int, expected: set[int]) -> None:
    assert eval_steps(10, points) == expected


def test_the_curve_starts_before_the_first_step_and_ends_after_the_last() -> None:
    course = tune([example()] * 32, [example()], FakeLearner(), RECIPE, Silent(), clock)
    assert course.points[0].step == 0
    assert course.points[0].train_loss is None
    assert course.points[-1].step == 8
    assert course.points[-1].tokens == 32 * 7
    assert [p.step for p in course.points if p.eval_loss is not None] == [0, 4, 8]


def test_without_an_eval_split_the_curve_has_train_losses_alone() -> None:
    course = tune([example()] * 8, [], FakeLearner(), RECIPE, Silent(), clock)
    assert [p.eval_loss for p in course.points] == [None, None]


def test_a_point_averages_the_loss_by_completion_token() -> None:
    rows = [example(completion=1)] * 40 + [example(completion=3)] * 40
    recipe = replace(RECIPE, batch_size=1)  # 80 steps: two to a point
    course = tune(rows, [], LengthLearner(), recipe, Silent(), clock)
    # A pair of both lengths gives (1 * 1 + 3 * 3) / 4, not (1 + 3) / 2.
    assert {p.train_loss for p in course.points} == {1.0, 2.5, 3.0}


def test_a_long_run_still_gives_a_curve_of_few_points() -> None:
    course = tune([example()] * 4000, [], FakeLearner(), RECIPE, Silent(), clock)
    assert 40 <= len(course.points) <= 45


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_the_step_and_the_setting(loss: float) -> None:
    with pytest.raises(DivergedError, match=r"step 3 of 8.*learning_rate.*0\.5") as caught:
        tune([example()] * 32, [], FakeLearner([1.0, 1.0, loss]), RECIPE, Silent(), clock)
    assert caught.value.code == "E_DIVERGED"


def test_progress_tells_speed_loss_and_time_left() -> None:
    told = Told()
    tune([example()] * 8, [], FakeLearner(), RECIPE, told, clock)
    assert told.last == (2, 2)
    assert told.notes[0] == "28 tok/s, loss 1.00, 1 s left"


def test_the_rates_that_the_learner_gets_follow_the_recipe() -> None:
    learner = FakeLearner()
    tune([example()] * 32, [], learner, RECIPE, Silent(), clock)
    assert learner.rates == [rate_at(step, 8, RECIPE) for step in range(1, 9)]


class ScriptedLearner(FakeLearner):
    """Has the eval losses that it is told."""

    def __init__(self, evals: Sequence[float], losses: Sequence[float] = ()) -> None:
        super().__init__(losses)
        self.evals = list(evals)
        self.restored = -1

    def loss(self, batch: Sequence[Example]) -> float:
        return self.evals.pop(0)


def test_the_run_goes_back_to_the_step_of_the_lowest_eval_loss() -> None:
    learner = ScriptedLearner([3.0, 1.0, 2.0])
    course = tune([example()] * 32, [example()], learner, RECIPE, Silent(), clock)
    assert (course.kept_step, course.steps, learner.restored) == (4, 8, 4)


def test_the_last_weights_stay_where_the_recipe_says_so() -> None:
    learner = ScriptedLearner([3.0, 1.0, 2.0])
    recipe = replace(RECIPE, keep_best=False)
    course = tune([example()] * 32, [example()], learner, recipe, Silent(), clock)
    assert (course.kept_step, learner.restored) == (8, -1)


def test_patience_ends_a_run_that_no_longer_gets_better() -> None:
    learner = ScriptedLearner([3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    recipe = replace(RECIPE, eval_points=9, patience=2)
    course = tune([example()] * 32, [example()], learner, recipe, Silent(), clock)
    assert (course.steps, course.kept_step) == (3, 1)


def test_a_loss_that_rises_and_rises_has_diverged() -> None:
    losses = [1.0] * 20 + [9.0] * 20
    with pytest.raises(DivergedError, match=r"risen from 1 to .*learning_rate"):
        tune([example()] * 160, [], FakeLearner(losses), RECIPE, Silent(), clock)


def test_one_bad_batch_is_no_divergence() -> None:
    losses = [1.0] * 20 + [9.0] + [1.0] * 19
    course = tune([example()] * 160, [], FakeLearner(losses), RECIPE, Silent(), clock)
    assert course.steps == 40
    assert [p.train_loss for p in course.points] == losses


def test_texts_are_joined_and_cut_into_pieces_that_predict_all_but_their_first_token() -> None:
    texts = [Row("1", text="abcdefghi"), Row("2", text="jk")]
    kept, _ = encode(texts, LetterTokenizer(), TuneSettings(objective="text", max_length=8))
    read = ["".join(map(chr, (*e.prompt, *e.completion))) for e in kept]
    assert read == ["abcdefgh", "i$jk$"]
    assert {len(e.prompt) for e in kept} == {1}


def test_every_piece_of_text_begins_as_the_model_wants_and_every_letter_is_predicted() -> None:
    texts = [Row("1", text="abcdefghi"), Row("2", text="jk")]
    kept, _ = encode(texts, OpeningTokenizer(), TuneSettings(objective="text", max_length=8))
    assert ["".join(map(chr, e.prompt)) for e in kept] == ["^", "^"]
    assert ["".join(map(chr, e.completion)) for e in kept] == ["abcdefg", "hi$jk$"]


def test_a_preference_has_both_answers_behind_one_prompt() -> None:
    found = encode_row(
        msgspec.structs.replace(row("ear"), rejected="eye"), LetterTokenizer(), paired=True
    )
    assert "".join(map(chr, found.completion)) == "ear$"
    assert "".join(map(chr, found.rejected)) == "eye$"
    assert found.tokens == 2 * (len(found.prompt) + 4)


@pytest.mark.parametrize(
    ("schedule", "last"), [("constant", 1.0), ("linear", 1 / 17), ("cosine", 0.0085)]
)
def test_the_learning_rate_follows_its_schedule(schedule: str, last: float) -> None:
    settings = TuneSettings(learning_rate=1.0, warmup=0.2, schedule=schedule)  # type: ignore[arg-type]
    assert rate_at(20, 20, settings) == pytest.approx(last, abs=1e-3)


RECIPE = TuneSettings(batch_size=4, learning_rate=0.5, eval_points=3)
