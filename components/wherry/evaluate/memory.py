"""Remembers what a model answered, so that a killed run goes on where it was."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from wherry.contracts import Digest, Message, digest_bytes
from wherry.contracts.files import write_atomic
from wherry.evaluate.predictions import Answer
from wherry.evaluate.step import Answerer
from wherry.progress import Report, Silent

Answers = list[tuple[float, bool] | str]
"""To a batch of requests: each one's log-probability and whether it is greedy, or its text."""
_Line = tuple[str, Answers]
_CUT: Final = "cut"
_BATCH: Final = 32
"""Prompts that are answered, and remembered, together."""


class Memory(Protocol):
    """Keeps what a model answered."""

    def recall(self, key: str) -> Answers | None:
        """Gives what was kept under a key, or None."""

    def keep(self, key: str, answers: Answers) -> None:
        """Keeps answers under a key."""


class FileMemory:
    """Implements `Memory` as a file of one JSON array a line, one write a line.

    Args:
        path: the file; what another model or another setting left there is thrown away.
        owner: whose answers these are, such as a digest over model and settings.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._kept = dict(_lines(path, owner))
        # A line that a kill cut short is left behind: the file is written anew without it.
        kept = [msgspec.json.encode(pair) + b"\n" for pair in self._kept.items()]
        write_atomic(path, b"".join([msgspec.json.encode([owner]) + b"\n", *kept]))
        # As answers come they may hold personal data: they are for their owner alone.
        path.chmod(0o600)

    def recall(self, key: str) -> Answers | None:
        """Gives what was kept under a key, or None."""
        return self._kept.get(key)

    def keep(self, key: str, answers: Answers) -> None:
        """Keeps answers under a key."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode([key, answers]) + b"\n")
            file.flush()

    def forget(self) -> None:
        """Removes the file, once the answers have become scores."""
        self._path.unlink(missing_ok=True)


class RememberingAnswerer:
    """An `Answerer` that remembers its answers, batch by batch.

    What an engine says of one prompt may hang on the others by rounding: batches are the same in
    a run that was killed and went on.

    Args:
        answerer: who answers.
        memory: where its answers are kept.
        who: tells it from others who keep theirs in the same memory.
    """

    def __init__(self, answerer: Answerer, memory: Memory, who: str = "") -> None:
        self._answerer = answerer
        self._memory = memory
        self._who = who

    @property
    def engine(self) -> str:
        """What runs the model."""
        return self._answerer.engine

    @property
    def template_digest(self) -> Digest:
        """Of the chat template that it renders with."""
        return self._answerer.template_digest

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        """Answers every prompt; see `wherry.evaluate.step.Answerer`."""
        found: list[Answer] = []
        for start in range(0, len(prompts), _BATCH):
            found += self._batch(prompts[start : start + _BATCH], labels)
            report.progress(len(found), len(prompts), "prompts answered")
        return found

    def _batch(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str]
    ) -> Iterable[Answer]:
        key = digest_bytes(msgspec.json.encode([self._who, prompts, labels]))
        known = self._memory.recall(key)
        if known is None:
            known = [_written(each) for each in self._answerer.answer(prompts, labels, Silent())]
            self._memory.keep(key, known)
        return map(_read, map(str, known))


def _written(answer: Answer) -> str:
    # JSON has no infinity, and a label may have it: scores are kept as Python writes them.
    cut = _CUT if answer.cut else ""
    return msgspec.json.encode([answer.text, cut, *map(repr, answer.label_scores)]).decode()


def _read(line: str) -> Answer:
    text, cut, *scores = msgspec.json.decode(line, type=list[str])
    return Answer(text, tuple(map(float, scores)), cut == _CUT)


def memory_beside(output: Path, owner: str) -> FileMemory:
    """Gives the memory of a run, which lies beside one of its outputs until that is there.

    Args:
        output: what the run writes at its end.
        owner: whose answers they are, such as a digest of the model and how it is asked.
    """
    return FileMemory(output.with_name(f".{output.name}.memory"), owner)


def _lines(path: Path, owner: str) -> Iterable[_Line]:
    """Gives the whole lines of a journal, if it is this owner's."""
    first, *rest = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    if first != msgspec.json.encode([owner]):
        return
    for line in rest:
        try:
            yield msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            return
