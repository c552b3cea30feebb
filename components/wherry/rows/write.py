"""Writes rows in the canonical form: JSON Lines, the same bytes for the same rows."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from wherry.contracts import Digest, Row
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import DataError
from wherry.rows.canonical import encoded

_BUFFER: Final = 1 << 20


class RowWriter:
    """Writes rows to a file, and counts and hashes them meanwhile.

    Example::

        with RowWriter(folder / "train.jsonl") as writer:
            for row in rows:
                writer.write(row)
        split = Split("train", "train.jsonl", writer.rows, writer.digest)

    Args:
        path: the file to make; one that is there is replaced. Whoever stages it makes it durable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO
        self._hash = hashlib.sha256()
        self.rows = 0
        """Written so far."""
        self.size = 0
        """In bytes, written so far."""

    def __enter__(self) -> Self:
        self._file = self._path.open("wb", buffering=_BUFFER)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def digest(self) -> Digest:
        """The SHA-256 of what was written so far, as ``sha256:…``."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, row: Row) -> None:
        """Writes one row.

        Raises:
            DataError: if it would be longer than `MAX_LINE_BYTES` or is no Unicode, so that no
                reader would take it; the message tells its number.
        """
        try:
            line = encoded(row) + b"\n"
        except UnicodeEncodeError:
            raise self._refused("holds half of a surrogate pair") from None
        if len(line) > MAX_LINE_BYTES:
            raise self._refused(f"takes {len(line):,} bytes, more than {MAX_LINE_BYTES:,}")
        self._file.write(line)
        self._hash.update(line)
        self.rows += 1
        self.size += len(line)

    def write_all(self, rows: Iterable[Row]) -> None:
        """Writes rows in their order.

        Raises:
            DataError: as `write`.
        """
        for row in rows:
            self.write(row)

    def _refused(self, why: str) -> DataError:
        return DataError(
            f"Row {self.rows + 1:,} of {self._path.name!r} {why}.",
            remedy="Shorten or correct the row at its source.",
        )
