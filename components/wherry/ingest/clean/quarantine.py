"""Sets rows aside that cannot be read, up to a stated number."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from wherry.contracts import SetAside
from wherry.contracts.errors import DataError
from wherry.ingest.settings import Quarantine

LISTED: Final = 10
"""Bad rows that a refusal lists."""


class Ward:
    """Collects the bad rows of a data set in a file; use it as a context manager.

    Args:
        path: the file to write, one `SetAside` a line; not there if there is no bad row.
        limit: how many are allowed.
    """

    def __init__(self, path: Path, limit: Quarantine) -> None:
        self._path = path
        self._limit = limit
        self._file = path.open("wb")
        self._encoder = msgspec.json.Encoder()
        self._first: list[SetAside] = []
        self.rows = 0

    def __enter__(self) -> Self:
        """Gives itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file, and removes it if it is empty."""
        self._file.close()
        if not self.rows:
            self._path.unlink(missing_ok=True)

    def add(self, found: Sequence[SetAside]) -> None:
        """Sets rows aside.

        Raises:
            DataError: naming the first, if none is allowed.
        """
        if found and self._limit.none:
            raise DataError(_told(found[0]), remedy=_REMEDY)
        self._first += found[: LISTED - len(self._first)]
        self._file.write(self._encoder.encode_lines(found))
        self.rows += len(found)

    def check(self, good: int) -> None:
        """Refuses more bad rows than are allowed.

        Args:
            good: rows that could be read.

        Raises:
            DataError: with their number and the first of them.
        """
        rows = good + self.rows
        allowed = self._limit.allowed(rows)
        if self.rows > allowed:
            listed = "".join(f"\n{_told(one)}" for one in self._first)
            raise DataError(
                f"{self.rows:,} of {rows:,} rows cannot be read, expected at most {allowed:,}. "
                f"The first of them:{listed}",
                remedy=_REMEDY,
            )


def lines_of(path: Path, file: str) -> Iterator[int]:
    """Gives the lines of one file that a `Ward` set aside, in their order.

    Args:
        path: the file that it wrote.
        file: as its rows were added.
    """
    decode = msgspec.json.Decoder(SetAside).decode
    with path.open("rb") as aside:
        yield from (one.line for one in map(decode, aside) if one.file == file)


_REMEDY: Final = (
    "Correct the row, add the file to DVC again and re-run; or let `quarantine` in the settings "
    "of ingest set some rows aside."
)


def _told(one: SetAside) -> str:
    return f"{one.file}, line {one.line}: {one.reason}."
