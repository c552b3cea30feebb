"""What a reader gives: rows with their lines, and the lines that were no rows."""

from dataclasses import dataclass

from wherry.contracts import Row


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that is no row of the kind that was asked for."""

    line: int
    """Where the row starts, counted from 1; the row's number in Parquet."""
    reason: str
    """Names fields and types, never a text of the data. There are few distinct reasons, so that
    they can be counted."""


@dataclass(frozen=True)
class Batch:
    """Some successive rows of a file."""

    lines: list[int]
    """The line of each row, as long as `rows`."""
    rows: list[Row]
    bad: list[Bad]
    """The lines among them that are no rows, in their order."""
    bytes_read: int
    """What this batch took from the file, in bytes as they lie on disk. Over all batches of a
    file that was read to its end, at most its size."""
    canonical: bool = False
    """True if each of these rows stands in the file in Wherry's own form, and nothing else but
    bad lines does: without the bad lines the file can be kept as it is."""
