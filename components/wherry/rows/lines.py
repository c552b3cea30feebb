"""Cuts a stream of bytes into lines with exact numbers, however long a line is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np

from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import FormatError
from wherry.rows.stream import BrokenError, Piece

TOO_LONG_LINE: Final = b"\n"
"""Stands for a line of more than `MAX_LINE_BYTES`; no line holds a line end."""
LONGEST: Final = MAX_LINE_BYTES - 1
"""Most bytes of a line without its line feed."""
_MOST_HELD: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"
_LINE_FEED: Final = ord("\n")

Places: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.intp]]"


@dataclass(frozen=True)
class Block:
    """Some successive lines."""

    first: int
    """The number of the first, counted from 1."""
    bytes_read: int
    """What was read from the disk for them."""
    text: bytes | None
    """The lines with line feeds between them, if they stand so in the file and none is too long.
    Cutting them costs half as much as decoding them: who can, takes the text."""
    cut: tuple[bytes, ...] = ()
    """The lines without their line feeds, if there is no text."""
    whole: bool = True
    """False if a byte order mark or blank lines at the file's end were left out."""

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self.cut) if self.text is None else len(self.ends) + 1

    @cached_property
    def ends(self) -> Places:
        """Where the line feeds of the text stand."""
        return np.flatnonzero(np.frombuffer(self.text or b"", np.uint8) == _LINE_FEED)

    @cached_property
    def lines(self) -> tuple[bytes, ...]:
        """The lines without their line feeds."""
        return self.cut if self.text is None else tuple(self.text.split(b"\n"))


def read_blocks(pieces: Iterator[Piece], name: str, most: int) -> Iterator[Block]:
    """Cuts pieces into blocks of lines; blank lines at the very end are left out.

    Args:
        pieces: of one file.
        name: the file's, for the message.
        most: the most lines of a block.

    Raises:
        FormatError: naming the file, the line that was reached and what is wrong there.
    """
    reached = 1
    try:
        for block in _without_blank_end(_all_blocks(pieces)):
            yield from _at_most(block, most)
            reached = block.first + block.count
    except BrokenError as error:
        raise FormatError(
            f"{name!r} cannot be read from line {reached:,} on: {error}.",
            remedy="Restore the file or export it again.",
        ) from None


def _at_most(block: Block, most: int) -> Iterator[Block]:
    if block.count <= most:
        yield block
        return
    for start in range(0, block.count, most):
        yield replace(
            block,
            first=block.first + start,
            bytes_read=0 if start else block.bytes_read,
            text=None if block.text is None else _lines_from(block, start, most),
            cut=block.cut[start : start + most],
        )


def _lines_from(block: Block, start: int, most: int) -> bytes:
    text = block.text or b""
    places = block.ends[max(start - 1, 0) : start + most]
    begin = places[0] + 1 if start else 0
    return text[begin : places[-1] if start + most < block.count else len(text)]


def _all_blocks(pieces: Iterator[Piece]) -> Iterator[Block]:
    number, rest, skipping, marked = 1, b"", False, False
    for place, piece in enumerate(pieces):
        data = piece.data
        if marked := not place and data.startswith(_BOM):
            data = data[len(_BOM) :]
        if skipping:
            _, found, data = data.partition(b"\n")
            skipping = not found
        head, found, rest = (rest + data).rpartition(b"\n")
        block = _of_text(number, head, piece.size) if found else Block(number, piece.size, None)
        if len(rest) > LONGEST:
            block = replace(block, text=None, cut=(*block.lines, TOO_LONG_LINE))
            rest, skipping = b"", True
        yield replace(block, whole=False) if marked else block
        number += block.count
    if rest:
        yield Block(number, 0, None, (rest,))


def _of_text(first: int, text: bytes, bytes_read: int) -> Block:
    block = Block(first, bytes_read, text)
    if np.diff(block.ends, prepend=-1, append=len(text)).max() <= LONGEST + 1:
        return block
    cut = (line if len(line) <= LONGEST else TOO_LONG_LINE for line in block.lines)
    return Block(first, bytes_read, None, tuple(cut))


def _without_blank_end(blocks: Iterator[Block]) -> Iterator[Block]:
    held: tuple[bytes, ...] = ()
    for block in blocks:
        if not held and block.text is not None and block.text[-1:].strip():
            yield block  # nearly all: the last line is not blank, so none need be looked at
            continue
        first, lines = block.first - len(held), held + block.lines
        end = len(lines) if len(held) > _MOST_HELD else _blank_from(lines)
        held = lines[end:]
        yield replace(block, first=first, text=None, cut=lines[:end])
    if held:
        yield Block(0, 0, None, whole=False)


def _blank_from(lines: tuple[bytes, ...]) -> int:
    end = len(lines)
    while end and lines[end - 1] != TOO_LONG_LINE and not lines[end - 1].strip():
        end -= 1
    return end
