"""What a killed run leaves behind, and what the next one takes from it."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.judging import FakeJudge
from wherry.contracts import Message
from wherry.evaluate.memory import FileMemory, RememberingAnswerer
from wherry.evaluate.predictions import Answer
from wherry.progress import Silent


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    FileMemory(path, "me").keep("a", [(-1.5, True), (-2.25, False)])
    FileMemory(path, "me").keep("b", ["text"])
    found = FileMemory(path, "me")
    assert (found.recall("a"), found.recall("b")) == ([(-1.5, True), (-2.25, False)], ["text"])
    assert found.recall("c") is None


def test_a_line_that_a_kill_cut_short_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    first = FileMemory(path, "me")
    first.keep("a", ["one"])
    first.keep("b", ["two"])
    path.write_bytes(path.read_bytes()[:-4])
    again = FileMemory(path, "me")
    assert (again.recall("a"), again.recall("b")) == (["one"], None)
    again.keep("b", ["two"])
    assert FileMemory(path, "me").recall("b") == ["two"]


def test_answers_of_another_owner_are_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    FileMemory(path, "me").keep("a", ["one"])
    assert FileMemory(path, "you").recall("a") is None
    assert FileMemory(path, "me").recall("a") is None


def test_answers_are_for_their_owner_alone(tmp_path: Path) -> None:
    FileMemory(tmp_path / "memory", "me").keep("a", ["ann@example.org"])
    assert (tmp_path / "memory").stat().st_mode & 0o077 == 0


def test_two_answerers_share_a_memory_and_no_answer(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path / "memory", "me")
    for name in ("one", "other"):
        answerer = RememberingAnswerer(FakeJudge(lambda text, name=name: name), memory, name)
        assert answerer.answer(asked(1), (), Silent())[0].text == name


def test_it_is_remembered_which_answers_were_cut_off(tmp_path: Path) -> None:
    class Cut(FakeJudge):
        def _answer(self, text: str) -> Answer:
            return Answer("cut", (), cut=text == "prompt 1")

    for answerer in (Cut(), FakeJudge()):
        remembering = RememberingAnswerer(answerer, FileMemory(tmp_path / "memory", "me"))
        answers = remembering.answer(asked(2), (), Silent())
        assert [(each.text, each.cut) for each in answers] == [("cut", False), ("cut", True)]


def test_a_forgotten_memory_leaves_no_file(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path / "memory", "me")
    memory.forget()
    assert list(tmp_path.iterdir()) == []


def asked(count: int) -> list[tuple[Message, ...]]:
    return [(Message("user", f"prompt {n}"),) for n in range(count)]


def test_an_answerer_remembers_by_prompt_and_by_labels(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    first = FakeJudge(lambda text: text.upper(), lambda _: (0.5, 0.0))
    remembering = RememberingAnswerer(first, FileMemory(path, "me"))
    answers = remembering.answer(asked(70), ("Yes", "No"), Silent())
    assert answers[69].text == "PROMPT 69"
    assert answers[0].label_scores == (math.log(0.5), -math.inf)
    second = FakeJudge(prefers=lambda _: (0.5, 0.5))
    again = RememberingAnswerer(second, FileMemory(path, "me"))
    assert again.answer(asked(70), ("Yes", "No"), Silent()) == answers
    assert second.asked == []
    again.answer(asked(1), ("Yes",), Silent())
    assert second.asked == ["prompt 0"]


def test_a_run_that_was_cut_short_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "memory"

    class Dying(FakeJudge):
        def answer(self, prompts: Any, labels: Any, report: Any) -> Any:
            if self.asked:
                raise KeyboardInterrupt
            return super().answer(prompts, labels, report)

    with pytest.raises(KeyboardInterrupt):
        RememberingAnswerer(Dying(), FileMemory(path, "me")).answer(asked(70), (), Silent())
    after = FakeJudge()
    RememberingAnswerer(after, FileMemory(path, "me")).answer(asked(70), (), Silent())
    assert after.asked == [f"prompt {n}" for n in range(32, 70)]


class Undecided(FakeJudge):
    def _answer(self, text: str) -> Answer:
        return Answer(text, (math.nan, -0.5))


def test_a_score_that_is_no_number_stays_none(tmp_path: Path) -> None:
    odd = Undecided()
    remembering = RememberingAnswerer(odd, FileMemory(tmp_path / "memory", "me"))
    remembering.answer(asked(1), ("Yes", "No"), Silent())
    again = RememberingAnswerer(FakeJudge(), FileMemory(tmp_path / "memory", "me"))
    scores = again.answer(asked(1), ("Yes", "No"), Silent())[0].label_scores
    assert math.isnan(scores[0]) and scores[1] == -0.5
