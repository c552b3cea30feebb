"""Counts how features are spread over each split, for plots."""

from collections.abc import Iterator, Sequence
from typing import Final

import duckdb

from wherry.contracts.validation import Column
from wherry.text.measure import looks_private
from wherry.validate.features.columns import FeatureTable
from wherry.validate.features.store import database, parquet

LENGTHS: Final = ("prompt_tokens", "completion_tokens")
"""Lengths that are plotted where there is a tokenizer."""
LENGTHS_WITHOUT_TOKENIZER: Final = ("prompt_characters", "completion_characters")
_CATEGORIES: Final = ("label", "language")
_MOST_CATEGORIES: Final = 50
"""Labels that a distribution shows, the most frequent; the rest are counted together."""
_OTHERS: Final = "(others)"
_FEWEST_ROWS: Final = 3
"""A label of fewer rows is counted among the others: it may be a text that slipped in."""


def plotted(*, tokenizer: bool) -> tuple[str, ...]:
    """Gives the columns that a report shows whatever the suite asks.

    Args:
        tokenizer: whether tokens can be counted.
    """
    return (*(LENGTHS if tokenizer else LENGTHS_WITHOUT_TOKENIZER), "label")


def distributions(table: FeatureTable, bins: int) -> tuple[Column, ...]:
    """Counts lengths, labels and languages by split, of the columns that a table has.

    Args:
        table: the features.
        bins: most bars of a length; all splits have the same.
    """
    lengths = [n for n in (*LENGTHS, *LENGTHS_WITHOUT_TOKENIZER) if n in table.columns]
    categories = [name for name in _CATEGORIES if name in table.columns]
    with database(table.path.parent) as connection:
        connection.execute(f"CREATE VIEW features AS FROM {parquet(table.path)}")
        splits = _splits(connection)
        found = [one for name in lengths for one in _histograms(connection, name, splits, bins)]
        found += [one for name in categories for one in _counts(connection, name, splits)]
    return tuple(found)


def _splits(connection: duckdb.DuckDBPyConnection) -> list[str]:
    query = "SELECT split FROM features GROUP BY split ORDER BY min(position)"
    return [split for (split,) in connection.execute(query).fetchall()]


def _histograms(
    connection: duckdb.DuckDBPyConnection, name: str, splits: Sequence[str], bins: int
) -> Iterator[Column]:
    query = f"SELECT min({name}), max({name}) FROM features"  # noqa: S608 # a name of this file
    ((low, high),) = connection.execute(query).fetchall()
    if low is None:
        return
    # Widths of powers of two, from their multiples on: two versions of data have edges in common.
    width = 1 << ((high - low) // bins).bit_length()
    low -= low % width
    query = f"SELECT split, ({name} - ?) // ?, count(*) FROM features GROUP BY ALL"  # noqa: S608 # a name of this file
    rows = connection.execute(query, [low, width]).fetchall()
    found = {(split, number): count for split, number, count in rows}
    used = range((high - low) // width + 1)
    starts = [low + number * width for number in used]
    names = tuple(str(low) if width == 1 else f"{low}-{low + width - 1}" for low in starts)
    for split in splits:
        yield Column(name, split, names, tuple(found.get((split, number), 0) for number in used))


def _counts(
    connection: duckdb.DuckDBPyConnection, name: str, splits: Sequence[str]
) -> Iterator[Column]:
    shown = _shown(connection, name)
    query = (
        f"SELECT split, CASE WHEN list_contains(?, {name}) THEN {name} END AS value, count(*) "  # noqa: S608 # a name of this file
        "FROM features GROUP BY ALL"
    )
    rows = connection.execute(query, [shown]).fetchall() if shown else []
    found = {(split, value): count for split, value, count in rows}
    for split in splits if shown else ():
        others = found.get((split, None), 0)
        counts = tuple(found.get((split, value), 0) for value in shown)
        more = ((_OTHERS,), (others,)) if others else ((), ())
        yield Column(name, split, (*shown, *more[0]), (*counts, *more[1]))


def _shown(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    query = (
        f"SELECT {name} FROM features WHERE {name} IS NOT NULL GROUP BY {name} "  # noqa: S608 # a name of this file
        f"HAVING count(*) >= {_FEWEST_ROWS} ORDER BY count(*) DESC, {name}"
    )
    values = [value for (value,) in connection.execute(query).fetchall()]
    return sorted(_fit_to_show(values)[:_MOST_CATEGORIES])


def _fit_to_show(values: list[str]) -> list[str]:
    """Leaves out what looks like personal data or a secret, however often it stands."""
    hidden = looks_private(values)
    return [value for value, hide in zip(values, hidden, strict=True) if not hide]
