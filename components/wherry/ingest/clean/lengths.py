"""Leaves out or shortens rows that are too long."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from wherry.contracts import Cleaned, Row
from wherry.contracts.dataset import Message
from wherry.ingest.clean.steps import Rows, Tally


class Measure(Protocol):
    """What a length is counted in."""

    unit: str
    """In the plural."""

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Gives the length of each text."""

    def cut(self, text: str, most: int) -> str:
        """Gives the longest beginning of a text that is no longer than `most`."""


class Characters:
    """Counts characters."""

    unit = "characters"

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Gives the number of characters of each text."""
        return [len(text) for text in texts]

    def cut(self, text: str, most: int) -> str:
        """Gives the first characters."""
        return text[:most]


class DropTooLong:
    """The step that leaves out rows that are too long.

    Args:
        name: the step's.
        most: the length of the longest row that stays.
        measure: what counts it.
    """

    def __init__(self, name: str, most: int, measure: Measure) -> None:
        self._tally = Tally(name)
        self._most = most
        self._measure = measure

    def __call__(self, rows: Rows) -> Rows:
        """Gives the rows that are short enough."""
        for split, part in rows:
            sizes = lengths(part, self._measure)
            kept = [row for row, own in zip(part, sizes, strict=True) if length(own) <= self._most]
            self._tally.rows += len(part)
            self._tally.dropped += len(part) - len(kept)
            yield split, kept

    def cleaned(self) -> Cleaned:
        """Says how many rows it left out."""
        if self._tally.dropped:
            self._tally.told[f"of more than {self._most:,} {self._measure.unit}"] = (
                self._tally.dropped
            )
        return self._tally.cleaned()


class Truncate:
    """The step that shortens rows that are too long, never an answer.

    Args:
        name: the step's.
        most: the length of the longest row that stays as it is.
        measure: what counts it.
    """

    def __init__(self, name: str, most: int, measure: Measure) -> None:
        self._tally = Tally(name)
        self._most = most
        self._measure = measure

    def __call__(self, rows: Rows) -> Rows:
        """Gives the rows, the long ones shortened."""
        for split, part in rows:
            sizes = lengths(part, self._measure)
            short = [self._short(row, own) for row, own in zip(part, sizes, strict=True)]
            self._tally.rows += len(part)
            yield split, [row for row in short if row is not None]

    def cleaned(self) -> Cleaned:
        """Says how many rows it shortened, how, and how many it left out."""
        return self._tally.cleaned()

    def _short(self, row: Row, sizes: list[int]) -> Row | None:
        if length(sizes) <= self._most:
            return row
        found = self._text(row) if row.text else self._conversation(row, sizes)
        if found is None:
            self._tally.dropped += 1
            self._tally.told["left out, the answer alone being too long"] += 1
        else:
            self._tally.changed += 1
        return found

    def _text(self, row: Row) -> Row:
        self._tally.told["texts cut"] += 1
        return msgspec.structs.replace(row, text=self._measure.cut(row.text, self._most))

    def _conversation(self, row: Row, sizes: list[int]) -> Row | None:
        first = int(row.messages[0].role == "system")
        over = length(sizes) - self._most
        gone = 0
        while over > 0 and len(row.messages) - first - gone > 2:
            over -= sum(sizes[first + gone : first + gone + 2])
            gone += 2
        messages = row.messages[:first] + row.messages[first + gone :]
        if over <= 0:
            self._tally.told["conversations begun later"] += 1
            return msgspec.structs.replace(row, messages=messages)
        return self._question(row, messages, sizes[len(row.messages) - 2] - over)

    def _question(self, row: Row, messages: tuple[Message, ...], most: int) -> Row | None:
        if most < 1:
            return None
        content = self._measure.cut(messages[-2].content, most)
        if not content.strip():
            return None
        self._tally.told["questions cut"] += 1
        asked = Message(messages[-2].role, content)
        return msgspec.structs.replace(row, messages=(*messages[:-2], asked, messages[-1]))


def lengths(rows: Sequence[Row], measure: Measure) -> list[list[int]]:
    """Gives the lengths of each row's texts: its turns or its text, then the rejected answer."""
    texts = [_texts(row) for row in rows]
    flat = iter(measure.lengths([text for own in texts for text in own]))
    return [[next(flat) for _ in own] for own in texts]


def length(sizes: list[int]) -> int:
    """Gives a row's length from those that `lengths` gives; of two answers the longer counts."""
    *before, answer, rejected = sizes
    return sum(before) + max(answer, rejected)


def _texts(row: Row) -> list[str]:
    return [*([m.content for m in row.messages] or [row.text]), row.rejected]
