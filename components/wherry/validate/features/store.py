"""Opens DuckDB over Parquet files, within a stated amount of memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

MEMORY: Final = 128
"""MB that a database takes at first; beyond it DuckDB spills to disk. The relations of 5M rows
stay below it, even if every row has a copy."""


@contextmanager
def database(folder: Path, memory: int = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens a database in memory that spills below `folder`.

    Args:
        folder: a private one.
        memory: most that it may take, in MB.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory}MB",
        # A second thread needs buffers of its own, and saves no CPU.
        "threads": 1,
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
