"""A killed evaluation goes on where it was and ends with the same predictions."""

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from wherry.contracts import Digest, Message, Row, digest_bytes
from wherry.evaluate.journal import FileJournal, NoJournal, open_journal
from wherry.evaluate.measures.choice import choose
from wherry.evaluate.predictions import Prediction, lines_of
from wherry.evaluate.step import Answer, Exam, Model, examine
from wherry.progress import Report, Silent

RUN = digest_bytes(b"run")


def _made(count: int) -> list[Prediction]:
    return [Prediction(f"r{n}", "", f"answer {n}\n", "", False) for n in range(count)]


def _kept(folder: Path, run: Digest = RUN) -> list[str]:
    with open_journal(folder, run) as journal:
        return [made.id for made in journal.kept]


def _file(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path


def test_what_was_kept_is_there_the_next_time(tmp_path: Path) -> None:
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(_made(2))
        journal.keep(_made(1))
    with open_journal(tmp_path, RUN) as journal:
        assert list(journal.kept) == _made(2) + _made(1)


def test_another_evaluation_finds_nothing(tmp_path: Path) -> None:
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(_made(2))
    assert _kept(tmp_path, digest_bytes(b"other")) == []


@pytest.mark.parametrize("torn", [1, 5, 60])
def test_a_line_that_a_kill_tore_is_cut_off_and_written_again(tmp_path: Path, torn: int) -> None:
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(_made(3))
    data = _file(tmp_path).read_bytes()
    _file(tmp_path).write_bytes(data[:-torn])
    assert _kept(tmp_path) == ["r0", "r1"]
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(_made(3)[2:])
    assert _file(tmp_path).read_bytes() == data


def test_nothing_after_a_line_that_is_none_counts(tmp_path: Path) -> None:
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(_made(3))
    lines = _file(tmp_path).read_bytes().splitlines(keepends=True)
    _file(tmp_path).write_bytes(lines[0] + b"\xff\x00{\n" + lines[2])
    assert _kept(tmp_path) == ["r0"]


def test_once_published_it_is_gone(tmp_path: Path) -> None:
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(_made(1))
        journal.clear()
    assert list(tmp_path.glob("*.jsonl")) == []


def test_two_processes_that_ask_the_same_do_not_write_into_one_file(tmp_path: Path) -> None:
    with open_journal(tmp_path, RUN) as first, open_journal(tmp_path, RUN) as second:
        assert isinstance(first, FileJournal)
        assert isinstance(second, NoJournal)
        first.keep(_made(1))
        second.keep(_made(2))
        second.clear()
    assert _kept(tmp_path) == ["r0"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_where_nothing_can_be_written_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with open_journal(tmp_path / "answers", RUN) as journal:
        assert isinstance(journal, NoJournal)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_nothing_can_be_locked_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As on a share without a lock server, or a bucket that is mounted."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with open_journal(tmp_path / "answers", RUN) as journal:
        assert isinstance(journal, NoJournal)


def test_a_full_disk_is_no_reason_to_go_on_unkept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="No space"), open_journal(tmp_path / "answers", RUN):
        pass


def test_answers_are_for_their_owner_alone(tmp_path: Path) -> None:
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(_made(1))
    assert _file(tmp_path).stat().st_mode & 0o077 == 0


class Dying:
    """Answers with what stands beside each prompt in its call, and dies when told to."""

    engine = "dying"
    template_digest = digest_bytes(b"")

    def __init__(self, calls: int = 1000) -> None:
        self._left = calls
        self.asked = 0

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        self.asked += len(prompts)
        report.progress(len(prompts), len(prompts))
        # Like a batch: each answer hangs on the company that it was asked in.
        beside = "+".join(prompt[0].content for prompt in prompts)
        return [Answer(f"{prompt[0].content} of {beside}", ()) for prompt in prompts]


def _exam(count: int) -> Exam:
    rows = [
        Row(f"r{n}", (Message("user", str(n)), Message("assistant", "yes"))) for n in range(count)
    ]
    return Exam(rows, (), choose(("accuracy",), (), {}, "chat"))


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_a_killed_run_ends_with_the_predictions_of_one_that_was_not(
    tmp_path: Path, calls: int
) -> None:
    exam = _exam(10)
    whole = examine(exam, Model(Dying()), NoJournal(), 3, Silent())
    with open_journal(tmp_path, RUN) as journal, pytest.raises(KeyboardInterrupt):
        examine(exam, Model(Dying(calls)), journal, 3, Silent())
    again = Dying()
    with open_journal(tmp_path, RUN) as journal:
        found = examine(exam, Model(again), journal, 3, Silent())
        assert lines_of(found) == lines_of(whole)
        assert again.asked == 10 - 3 * calls
    assert _kept(tmp_path) == [f"r{n}" for n in range(10)]


def test_a_part_that_is_not_whole_is_asked_again_as_a_whole(tmp_path: Path) -> None:
    exam = _exam(7)
    whole = examine(exam, Model(Dying()), NoJournal(), 3, Silent())
    with open_journal(tmp_path, RUN) as journal:
        journal.keep(whole[:5])
    again = Dying()
    with open_journal(tmp_path, RUN) as journal:
        assert examine(exam, Model(again), journal, 3, Silent()) == whole
    assert again.asked == 4


def test_rows_that_are_others_by_now_are_asked_anew(tmp_path: Path) -> None:
    with open_journal(tmp_path, RUN) as journal:
        journal.keep([Prediction("x0", "", "", "", False)] * 3)
    again = Dying()
    with open_journal(tmp_path, RUN) as journal:
        examine(_exam(3), Model(again), journal, 3, Silent())
    assert again.asked == 3


def test_progress_counts_what_was_kept() -> None:
    told: list[tuple[float, float]] = []

    class Heard(Silent):
        def progress(self, done: float, total: float, note: str = "") -> None:
            told.append((done, total))

    examine(_exam(7), Model(Dying()), NoJournal(), 3, Heard())
    assert told == [(3, 7), (6, 7), (7, 7)]
