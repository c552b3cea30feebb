"""Counts the rows of two versions with DuckDB, from a few numbers a row on disk."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, cast

import duckdb
import polars as pl

from wherry.contracts import Dataset, Row, read_rows
from wherry.contracts.dataset import SplitName
from wherry.diff.settings import DiffSettings
from wherry.diff.step import Side
from wherry.narrow import NarrowTable, fetched, opened
from wherry.progress import Report
from wherry.rows.canonical import content_id
from wherry.text.measure import looks_private, measure

_BATCH: Final = 8192
"""Rows that are held at a time."""
_COLUMNS: Final = {
    "split": pl.String,
    "id": pl.Int64,
    "content": pl.Int64,
    "prompt_characters": pl.Int32,
    "completion_characters": pl.Int32,
    "label": pl.String,
    "language": pl.String,
}
_CONTENT: Final = attrgetter(*(name for name in Row.__struct_fields__ if name != "id"))
_REPEATED: Final = """
    CREATE TABLE repeated AS
    SELECT id FROM before GROUP BY id HAVING count(*) > 1
    UNION
    SELECT id FROM after GROUP BY id HAVING count(*) > 1
"""
# A row is known by its id. An id that stands twice names nobody: then by its content, within its
# split, the first with the first, the second with the second.
_KEYED: Final = """
    CREATE VIEW {side}_keyed AS
    SELECT split, content, named, key, place,
        row_number() OVER (PARTITION BY named, key, place) AS nth
    FROM (
        SELECT split, content,
            repeated.id IS NULL AS named,
            CASE WHEN repeated.id IS NULL THEN side.id ELSE content END AS key,
            CASE WHEN repeated.id IS NULL THEN '' ELSE split END AS place
        FROM {side} AS side LEFT JOIN repeated USING (id)
    )
"""
_FATES: Final = """
    SELECT
        coalesce(new.split, old.split),
        count(*) FILTER (old.split IS NULL),
        count(*) FILTER (new.split IS NULL),
        count(*) FILTER (old.content <> new.content),
        count(*) FILTER (old.split <> new.split)
    FROM before_keyed AS old
    FULL JOIN after_keyed AS new USING (named, key, place, nth)
    GROUP BY 1
"""


class Tables:
    """Two versions in a database. Make it with `tables`."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database

    def fates(self) -> dict[SplitName, tuple[int, int, int, int]]:
        """Gives how many rows of each split were added, removed, changed and moved in."""
        self._database.execute(_REPEATED)
        for side in ("before", "after"):
            self._database.execute(_KEYED.format(side=side))
        return {split: tuple(counts) for split, *counts in fetched(self._database, _FATES)}

    def counts(self, side: Side, column: str) -> Mapping[SplitName, Mapping[str | int, int]]:
        """Gives how many rows of each split have each value; rows without one do not count."""
        query = (
            f"SELECT split, {column}, count(*) FROM {side} "  # noqa: S608 - our own names
            f"WHERE {column} IS NOT NULL GROUP BY ALL"
        )
        found: dict[SplitName, dict[str | int, int]] = {}
        for split, value, count in fetched(self._database, query):
            found.setdefault(split, {})[value] = count
        return found

    def private(self, names: Collection[str]) -> list[str]:
        """Gives those that look like personal data or a secret."""
        listed = list(names)
        return [name for name, hide in zip(listed, looks_private(listed), strict=True) if hide]


@contextmanager
def tables(
    before: Path, after: Path, scratch: Path, settings: DiffSettings, report: Report
) -> Iterator[Tables]:
    """Reads two data sets once and gives them as tables.

    Args:
        before: the earlier data set's folder.
        after: the later one's.
        scratch: a folder for the tables.
        settings: how many languages are measured.
        report: told how many rows are read.
    """
    most = max(_rows(before), _rows(after))
    share = min(1.0, settings.language_rows / most) if most else 0.0
    made = {}
    for side, folder in (("before", before), ("after", after)):
        made[side] = NarrowTable(scratch / side, _COLUMNS)
        _read(folder, made[side], share, report)
    with opened(scratch, **made) as database:
        yield Tables(database)


def _rows(folder: Path) -> int:
    return sum(split.rows for split in _dataset(folder).splits)


def _dataset(folder: Path) -> Dataset:
    return Dataset.read(folder / "dataset.json")


def _read(folder: Path, table: NarrowTable, share: float, report: Report) -> None:
    done, total = 0, _rows(folder)
    for split in _dataset(folder).splits:
        rows = read_rows(folder / split.file)
        while batch := list(islice(rows, _BATCH)):
            table.add(_columns(split.name, batch, share))
            done += len(batch)
            report.progress(done, total, f"{done:,} rows read")


def _columns(split: SplitName, rows: Sequence[Row], share: float) -> dict[str, Any]:
    ids = [_hashed(row.id) for row in rows]
    return {
        "split": [split] * len(rows),
        "id": ids,
        "content": [_signed(bytes.fromhex(content_id(_CONTENT(row)))) for row in rows],
        "prompt_characters": [sum(len(turn.content) for turn in row.prompt) for row in rows],
        "completion_characters": [len(row.completion) for row in rows],
        "label": [row.label or None for row in rows],
        "language": _languages(rows, [_chance(number) < share for number in ids]),
    }


def _languages(rows: Sequence[Row], chosen: Sequence[bool]) -> list[str | None]:
    texts = [_text(row) for row, is_chosen in zip(rows, chosen, strict=True) if is_chosen]
    if not texts:
        return [None] * len(rows)
    found = iter(measure(pl.Series(texts, dtype=pl.String), ["language"])["language"])
    return [cast("str | None", next(found)) if is_chosen else None for is_chosen in chosen]


def _text(row: Row) -> str:
    turns = [turn.content for turn in row.messages if turn.role != "system"]
    return "\n".join(turns) or row.text


def _hashed(text: str) -> int:
    return _signed(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _signed(raw: bytes) -> int:
    return int.from_bytes(raw[:8], "big", signed=True)


def _chance(number: int) -> float:
    return (number + 2**63) / 2**64
