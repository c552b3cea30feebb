"""Feature tables of small data sets, made in memory."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from wherry.contracts import Row
from wherry.rows.batch import Batch
from wherry.validate.features import FeatureTable, Storage
from wherry.validate.features.build import feature_table
from wherry.validate.features.columns import Instruments

Found = Mapping[str, Sequence[dict[str, Any]]]
"""Raw rows by split."""
_DTYPES = {"bool": pl.Boolean, "float": pl.Float64, "text": pl.String}


def words(texts: Sequence[str]) -> list[int]:
    """Counts words, where the model counts tokens."""
    return [len(text.split()) for text in texts]


def batches(found: Found, size: int = 7) -> Iterator[tuple[str, Batch]]:
    """Raw rows as a reader gives them, a few at a time."""
    for split, ones in found.items():
        rows = msgspec.convert(ones, list[Row])
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            lines = list(range(start + 1, start + 1 + len(part)))
            yield split, Batch(lines, part, [], 0)


def measured(
    folder: Path, found: Found, columns: Sequence[str], **tools: Any
) -> dict[str, list[Any]]:
    """Some features of raw rows, as one list a column."""
    folder.mkdir(parents=True, exist_ok=True)
    instruments = Instruments(**{"count_tokens": words, **tools})
    table = feature_table(batches(found), folder, columns, instruments)
    return pl.read_parquet(table.path).sort("position").to_dict(as_series=False)


def table_from(
    folder: Path, columns: Mapping[str, Sequence[Any]], types: Mapping[str, Storage]
) -> FeatureTable:
    """A feature table with just these values; where the rows stand is made up."""
    rows = len(next(iter(columns.values())))
    data = {
        "position": pl.Series(range(rows), dtype=pl.Int32),
        "split": pl.Series(["train"] * rows, dtype=pl.String),
        "line": pl.Series(range(1, rows + 1), dtype=pl.Int32),
        **{
            name: pl.Series(values, dtype=_DTYPES.get(types[name], pl.Int64))
            for name, values in columns.items()
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "features.parquet"
    pl.DataFrame(data).write_parquet(path)
    where: dict[str, Storage] = {"position": "int", "split": "text", "line": "int"}
    return FeatureTable(path, rows, {**where, **types})
