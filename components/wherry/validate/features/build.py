"""Turns batches of rows into a table of features on disk, in memory that does not grow."""

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from wherry.contracts import Row
from wherry.contracts.errors import SettingsError
from wherry.rows.read import Batch
from wherry.text.near import NearDuplicates
from wherry.text.overlap import Benchmarks
from wherry.validate.features.columns import (
    ALWAYS,
    FeatureTable,
    Instruments,
    Storage,
    column_types,
    refuse_unmeasurable,
)
from wherry.validate.features.parts import measured
from wherry.validate.features.relations import NEAR, RELATIONS, relate
from wherry.validate.features.texts import Texts

_PART_ROWS: Final = 1 << 17
"""Rows of features that are kept in memory before they are written."""
_GATHERED_ROWS: Final = 1 << 15
_GATHERED_BYTES: Final = 1 << 25
"""Rows, and bytes of their files, that are measured at once."""
_OVERLAP: Final = frozenset({"in_benchmark", "benchmark"})
_DTYPES: Final[Mapping[Storage, type[pl.DataType]]] = {
    "bool": pl.Boolean,
    "int": pl.Int32,
    "float": pl.Float64,
    "hash": pl.Int64,
    "text": pl.String,
}


def feature_table(
    batches: Iterable[tuple[str, Batch]],
    folder: Path,
    columns: Collection[str],
    instruments: Instruments | None = None,
) -> FeatureTable:
    """Measures rows in one pass, and puts beside each what it shows beside the others.

    No text of the data is written but labels, roles, languages and names of splits and
    benchmarks: texts are present as 64-bit hashes.

    Example::

        with tempfile.TemporaryDirectory() as folder:
            table = feature_table(batches, Path(folder), {"prompt", "duplicate"})
            polars.read_parquet(table.path)

    Args:
        batches: each with the split of its rows; what is bad in them is left out.
        folder: an empty, private folder; the table is a file in it.
        columns: the names that are wanted, of `column_types`; `ALWAYS` come on top.
        instruments: what to measure with; by default there is no tokenizer and no clock.

    Returns:
        The table; it lives as long as the folder.

    Raises:
        SettingsError: if a column is unknown, or needs an instrument that is not given.
    """
    tools = instruments or Instruments()
    refuse_unmeasurable(columns, tools)
    types = column_types(tools.patterns)
    wanted = _known((*ALWAYS, *columns), types)
    needed = _needed(wanted)
    parts = _Parts(folder / "seen", {name: types[name] for name in needed})
    near = _NearCopies(folder, tools.near_threshold) if NEAR & set(wanted) else None
    benchmarks = Benchmarks(tools.benchmarks) if _OVERLAP & set(wanted) else None
    for split, lines, rows in _gathered(batches):
        texts = Texts(rows)
        if near:
            near.add(parts.rows, texts)
        parts.add(split, lines, measured(texts, needed, tools, benchmarks))
    parts.flush()
    target = folder / "features.parquet"
    relate(parts.pattern, near.write() if near else None, wanted, target)
    shutil.rmtree(parts.pattern.parent)
    return FeatureTable(target, parts.rows, {name: types[name] for name in wanted})


def _gathered(
    batches: Iterable[tuple[str, Batch]],
) -> Iterator[tuple[str, list[int], list[Row]]]:
    """Gives the rows of several batches at once: most of a measure's cost is per call."""
    for split, same in groupby(batches, key=itemgetter(0)):
        lines: list[int] = []
        rows: list[Row] = []
        size = 0
        for _, batch in same:
            lines += batch.lines
            rows += batch.rows
            size += batch.bytes_read
            if len(rows) >= _GATHERED_ROWS or size >= _GATHERED_BYTES:
                yield split, lines, rows
                lines, rows, size = [], [], 0
        if rows:
            yield split, lines, rows


def _known(names: Iterable[str], types: Mapping[str, Storage]) -> list[str]:
    asked = list(dict.fromkeys(names))
    if unknown := [name for name in asked if name not in types]:
        raise SettingsError(
            f"Unknown column {unknown[0]!r}, expected one of {', '.join(types)}.",
            remedy="Correct the suite.",
        )
    return asked


def _needed(wanted: Iterable[str]) -> list[str]:
    """Gives the columns that a row must show by itself, so that the wanted ones can be made."""
    names: dict[str, None] = {}
    for name in wanted:
        names |= dict.fromkeys(RELATIONS[name].needs if name in RELATIONS else (name,))
    return list(names)


class _Parts:
    """Writes batches of features as Parquet files of some hundred thousand rows each."""

    def __init__(self, folder: Path, types: Mapping[str, Storage]) -> None:
        folder.mkdir()
        self.rows = 0
        self.pattern = folder / "*.parquet"
        self._schema = {name: _DTYPES[kind] for name, kind in types.items()}
        self._waiting: list[pl.DataFrame] = [pl.DataFrame(schema=self._schema)]

    def add(self, split: str, lines: list[int], features: Mapping[str, pl.Series]) -> None:
        count = len(lines)
        columns = {
            "position": pl.int_range(self.rows, self.rows + count, eager=True),
            "split": pl.repeat(split, count, eager=True),
            "line": pl.Series(lines),
            **features,
        }
        kept = {name: columns[name].cast(kind) for name, kind in self._schema.items()}
        self._waiting.append(pl.DataFrame(kept))
        self.rows += count
        if sum(frame.height for frame in self._waiting) >= _PART_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits; the first time even if that is no row, for its columns."""
        number = len(list(self.pattern.parent.iterdir()))
        if self._waiting:
            target = self.pattern.with_name(f"{number:06}.parquet")
            pl.concat(self._waiting).write_parquet(target, compression="lz4", statistics=False)
            self._waiting = []


class _NearCopies:
    """Finds clusters of near copies."""

    def __init__(self, folder: Path, threshold: float) -> None:
        self._work = folder / "near"
        self._index = NearDuplicates(self._work, threshold)

    def add(self, first: int, texts: Texts) -> None:
        self._index.add(range(first, first + len(texts.rows)), texts.question)

    def write(self) -> Path:
        """Writes position and root of every row that has a near copy; forgets the texts."""
        pairs = np.fromiter(self._index.repeats(), dtype=np.dtype((np.int32, 2)))
        roots = np.unique(pairs[:, 1])
        members = {
            "position": np.concatenate([pairs[:, 0], roots]),
            "root": np.concatenate([pairs[:, 1], roots]),
        }
        shutil.rmtree(self._work)
        target = self._work.with_suffix(".parquet")
        pl.DataFrame(members).write_parquet(target)
        return target
