"""Rows are divided by their group alone: no leak, no row that moves."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.contracts import Message, Row
from wherry.ingest.clean.splits import divided, group_of
from wherry.ingest.settings import SplitBy

SHARES = st.tuples(st.floats(0, 0.45), st.floats(0.01, 0.45), st.integers(0, 9)).map(
    lambda drawn: SplitBy(eval=drawn[0], test=drawn[1], seed=drawn[2])
)


def ask(question: str, group: str = "", number: int = 0) -> Row:
    turns = (Message("system", f"{number}"), Message("user", question), Message("assistant", "a"))
    return Row(f"{number}", turns, group=group)


def splits(rows: list[Row], shares: SplitBy) -> dict[str, str]:
    """Row → split."""
    return {row.id: split for split, part in divided(rows, shares) for row in part}


ROWS = st.lists(st.tuples(st.text(max_size=3), st.text("ab ", max_size=3)), max_size=60).map(
    lambda drawn: [ask(question, group, n) for n, (question, group) in enumerate(drawn)]
)


@given(ROWS, SHARES)
def test_no_group_stands_in_two_splits(rows: list[Row], settings: SplitBy) -> None:
    found = splits(rows, settings)
    assert len(found) == len(rows)
    by_group: dict[str, set[str]] = {}
    for row in rows:
        by_group.setdefault(group_of(row), set()).add(found[row.id])
    assert all(len(names) == 1 for names in by_group.values())


@given(ROWS, ROWS, SHARES)
def test_more_rows_move_none_of_the_old_ones(
    old: list[Row], new: list[Row], settings: SplitBy
) -> None:
    more = [Row(f"new {row.id}", row.messages, group=row.group) for row in new]
    together = splits(more + old, settings)
    assert {row.id: together[row.id] for row in old} == splits(old, settings)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.02, 0.4), st.floats(0.02, 0.4), st.integers(0, 50))
def test_splits_are_about_as_large_as_asked(eval_: float, test: float, seed: int) -> None:
    shares = SplitBy(eval=eval_, test=test, seed=seed)
    rows = [ask("", f"g{number}", number) for number in range(3000)]
    found = list(splits(rows, shares).values())
    for name, share in (("eval", eval_), ("test", test), ("train", 1 - eval_ - test)):
        # Five standard deviations of a share of 3,000 draws.
        assert abs(found.count(name) / 3000 - share) < 5 * (share * (1 - share) / 3000) ** 0.5


@given(st.text(min_size=1, max_size=20), SHARES)
def test_copies_without_a_group_stay_together(question: str, settings: SplitBy) -> None:
    copies = [question, question.upper().lower(), f"  {question}\t", f"{question}\x07"]
    same = {group_of(ask(copy)) for copy in copies if copy.casefold() == question.casefold()}
    assert group_of(ask(f" {question}  ")) in {group_of(ask(question))} | same
    found = splits([ask(question, number=1), ask(f" {question}\x07 ", number=2)], settings)
    assert found["1"] == found["2"]


def test_the_order_of_rows_does_not_count() -> None:
    rows = [ask(f"question {number % 70}", number=number) for number in range(200)]
    shuffled = random.Random(0).sample(rows, len(rows))
    assert splits(rows, SplitBy()) == splits(shuffled, SplitBy())


def test_another_seed_gives_another_division() -> None:
    rows = [ask("", f"g{number}", number) for number in range(200)]
    assert splits(rows, SplitBy(seed=1)) != splits(rows, SplitBy(seed=2))


def test_a_group_and_a_prompt_of_the_same_words_are_not_confused() -> None:
    assert group_of(ask("x", group="y")) != group_of(ask("y"))


def test_a_padded_group_is_the_same_and_a_blank_one_none() -> None:
    assert group_of(ask("x", group="17 ")) == group_of(ask("y", group="17"))
    assert group_of(ask("x", group="  ")) == group_of(ask("x"))


def test_the_division_is_the_same_for_ever() -> None:
    """A change here would move rows between the splits of teams that add rows every week."""
    rows = [ask("", f"g{number}", number) for number in range(30)]
    found = splits(rows, SplitBy(eval=0.2, test=0.2))
    assert [n for n in found if found[n] == "test"] == ["2", "6", "16", "18", "23", "24", "26"]
    assert [n for n in found if found[n] == "eval"] == ["3", "4", "9", "17", "28"]
