"""Reads the rows of a file, whatever its format, with bounded memory and exact line numbers."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from wherry.contracts import Kind
from wherry.contracts.errors import DataError, FormatError
from wherry.rows.batch import Bad, Batch
from wherry.rows.jsonl import read_jsonl
from wherry.rows.lines import read_blocks
from wherry.rows.mapping import Mapper
from wherry.rows.settings import Columns
from wherry.rows.stream import Piece, opened, pieces
from wherry.rows.table import read_table

__all__ = ["SUFFIXES", "Bad", "Batch", "read_batches"]

_ONE: Final = ".json"
_JSON: Final = (".jsonl", ".ndjson", _ONE)
_TABLES: Final = {".csv": ",", ".tsv": "\t"}
_PACKINGS: Final = ("", ".gz", ".zst")
_PARQUET: Final = ".parquet"
SUFFIXES: Final[tuple[str, ...]] = (
    *(text + packing for text in (*_JSON, *_TABLES) for packing in _PACKINGS),
    _PARQUET,
)
"""How the name of a file that can be read ends."""


def read_batches(
    path: Path,
    kind: Kind,
    columns: Columns = Columns(),  # noqa: B008 # it is frozen
    *,
    batch_rows: int = 8192,
    strict: bool = True,
    unseen: set[str] | None = None,
) -> Iterator[Batch]:
    """Reads a file's rows; one that is none becomes a `Bad`, and reading goes on.

    Example::

        for batch in read_batches(Path("train.csv.gz"), "instruction", Columns(prompt="question")):
            for line, row in zip(batch.lines, batch.rows):
                ...

    Args:
        path: a plain file; its name ends with one of `SUFFIXES`.
        kind: what its rows are.
        columns: the team's names for the parts of a row.
        batch_rows: the most lines of a batch; there are fewer where lines are long.
        strict: set rows aside in which `fault_of` finds a fault, such as turns out of order.
            Otherwise a row must have the fields of its kind, and no more.
        unseen: some of the team's names; those that a row has a value for are taken out. What is
            left in the end is misspelt, or stands for what the data does not have.

    Returns:
        Batches in the file's order. Each line is in one of them, as a row or as a `Bad`, but for
        a header and blank lines at the file's end.

    Raises:
        FormatError: if it is no plain file, of no known format, damaged, cut off or made to
            exhaust memory; the message names the file and the line that was reached.
        MissingError: if there is no such file.
        ExtraMissingError: if a package that its format needs is not installed.
    """
    name, packing = _format(path)
    mapper = Mapper(kind, columns, strict, set() if unseen is None else unseen)
    return _read(opened(path), path.name, name, packing, mapper, batch_rows)


def refuse_unseen(unseen: Collection[str], where: str) -> None:
    """Refuses a name of the team's that none of the rows had a value for.

    Else rows whose group is misspelt would be divided as if they had none, patients torn apart.

    Args:
        unseen: what `read_batches` left of the names.
        where: the names stand, for the remedy.

    Raises:
        DataError: naming one.
    """
    if unseen:
        raise DataError(
            f"No row has a value for {min(unseen)!r}, which its columns name.",
            remedy=f"Correct {where}, or take the name out if the data has no such thing.",
        )


def _format(path: Path) -> tuple[str, str]:
    lower = path.name.lower()
    packing = next((p for p in _PACKINGS[1:] if lower.endswith(p)), "")
    suffix = Path(lower.removesuffix(packing)).suffix
    if suffix + packing not in SUFFIXES:
        raise FormatError(
            f"{path.name!r} is of no format that is known by its name, expected one of "
            f"{', '.join(SUFFIXES)}.",
            remedy="Rename or convert it.",
        )
    return suffix, packing


def _read(
    file: BinaryIO, name: str, suffix: str, packing: str, mapper: Mapper, most: int
) -> Iterator[Batch]:
    with file:
        if suffix == _PARQUET:
            from wherry.rows.parquet import read_parquet  # DuckDB is heavy: only when it is used

            yield from read_parquet(file, name, mapper, most)
            return
        found = pieces(file, packing)
        blocks = read_blocks(_no_array(found, name) if suffix == _ONE else found, name, most)
        if suffix in _TABLES:
            yield from read_table(blocks, mapper, name, _TABLES[suffix], most)
        else:
            yield from read_jsonl(blocks, mapper)


def _no_array(pieces: Iterator[Piece], name: str) -> Iterator[Piece]:
    for number, piece in enumerate(pieces):
        if not number and piece.data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            raise FormatError(
                f"{name!r} is one JSON array, expected JSON Lines: one object a line.",
                remedy="Convert it: jq -c '.[]' FILE.json > FILE.jsonl",
            )
        yield piece
