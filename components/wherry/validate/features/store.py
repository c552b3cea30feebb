"""Opens DuckDB over Parquet files, within a stated amount of memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

_MEMORY: Final = "192MB"
"""Beyond it DuckDB spills to disk; measured to hold the relations of 5M rows."""
_THREADS: Final = 2
"""Each thread has buffers of its own: more of them would need more memory."""


@contextmanager
def database(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens a database in memory that spills below `folder`."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": _THREADS,
        "temp_directory": str(folder / "spill"),
        "preserve_insertion_order": False,
        # Nothing is ever fetched: every reader that is used is built in.
        "autoinstall_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=config) as connection:
        yield connection


def parquet(path: Path) -> str:
    """Gives the SQL of a table that lies in a Parquet file, or in all that a pattern names."""
    return f"read_parquet({quoted(str(path))})"


def quoted(text: str) -> str:
    """Gives the SQL of a text."""
    return "'" + text.replace("'", "''") + "'"
