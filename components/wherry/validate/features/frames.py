"""Cuts a table of features into data frames that hold the same facts in bounded memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import duckdb
import numpy as np
import pandas as pd

from wherry.validate.features.columns import FeatureTable, Storage
from wherry.validate.features.store import database, parquet

FRAME_ROWS: Final = 250_000
"""About the most rows of a frame, but of whole columns."""

Integers = np.ndarray[Any, np.dtype[np.int64]]
Objects = np.ndarray[Any, np.dtype[np.object_]]


@dataclass(frozen=True)
class Frame:
    """Rows, or different records with the number of rows that have them."""

    data: pd.DataFrame
    first: Integers
    """The position in the table of each, or of the first row that has this record."""
    weight: Integers
    """How many rows each stands for."""


class Frames:
    """Gives frames of a table; those of one call stand for every row once.

    Args:
        table: the features.
        connection: to a database that `opened` made.
        frame_rows: about the most rows of a frame.
    """

    def __init__(
        self, table: FeatureTable, connection: duckdb.DuckDBPyConnection, frame_rows: int
    ) -> None:
        self.table = table
        self._connection = connection
        self._frame_rows = frame_rows
        self._values: dict[str, Objects] = {}

    @classmethod
    @contextmanager
    def opened(cls, table: FeatureTable, frame_rows: int = FRAME_ROWS) -> Iterator[Self]:
        """Opens a table for reading."""
        with database(table.path.parent) as connection:
            connection.execute(f"CREATE VIEW features AS FROM {parquet(table.path)}")
            yield cls(table, connection, frame_rows)

    def records(self, columns: Sequence[str], null_or_not: str = "") -> Iterator[Frame]:
        """Gives each different record of some columns once, with its weight.

        Args:
            columns: at least one.
            null_or_not: one of which it only counts whether there is a value.
        """
        keys = [f"{_name(c)} IS NULL" if c == null_or_not else _name(c) for c in columns]
        chosen = [
            f"any_value({_name(c)}) AS {_name(c)}" if c == null_or_not else _name(c)
            for c in columns
        ]
        query = (
            f"SELECT {', '.join(chosen)}, min(position) AS first_, count(*) AS weight_ "  # noqa: S608 # names of the catalogue
            f"FROM features WHERE {{}} GROUP BY {', '.join(keys)}"
        )
        yield from self._cut(query, columns, keys, self._different(keys))

    def rows(self, columns: Sequence[str], together: Sequence[str]) -> Iterator[Frame]:
        """Gives every row; those that agree in all of some columns are in one frame.

        Args:
            columns: what the frames hold.
            together: some of them.
        """
        names = ", ".join(map(_name, columns))
        query = (
            f"SELECT {names}, position AS first_, 1 AS weight_ FROM features "  # noqa: S608 # names of the catalogue
            "WHERE {} ORDER BY first_"
        )
        yield from self._cut(query, columns, list(map(_name, together)), self.table.rows)

    def whole(self, columns: Sequence[str], *, ordered: bool) -> Frame:
        """Gives whole columns: about eight bytes a row and column.

        Args:
            columns: what the frame holds; perhaps none.
            ordered: whether the rows must stand in their order.
        """
        codes = {name: self._codes(name) for name in columns if self.table.columns[name] == "text"}
        chosen = ", ".join(
            f"enum_code({_name(name)}::{_name(f'values_of_{name}')}) AS {_name(name)}"
            if name in codes
            else _name(name)
            for name in columns
        )
        order = "ORDER BY position" if ordered else ""
        query = f"SELECT {chosen} FROM features {order}"  # noqa: S608 # names of the catalogue
        found = self._fetch(query) if columns else {}
        data = {
            name: _decoded(found[name], codes[name])
            if name in codes
            else _column(found[name], self.table.columns[name])
            for name in columns
        }
        index = pd.RangeIndex(self.table.rows)
        ones = np.broadcast_to(np.int64(1), self.table.rows)
        return Frame(pd.DataFrame(data, index=index, copy=False), index, ones)

    def different(self, columns: Sequence[str]) -> Frame:
        """Gives each different record of some columns once, all in one frame."""
        names = ", ".join(map(_name, columns))
        query = f"SELECT DISTINCT {names}, 0 AS first_, 1 AS weight_ FROM features"  # noqa: S608 # names of the catalogue
        return self._frame(query, columns)

    def alike(
        self, positions: Sequence[int], most: int, columns: Sequence[str], null_or_not: str = ""
    ) -> list[int]:
        """Gives the first rows that have the same records as some rows.

        Args:
            positions: of those rows.
            most: how many rows at most.
            columns: what makes a record.
            null_or_not: one of which it only counts whether there is a value.
        """
        same = " AND ".join(
            f"(a.{_name(c)} IS NULL) = (b.{_name(c)} IS NULL)"
            if c == null_or_not
            else f"a.{_name(c)} IS NOT DISTINCT FROM b.{_name(c)}"
            for c in columns
        )
        query = (
            "SELECT DISTINCT a.position FROM features a JOIN (FROM features "  # noqa: S608 # names of the catalogue
            f"WHERE position IN (SELECT unnest(?))) b ON {same} ORDER BY 1 LIMIT ?"
        )
        found = self._connection.execute(query, [list(positions), most]).fetchall()
        return [int(position) for (position,) in found]

    def lines(self, positions: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Gives split and line of some rows, by position."""
        query = "SELECT position, split, line FROM features WHERE position IN (SELECT unnest(?))"
        found = self._connection.execute(query, [list(positions)]).fetchall()
        return {int(position): (str(split), int(line)) for position, split, line in found}

    def _cut(
        self, query: str, columns: Sequence[str], keys: Sequence[str], most: int
    ) -> Iterator[Frame]:
        """Runs a query on parts of the table; rows that agree in their keys are in one part."""
        parts = most // self._frame_rows + 1
        for part in range(parts):
            where = f"hash({', '.join(keys)}) % {parts} = {part}" if parts > 1 else "true"
            yield self._frame(query.format(where), columns)

    def _frame(self, query: str, columns: Sequence[str]) -> Frame:
        found = self._fetch(query)
        data = {name: _column(found[name], self.table.columns[name]) for name in columns}
        return Frame(pd.DataFrame(data), *(_plain(found[name]) for name in ("first_", "weight_")))

    def _different(self, keys: Sequence[str]) -> int:
        query = f"SELECT approx_count_distinct(hash({', '.join(keys)})) FROM features"  # noqa: S608 # names of the catalogue
        ((count,),) = self._connection.execute(query).fetchall()
        return int(count)

    def _codes(self, name: str) -> Objects:
        """Makes a type of a column's values, and gives them in the order of its codes."""
        if name not in self._values:
            kind = _name(f"values_of_{name}")
            self._connection.execute(
                f"CREATE TYPE {kind} AS ENUM "  # noqa: S608 # a name of the catalogue
                f"(SELECT DISTINCT {_name(name)} FROM features WHERE {_name(name)} IS NOT NULL)"
            )
            ((values,),) = self._connection.execute(f"SELECT enum_range(NULL::{kind})").fetchall()
            self._values[name] = np.array([*values, None], dtype=object)
        return self._values[name]

    def _fetch(self, query: str) -> Mapping[str, Any]:
        return self._connection.execute(query).fetchnumpy()


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _column(values: Any, kind: Storage) -> Any:
    """Gives a column as pandas would have it: no float of a whole number, None for no text."""
    missing = np.ma.getmaskarray(values)
    plain = np.ma.getdata(values)
    if kind == "hash" or (kind == "int" and missing.any()):
        # As floats two hashes can become one.
        return pd.arrays.IntegerArray(plain.astype(np.int64, copy=False), missing)
    if kind == "float":
        return np.where(missing, np.nan, plain) if missing.any() else plain
    if kind == "text":
        return np.where(missing, np.array(None, dtype=object), plain)
    return plain


def _plain(values: Any) -> Integers:
    return np.ma.getdata(values).astype(np.int64, copy=False)


def _decoded(codes: Any, values: Objects) -> Any:
    return values[np.ma.filled(codes.astype(np.int64), len(values) - 1)]
