"""Puts beside each row what it shows beside the others: repeats, overlap of splits, balance.

Each relation first finds the few keys that stand out, and joins them back to the rows: no
window over all rows, so the memory follows what is odd and not how much data there is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from wherry.validate.features.store import MEMORY, database, parquet

_MOST_MEMORY: Final = 2048
"""MB after which data is too odd for one machine's memory."""


@dataclass(frozen=True)
class Relation:
    """How one column comes from the others."""

    needs: tuple[str, ...]
    """Columns of `SHOWN` that it is made of."""
    odd: str
    """A query on the table ``seen`` for the keys that stand out."""
    keys: tuple[str, ...]
    """The columns that join them back."""
    value: str
    """The column's value; ``odd`` is the joined key's record, null where there is none."""


_FOUND: Final = "coalesce(odd.found, false)"
_REPEATED_PROMPT: Final = (
    "SELECT split, prompt, min(position) AS first FROM seen "
    "WHERE prompt IS NOT NULL GROUP BY ALL HAVING count(*) > 1"
)
# An answer without a text is another answer too, and has no hash.
_CONTRADICTED: Final = (
    "SELECT prompt, true AS found FROM seen WHERE prompt IS NOT NULL GROUP BY ALL HAVING "
    "min(completion) <> max(completion) OR count(completion) NOT IN (0, count(*))"
)
_REPEATED_COMPLETION: Final = (
    "SELECT split, completion, count(*)::INT AS found FROM seen "
    "WHERE completion IS NOT NULL GROUP BY ALL HAVING count(*) > 1"
)
_BALANCE: Final = (
    "SELECT split, label, count(*) * count(*) OVER own / sum(count(*)) OVER own AS share "
    "FROM seen WHERE label IS NOT NULL GROUP BY split, label WINDOW own AS (PARTITION BY split)"
)
_KNOWN: Final = "SELECT DISTINCT label FROM seen WHERE split = 'train' AND label IS NOT NULL"
_NEAR: Final = (
    "SELECT near.position, seen.position > min(seen.position) OVER own AS again, "
    "min(seen.split) OVER all_copies <> max(seen.split) OVER all_copies AS abroad "
    "FROM near JOIN seen USING (position) WINDOW own AS (PARTITION BY near.root, seen.split), "
    "all_copies AS (PARTITION BY near.root)"
)


def _in_two_splits(column: str) -> Relation:
    odd = (
        f'SELECT "{column}", true AS found FROM seen WHERE "{column}" IS NOT NULL '  # noqa: S608 # a name of this file
        "GROUP BY ALL HAVING min(split) <> max(split)"
    )
    return Relation((column,), odd, (column,), _FOUND)


RELATIONS: Final[Mapping[str, Relation]] = {
    "duplicate": Relation(
        ("prompt",),
        _REPEATED_PROMPT,
        ("split", "prompt"),
        "coalesce(seen.position > odd.first, false)",
    ),
    "contradicted": Relation(("prompt", "completion"), _CONTRADICTED, ("prompt",), _FOUND),
    "completion_count": Relation(
        ("completion",),
        _REPEATED_COMPLETION,
        ("split", "completion"),
        "CASE WHEN seen.completion IS NOT NULL THEN coalesce(odd.found, 1) END",
    ),
    "prompt_in_other_split": _in_two_splits("prompt"),
    "group_in_other_split": _in_two_splits("group"),
    "label_balance": Relation(("label",), _BALANCE, ("split", "label"), "odd.share"),
    # Data for free text has no label to know.
    "label_known": Relation(
        ("label",),
        _KNOWN,
        ("label",),
        f"odd.label IS NOT NULL OR NOT EXISTS ({_KNOWN})",
    ),
    "near_duplicate": Relation((), _NEAR, ("position",), "coalesce(odd.again, false)"),
    "near_in_other_split": Relation((), _NEAR, ("position",), "coalesce(odd.abroad, false)"),
}
"""`wherry.validate.features.columns.RELATED`, as queries."""

NEAR: Final = frozenset({"near_duplicate", "near_in_other_split"})
"""Relations on a table ``near`` of ``position`` and ``root``: rows of one root are near copies."""


def relate(seen: Path, near: Path | None, columns: Collection[str], target: Path) -> None:
    """Writes the table of features: what rows show by themselves and beside each other.

    Args:
        seen: a pattern for the Parquet files of what rows show by themselves.
        near: a Parquet file of near copies; None unless `columns` has one of `NEAR`.
        columns: the names that the table is to have, in order.
        target: the Parquet file to write; what does not fit in memory spills beside it.
    """
    memory = MEMORY
    while True:
        try:
            return _relate(seen, near, columns, target, memory)
        except duckdb.OutOfMemoryException:
            # A join cannot spill all of its keys: some hundred million odd rows need more.
            if memory >= _MOST_MEMORY:
                raise
            memory *= 2


def _relate(
    seen: Path, near: Path | None, columns: Collection[str], target: Path, memory: int
) -> None:
    related = [name for name in columns if name in RELATIONS]
    with database(target.parent, memory) as connection:
        connection.execute(f"CREATE VIEW seen AS FROM {parquet(seen)}")
        if near is not None:
            connection.execute(f"CREATE VIEW near AS FROM {parquet(near)}")
        for name in related:
            connection.execute(f'CREATE TEMP TABLE "odd_{name}" AS {RELATIONS[name].odd}')
        query = f"SELECT {', '.join(map(_selected, columns))} FROM seen {_joins(related)}"  # noqa: S608 # names of this package
        connection.execute("COPY (" + query + ") TO ? (FORMAT parquet)", [str(target)])


def _selected(name: str) -> str:
    if name not in RELATIONS:
        return f'seen."{name}"'
    return f'{RELATIONS[name].value.replace("odd.", f"odd_{name}.")} AS "{name}"'


def _joins(related: Collection[str]) -> str:
    return " ".join(
        f'LEFT JOIN "odd_{name}" ON '
        + " AND ".join(f'seen."{key}" = odd_{name}."{key}"' for key in RELATIONS[name].keys)
        for name in related
    )
