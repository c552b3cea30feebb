"""Gathers the records of a table into batches of rows."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from wherry.contracts import Row
from wherry.rows.batch import Bad, Batch
from wherry.rows.mapping import Mapper, Unfit

_MOST_BYTES: Final = 4 << 20


class Record(NamedTuple):
    """One record of a table."""

    line: int
    size: int
    """In bytes."""
    values: dict[str, Any]
    fault: str = ""
    """Why its values could not be read, or empty."""


def gathered(
    records: Iterator[Record], mapper: Mapper, most: int, bytes_read: Callable[[int], int]
) -> Iterator[Batch]:
    """Makes batches of at most `most` rows, fewer where rows are long.

    Args:
        records: in the file's order.
        mapper: makes a row of each.
        most: the most lines of a batch.
        bytes_read: told how many records a batch holds, says what they took from the disk.
    """
    lines: list[int] = []
    rows: list[Row] = []
    bad: list[Bad] = []
    size = 0
    for record in records:
        try:
            if record.fault:
                raise Unfit(record.fault)
            rows.append(mapper.row(record.values, record.size))
            lines.append(record.line)
        except Unfit as error:
            bad.append(Bad(record.line, str(error)))
        size += record.size
        if len(rows) + len(bad) == most or size > _MOST_BYTES:
            yield Batch(lines, rows, bad, bytes_read(len(rows) + len(bad)))
            lines, rows, bad, size = [], [], [], 0
    if rows or bad:
        yield Batch(lines, rows, bad, bytes_read(len(rows) + len(bad)))
