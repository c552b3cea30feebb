"""Reads rows from Parquet with DuckDB, a few at a time; its bytes are trusted for nothing."""

import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import ExtraMissingError, FormatError
from wherry.rows.batch import Batch
from wherry.rows.mapping import TOO_LONG, Mapper
from wherry.rows.records import Record, gathered

try:
    import duckdb
except ModuleNotFoundError as error:
    raise ExtraMissingError(
        f"Reading Parquet needs {error.name}, which is not installed.",
        remedy='Run: pip install "wherry[ingest]"',
    ) from error

_FETCHED: Final = 256
"""Rows taken from DuckDB at once: each can take `MAX_LINE_BYTES`."""
_SOURCE: Final = "read_parquet(?, hive_partitioning=false)"
_ERRORS: Final = (duckdb.Error, RuntimeError, ValueError, MemoryError)
_MEMORY: Final = "1GB"
"""DuckDB holds 2,048 rows of a row group at a time, twice where they are nested."""
_MAGIC: Final = b"PAR1"
_ZONED: Final = "TIMESTAMP WITH TIME ZONE"


def read_parquet(file: BinaryIO, name: str, mapper: Mapper, most: int) -> Iterator[Batch]:
    """Gives the rows of a Parquet file; their lines are their numbers.

    Args:
        file: the open file.
        name: its name, for messages.
        mapper: makes rows of records; columns that it needs not are not read.
        most: the most rows of a batch.

    Raises:
        FormatError: if it is damaged, or lacks a column that is mapped.
    """
    _check_magic(file, name)
    reached = 0
    try:
        with duckdb.connect(config=_settings()) as connection:
            for batch in _batches(connection, file, name, mapper, most):
                yield batch
                reached += len(batch.rows) + len(batch.bad)
    except duckdb.OutOfMemoryException:
        raise FormatError(
            f"{name!r} cannot be read after row {reached:,}: up to 2,048 rows of a row group are "
            f"held at a time, and these take more than {_MEMORY}.",
            remedy="Write it again: as JSON Lines, or with at most 256 rows a row group.",
        ) from None
    except _ERRORS as error:
        # DuckDB's own words may hold a value of the data.
        raise FormatError(
            f"{name!r} cannot be read after row {reached:,}: DuckDB finds it damaged "
            f"({type(error).__name__}).",
            remedy="Restore the file or write it again.",
        ) from None


def _settings() -> dict[str, str | bool | int | float | list[str]]:
    return {
        "threads": 1,
        "memory_limit": _MEMORY,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "temp_directory": "",
    }


def _check_magic(file: BinaryIO, name: str) -> None:
    size = file.seek(0, 2)
    file.seek(0)
    first = file.read(4)
    file.seek(max(size - 4, 0))
    if size < 12 or first != _MAGIC or file.read(4) != _MAGIC:
        raise FormatError(
            f"{name!r} is no whole Parquet file: it must begin and end with PAR1.",
            remedy="Restore the file or write it again.",
        )


def _batches(
    connection: "duckdb.DuckDBPyConnection", file: BinaryIO, name: str, mapper: Mapper, most: int
) -> Iterator[Batch]:
    # Not by its name: DuckDB would take *, ? and [ in it for a pattern, and read another file
    # if somebody swaps it meanwhile.
    path = f"/dev/fd/{file.fileno()}"
    there = connection.execute("DESCRIBE " + _selected("*", _SOURCE), [path]).fetchall()
    names = _chosen([str(column[0]) for column in there], mapper, name)
    zoned = {str(column[0]): str(column[1]) for column in there if _ZONED in str(column[1])}
    if zoned:
        connection.execute("SET TimeZone = 'UTC'")  # else a cast would give this machine's time
    total = connection.execute(_selected("count(*)", _SOURCE), [path]).fetchall()[0][0]
    size = os.fstat(file.fileno()).st_size
    found = connection.execute(_query(names, zoned), [path])
    return gathered(_records(found, names), mapper, most, lambda rows: size * rows // total)


def _chosen(there: list[str], mapper: Mapper, name: str) -> list[str]:
    """Gives the columns that a row can need: whole names, and the heads of dotted paths."""
    paths = mapper.columns.paths.values()
    wanted = {path if path in there else path.partition(".")[0] for path in paths}
    heads = {path: path if path in there else path.partition(".")[0] for path in paths}
    missing = [path for path in mapper.columns.mapped if heads[path] not in there]
    chosen = [column for column in there if column in wanted]
    if missing or not chosen:
        what = ", ".join(map(repr, missing)) or "column that a row has"
        raise FormatError(
            f"{name!r} has no {what}, only {', '.join(map(repr, there[:20]))}.",
            remedy="Name its columns in the settings.",
        )
    return chosen


def _query(names: list[str], zoned: Mapping[str, str]) -> str:
    # A row that is too long is left inside DuckDB, whose memory is limited.
    quoted = [_read(name, zoned.get(name, "")) for name in names]
    columns = [f"c{number}" for number in range(len(names))]
    named = ", ".join(f"{name} AS {column}" for name, column in zip(quoted, columns, strict=True))
    size = " + ".join(f"coalesce(strlen({column}::VARCHAR), 0)" for column in columns)
    kept = ", ".join(f"CASE WHEN size < {MAX_LINE_BYTES} THEN {column} END" for column in columns)
    source = _selected(f"{size} AS size, *", f"({_selected(named, _SOURCE)})")
    return _selected(f"size, {kept}", f"({source})")


def _read(name: str, zoned: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    # A time with a zone would become Python's by pytz, which may not be installed: UTC without.
    return f"{quoted}::{zoned.replace(_ZONED, 'TIMESTAMP')}" if zoned else quoted


def _selected(what: str, source: str) -> str:
    return f"SELECT {what} FROM {source}"  # noqa: S608 # names are quoted, the rest is ours


def _records(found: "duckdb.DuckDBPyConnection", names: list[str]) -> Iterator[Record]:
    number = 0
    while fetched := found.fetchmany(_FETCHED):
        for size, *values in fetched:
            number += 1
            if size < MAX_LINE_BYTES:
                yield Record(number, size, dict(zip(names, values, strict=True)))
            else:
                yield Record(number, 0, {}, TOO_LONG)
