"""Evens out labels: at most so many rows of each, chosen by a hash of their ids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from wherry.contracts import Cleaned, Row
from wherry.ingest.clean.repeats import hashed, spilled, texts_of
from wherry.ingest.clean.settings import Balance, Cap
from wherry.ingest.clean.steps import Rows, Tally
from wherry.narrow import NarrowTable, fetched, opened

_KEYS: Final = {
    "number": pl.Int64,
    "split": pl.String,
    "label": pl.Int64,
    "chance": pl.Int64,
    "content": pl.Int64,
}
_RANKED: Final = """
    CREATE TABLE ranked AS SELECT
        number,
        split,
        count(*) OVER (PARTITION BY split, label) AS of_label,
        row_number() OVER (PARTITION BY split, label ORDER BY chance, content, number) AS rank
    FROM keys
"""
_CAPPED: Final = "SELECT number FROM ranked WHERE rank > {most}"
_BALANCED: Final = """
    SELECT number FROM ranked JOIN (
        SELECT split, floor(min(of_label) * {ratio}) AS most FROM ranked GROUP BY split
    ) USING (split)
    WHERE rank > most
"""


class Labels:
    """The step that leaves rows of frequent labels out, by `Cap` or by `Balance`.

    Which rows stay depends on their ids and the seed, not on the order in which they stand.

    Args:
        settings: how many rows of a label stay.
        name: the step's.
        scratch: a folder of its own, not there yet.
    """

    def __init__(self, settings: Cap | Balance, name: str, scratch: Path) -> None:
        self._settings = settings
        self._tally = Tally(name)
        self._scratch = scratch

    def __call__(self, rows: Rows) -> Rows:
        """Gives the rows that stay."""
        spill = spilled(rows, self._scratch / "rows")
        self._tally.rows = spill.rows
        keys = NarrowTable(self._scratch / "keys", _KEYS)
        for split, numbers, part in spill.numbered():
            if split in self._settings.splits:
                found = [(n, row) for n, row in zip(numbers, part, strict=True) if row.label]
                keys.add(self._columns(split, found))
        return spill.without(self._too_many(keys))

    def cleaned(self) -> Cleaned:
        """Says how many rows it left out."""
        return self._tally.cleaned()

    def _columns(self, split: str, found: list[tuple[int, Row]]) -> dict[str, list[object]]:
        seed = str(self._settings.seed)
        return {
            "number": [number for number, _ in found],
            "split": [split for _ in found],
            "label": [hashed(row.label) for _, row in found],
            "chance": [hashed(seed, row.id) for _, row in found],
            "content": [hashed(seed, *texts_of(row)) for _, row in found],
        }

    def _too_many(self, keys: NarrowTable) -> Iterator[int]:
        with opened(self._scratch, keys=keys) as database:
            database.execute(_RANKED)
            for (number,) in fetched(database, self._query()):
                self._tally.dropped += 1
                self._tally.told["over what their label may have"] += 1
                yield number

    def _query(self) -> str:
        if isinstance(self._settings, Cap):
            return _CAPPED.format(most=self._settings.per_label)
        return _BALANCED.format(ratio=self._settings.ratio)
