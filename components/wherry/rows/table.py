"""Reads rows from CSV and TSV: a header, quoted fields that may span lines, exact line numbers."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import FormatError
from wherry.rows.batch import Batch
from wherry.rows.jsonl import refuse_repeated_key
from wherry.rows.lines import TOO_LONG_LINE, Block
from wherry.rows.mapping import TOO_LONG, Mapper, Unfit
from wherry.rows.records import Record, gathered

_LIST: Final = msgspec.json.Decoder(list[Any]).decode
_TOO_LONG_TEXT: Final = TOO_LONG_LINE.decode() + "\n"
_QUOTES: Final = "the quotes of a field are not closed as they should be"
_MOST_COLUMNS: Final = 4096
_FREE: Final = 8 << 20
_MOST_AGAIN: Final = 4
"""Bytes that may be read a second time for each byte of the file, after quotes left open."""


class _Line(NamedTuple):
    number: int
    text: str
    size: int


def read_table(
    blocks: Iterator[Block], mapper: Mapper, name: str, delimiter: str, most: int
) -> Iterator[Batch]:
    """Gives the rows of a table with a header.

    A quote that is left open would swallow the lines up to the next quote. So a record whose
    quoting is broken is a bad line, and reading goes on at the line after its first.

    Args:
        blocks: the file's lines.
        mapper: makes rows of records.
        name: the file's, for messages.
        delimiter: between fields.
        most: the most lines of a batch.

    Raises:
        FormatError: if the header is missing, names a column twice or lacks a mapped one, or if
            quotes are left open all over the file.
    """
    source = _Source(blocks)
    parsed = _parsed(source, name, delimiter)
    header = _header(next(parsed, None), mapper, name, delimiter)
    records = (_record(found, header, mapper) for found in parsed)
    yield from gathered(records, mapper, most, lambda _: source.taken())


class _Parsed(NamedTuple):
    """What stands between two ends of records."""

    line: int
    size: int
    fields: list[str]
    fault: str = ""


@dataclass
class _Source:
    """The lines of a file, and those among them that are to be read once more."""

    blocks: Iterator[Block]
    again: deque[_Line] = field(default_factory=deque)
    seen: int = 0
    """In bytes of text."""
    repeated: int = 0
    """In bytes of text."""
    bytes_read: int = 0
    """From the disk, since it was last asked."""

    def __post_init__(self) -> None:
        self._fresh = self._read()

    def take(self) -> _Line | None:
        """Gives the next line, or None at the end."""
        return self.again.popleft() if self.again else next(self._fresh, None)

    def taken(self) -> int:
        """Gives what was read from the disk since it was last asked, in bytes."""
        found, self.bytes_read = self.bytes_read, 0
        return found

    def give_back(self, lines: list[_Line]) -> bool:
        """Has lines read again; tells whether that is still in proportion."""
        self.again.extendleft(reversed(lines))
        self.repeated += sum(line.size for line in lines)
        return self.repeated <= _FREE + _MOST_AGAIN * self.seen

    def _read(self) -> Iterator[_Line]:
        for block in self.blocks:
            self.bytes_read += block.bytes_read
            for number, line in enumerate(block.lines, block.first):
                self.seen += len(line)
                # Bytes that are no UTF-8 are kept as lone surrogates until their record is whole.
                yield _Line(number, line.decode(errors="surrogateescape") + "\n", len(line) + 1)


def _parsed(source: _Source, name: str, delimiter: str) -> Iterator[_Parsed]:
    taken: list[_Line] = []
    reader = _reader(source, taken, delimiter)
    while True:
        taken.clear()
        try:
            fields = next(reader, None)
        except (csv.Error, Unfit) as error:
            fault = str(error) if isinstance(error, Unfit) else _QUOTES
            yield _Parsed(taken[0].number, taken[0].size, [], fault)
            _read_again(source, taken, name)
            reader = _reader(source, taken, delimiter)
            continue
        if fields is None:
            return
        yield _Parsed(taken[0].number, sum(line.size for line in taken), fields)


def _read_again(source: _Source, taken: list[_Line], name: str) -> None:
    if not source.give_back(taken[1:]):
        raise FormatError(
            f"{name!r} has quotes left open all over, up to line {taken[0].number:,}.",
            remedy="Export it again with quotes doubled inside quoted fields.",
        )


def _reader(source: _Source, taken: list[_Line], delimiter: str) -> Iterator[list[str]]:
    # The limit is one for the whole process: it is raised here, never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    return csv.reader(_fed(source, taken), delimiter=delimiter, strict=True)


def _fed(source: _Source, taken: list[_Line]) -> Iterator[str]:
    size = 0
    while line := source.take():
        size = line.size + (size if taken else 0)
        taken.append(line)
        if size > MAX_LINE_BYTES or line.text == _TOO_LONG_TEXT:
            raise Unfit(TOO_LONG)
        yield line.text


def _record(found: _Parsed, header: list[str], mapper: Mapper) -> Record:
    try:
        return Record(found.line, found.size, _values(found, header, mapper))
    except Unfit as error:
        return Record(found.line, found.size, {}, str(error))


def _values(found: _Parsed, header: list[str], mapper: Mapper) -> dict[str, Any]:
    if found.fault:
        raise Unfit(found.fault)
    if not found.fields:
        raise Unfit("the line is blank")
    if len(found.fields) != len(header):
        word = "more" if len(found.fields) > len(header) else "fewer"
        raise Unfit(f"the record has {word} fields than the header")
    if not all(map(_is_whole, found.fields)):
        raise Unfit("the record is not UTF-8")
    values: dict[str, Any] = dict(zip(header, found.fields, strict=True))
    path = mapper.columns.paths["messages"]
    if path in values:
        values[path] = _list(values[path], path)
    return values


def _is_whole(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _list(text: str, path: str) -> list[Any] | None:
    if not text:
        return None
    try:
        turns = _LIST(text)
        refuse_repeated_key(text.encode(), turns)
    except Unfit as error:
        raise Unfit(f"in `{path}` {error}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unfit(f"`{path}` must be a JSON list of turns") from None
    return turns


def _other_delimiter(names: list[str], mapper: Mapper, delimiter: str) -> str:
    """Gives what parts the columns if it is not what it should be, as some spreadsheets have it."""
    if len(names) != 1 or names[0] in mapper.columns.paths.values():
        return ""
    return next((sign for sign in ";\t|," if sign != delimiter and sign in names[0]), "")


def _header(found: _Parsed | None, mapper: Mapper, name: str, delimiter: str) -> list[str]:
    names = found.fields if found else []
    named = list(filter(None, names))  # spreadsheets leave columns without a name
    other = _other_delimiter(names, mapper, delimiter)
    missing = [path for path in mapper.columns.mapped if path not in names]
    if not named:
        fault = "has no header"
    elif len(names) > _MOST_COLUMNS:
        fault = f"has {len(names):,} columns, expected at most {_MOST_COLUMNS:,}"
    elif len(set(named)) < len(named):
        fault = "has a header that names a column twice"
    elif other:
        fault = f"has a header of one column with {other!r} in it, expected {delimiter!r} between"
    elif missing:
        # What is there is not told: where a header is missing, it is data.
        fault = f"has a header without {', '.join(map(repr, missing))}"
    else:
        return names
    raise FormatError(
        f"{name!r} {fault}.",
        remedy=f"Export it again with {delimiter!r} between the columns."
        if other
        else "Name the columns in its first line, and in the settings.",
    )
