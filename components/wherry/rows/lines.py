"""Cuts a stream of bytes into lines with exact numbers, however long a line is."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import FormatError
from wherry.rows.stream import BrokenError, Piece

TOO_LONG_LINE: Final = b"\n"
"""Stands for a line of more than `MAX_LINE_BYTES`; no line holds a line end."""
LONGEST: Final = MAX_LINE_BYTES - 1
"""Most bytes of a line without its line feed."""
_MOST_HELD: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Some successive lines."""

    first: int
    """The number of the first, counted from 1."""
    lines: list[bytes]
    """Without their line feeds."""
    bytes_read: int
    """What was read from the disk for them."""
    whole: bool = True
    """False if a byte order mark or blank lines at the file's end were left out."""


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
            for start in range(0, len(block.lines) or 1, most):
                lines = block.lines[start : start + most]
                size = 0 if start else block.bytes_read
                yield Block(block.first + start, lines, size, block.whole)
            reached = block.first + len(block.lines)
    except BrokenError as error:
        raise FormatError(
            f"{name!r} cannot be read from line {reached:,} on: {error}.",
            remedy="Restore the file or export it again.",
        ) from None


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
        lines = _short(head.split(b"\n")) if found else []
        if len(rest) > LONGEST:
            lines.append(TOO_LONG_LINE)
            rest, skipping = b"", True
        yield Block(number, lines, piece.size, whole=not marked)
        number += len(lines)
    if rest:
        yield Block(number, [rest], 0)


def _short(lines: list[bytes]) -> list[bytes]:
    if max(map(len, lines)) <= LONGEST:
        return lines
    return [line if len(line) <= LONGEST else TOO_LONG_LINE for line in lines]


def _without_blank_end(blocks: Iterator[Block]) -> Iterator[Block]:
    held: list[bytes] = []
    for block in blocks:
        first, lines = block.first - len(held), held + block.lines
        end = len(lines) if len(held) > _MOST_HELD else _blank_from(lines)
        held = lines[end:]
        yield block._replace(first=first, lines=lines[:end])
    if held:
        yield Block(0, [], 0, whole=False)


def _blank_from(lines: list[bytes]) -> int:
    end = len(lines)
    while end and lines[end - 1] != TOO_LONG_LINE and not lines[end - 1].strip():
        end -= 1
    return end
