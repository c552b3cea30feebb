"""Reads rows from JSON Lines: a whole block at once where it is canonical, else line by line."""

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from wherry.contracts import Row
from wherry.rows.batch import Bad, Batch
from wherry.rows.lines import TOO_LONG_LINE, Block
from wherry.rows.mapping import TOO_LONG, Mapper, Unfit

_ROW: Final = msgspec.json.Decoder(Row).decode
_ROWS: Final = msgspec.json.Decoder(Row).decode_lines
_ANY: Final = msgspec.json.Decoder(dict[str, Any]).decode
_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_MESSAGES: Final = attrgetter("messages")
_FIELDS: Final = ("id", "label", "group", "rejected", "text", "time", "model")
_TEXTS: Final = attrgetter(*_FIELDS)
_COLON: Final = ord(":")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_QUOTE: Final = ord('"')
_WHITE: Final = tuple(b" \t\r\n")
_NUL: Final = b"\\u0000"
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PLACE: Final = re.compile(r" \(byte \d+\)$")


def read_jsonl(blocks: Iterator[Block], mapper: Mapper) -> Iterator[Batch]:
    """Gives the rows of JSON Lines, a batch a block.

    Args:
        blocks: the file's lines.
        mapper: makes rows of records.
    """
    hopeful = mapper.plain
    for block in blocks:
        with _without_collector():
            known = _canonical(block, mapper) if hopeful else _unknown(block)
            batch = _batch(block, known, mapper)
        # Trying is wasted where no row of a whole block has our own form.
        hopeful = hopeful and (batch.canonical or not batch.rows or any(known))
        yield batch


def decoded(line: bytes) -> dict[str, Any]:
    """Gives the record that a line of JSON holds.

    Raises:
        Unfit: if it is no JSON object, holds a key twice, or a number that no machine has.
    """
    if line == TOO_LONG_LINE:
        raise Unfit(TOO_LONG)
    try:
        line.decode()
        values = _ANY(line)
        refuse_repeated_key(line, values)
    except _ERRORS as error:
        raise Unfit(_reason(line, error)) from None
    return values


def refuse_repeated_key(text: bytes, values: Any) -> None:
    """Looks whether an object of some JSON holds a key twice; msgspec would take the last.

    Args:
        text: the JSON.
        values: what it holds.

    Raises:
        Unfit: if one does.
        ValueError: on a number that no machine has.
    """
    if _may_repeat(text, _keys(values)):
        _EXACT(text.decode())


def _batch(block: Block, known: list[Row | None], mapper: Mapper) -> Batch:
    if all(known):  # a row is never false; `None in` would compare each
        rows = [row for row in known if row is not None]
        lines = list(range(block.first, block.first + len(rows)))
        return Batch(lines, rows, [], block.bytes_read, canonical=block.whole)
    lines, rows, bad, same = [], [], [], block.whole and mapper.plain
    for number, line, row in zip(count(block.first), block.lines, known, strict=False):
        try:
            found = row or mapper.row(decoded(line), len(line))
        except Unfit as error:
            bad.append(Bad(number, str(error)))
            continue
        lines.append(number)
        rows.append(found)
        same = same and (row is not None or _decoded_row(line) == found)
    return Batch(lines, rows, bad, block.bytes_read, canonical=same)


def _unknown(block: Block) -> list[Row | None]:
    return [None] * block.count


def _canonical(block: Block, mapper: Mapper) -> list[Row | None]:
    """Gives the row of each line that is in our own form without a doubt, else None."""
    certain = _all_certain(block)
    if certain and mapper.takes_all(certain):
        return [*certain]
    rows: list[Row | None] = [*certain] or [
        row if row is not None and _is_certain(line, [row]) else None
        for line, row in zip(block.lines, map(_decoded_row, block.lines), strict=True)
    ]
    return [row if row is not None and not mapper.fault(row) else None for row in rows]


def _all_certain(block: Block) -> list[Row]:
    """Gives all rows if each line is one in our own form, else none: no line is cut for it."""
    if block.text is None or not _is_object_a_line(block, block.text):
        return []
    try:
        rows = _ROWS(block.text)
    except _ERRORS:
        return []
    return rows if len(rows) == block.count and _is_certain(block.text, rows) else []


def _is_object_a_line(block: Block, text: bytes) -> bool:
    """Tells whether no object goes over a line's end; a line may still hold several.

    msgspec takes any white space between rows. But nowhere inside of JSON does a ``}`` stand
    before a ``{`` without a comma, and in no text a line feed.
    """
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return False
    letters = np.frombuffer(text, np.uint8)
    before, behind = letters[block.ends - 1], letters[1:][block.ends]
    return bool((before == _CLOSE).all() and (behind == _OPEN).all())


def _decoded_row(line: bytes) -> Row | None:
    try:
        return _ROW(line)
    except _ERRORS:
        return None


def _is_certain(text: bytes, rows: list[Row]) -> bool:
    """Tells whether lines are UTF-8 without NUL, have ids, and no key twice or of no use to us.

    msgspec takes the last of equal keys and looks at no field that it does not need. But there
    are at least as many ``":`` in JSON as keys, so if there are as many as rows have fields,
    then no key stands twice and none is unknown.
    """
    if (b"\\" in text and _NUL in text) or not _is_utf8(text):
        return False
    keys, loose = _colons(text)
    if loose:
        return False
    turns = sum(map(len, map(_MESSAGES, rows)))
    spoken = len(rows) - list(map(_MESSAGES, rows)).count(())
    texts = list(chain.from_iterable(map(_TEXTS, rows)))
    return keys == 2 * turns + spoken + len(texts) - texts.count("")


def _may_repeat(line: bytes, keys: int) -> bool:
    return _colons(line) != (keys, False)


def _colons(text: bytes) -> tuple[int, bool]:
    """Counts ``":`` and tells whether a colon stands behind white space, as a key's may."""
    letters = np.frombuffer(text, np.uint8)
    before = letters[np.flatnonzero(letters[1:] == _COLON)]
    return int(np.count_nonzero(before == _QUOTE)), bool(np.isin(before, _WHITE).any())


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _keys(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    found = sum(_keys(part) for part in inner if isinstance(part, dict | list))
    return found + len(value) if isinstance(value, dict) else found


def _no_key_twice(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Unfit("a key stands twice in one object")


_EXACT: Final = json.JSONDecoder(
    object_pairs_hook=_no_key_twice, parse_int=len, parse_float=len
).decode


def _reason(line: bytes, error: Exception) -> str:
    if isinstance(error, Unfit):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return "the line is not UTF-8"
    if isinstance(error, RecursionError):
        return "the line is nested too deep"
    if not line.strip():
        return "the line is blank"
    if _SURROGATE.search(line):
        return "the line holds half of a surrogate pair, or is no valid JSON"
    if isinstance(error, msgspec.ValidationError):
        told = str(error).partition(" - at")[0]
        return "the line is no JSON object" if "Expected" in told else "a number is out of range"
    told = _PLACE.sub("", str(error)).removeprefix("JSON is malformed: ")
    return f"the line is no valid JSON: {told}"


@contextmanager
def _without_collector() -> Iterator[None]:
    # Rows are in no cycle, yet Python would search each new one for cycles several times: half
    # of the time of decoding.
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
