"""Keeps a few numbers a row on disk, so that all rows are compared in bounded memory.

Polars writes Parquet, DuckDB reads it out of core: no text and no whole table is ever held.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

_PART_ROWS: Final = 1 << 18
"""Rows of one Parquet file: some megabytes of narrow columns."""
_MEMORY: Final = "256MB"
"""What DuckDB may hold; it goes to disk for the rest."""
_FETCHED: Final = 1 << 16
"""Rows of a result that are held at a time."""


class NarrowTable:
    """A table that is written once, in batches, and then asked.

    Example::

        table = NarrowTable(folder, {"number": pl.Int64, "key": pl.Int64})
        table.add({"number": [0, 1], "key": [7, 7]})
        with opened(folder, rows=table) as database:
            database.execute("SELECT key, count(*) FROM rows GROUP BY key")

    Args:
        folder: gets the Parquet files; made if it is not there.
        columns: each column's type.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._columns = dict(columns)
        self._parts = 0
        self._kept: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, columns: Mapping[str, Sequence[Any] | pl.Series]) -> None:
        """Adds rows, as columns of one length."""
        frame = pl.DataFrame(dict(columns), schema=self._columns)
        self._kept.append(frame)
        self._rows += frame.height
        if self._rows >= _PART_ROWS:
            self._write()

    def finish(self) -> str:
        """Writes what is left and gives the name that DuckDB reads the table by."""
        if self._kept or not self._parts:
            self._write()
        return str(self.folder / "*.parquet")

    def _write(self) -> None:
        frame = pl.concat(self._kept) if self._kept else pl.DataFrame(schema=self._columns)
        frame.write_parquet(self.folder / f"{self._parts:06}.parquet", compression="lz4")
        self._parts += 1
        self._kept, self._rows = [], 0


@contextmanager
def opened(scratch: Path, **tables: NarrowTable) -> Iterator[duckdb.DuckDBPyConnection]:
    """Gives a database in which each table has its name, in bounded memory.

    Args:
        scratch: a folder for what does not fit into memory.
        tables: by the names that the queries use.
    """
    # Two threads: each holds buffers of its own, and results must not depend on the machine.
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": 2,
        "temp_directory": str(scratch / "duckdb"),
    }
    with duckdb.connect(":memory:", config=settings) as database:
        for name, table in tables.items():
            database.from_parquet(table.finish()).create_view(name)
        yield database


def fetched(database: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    """Gives the rows of a query's result, a bounded number of them held at a time."""
    result = database.execute(query)
    while rows := result.fetchmany(_FETCHED):
        yield from rows
