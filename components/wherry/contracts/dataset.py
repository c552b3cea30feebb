"""A data set: splits of chat rows, each file with its digest."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from wherry.contracts.digest import Digest
from wherry.contracts.errors import DataError, MissingError
from wherry.contracts.record import Record

DATASET_NAME: Final = "dataset.json"
MAX_LINE_BYTES: Final = 1 << 20
"""A longer row is refused before it is parsed, so that memory stays bounded."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Row:
    """One example: a conversation that ends with the assistant's turn."""

    id: str
    messages: tuple[Message, ...]
    label: str = ""
    """The class that the last turn names, or empty for free text."""
    group: str = ""
    """Rows of one group stay in one split; near copies share a group."""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All turns but the last."""
        return self.messages[:-1]

    @property
    def completion(self) -> str:
        """The last turn's text: what the model should answer."""
        return self.messages[-1].content


@dataclass(frozen=True)
class Source:
    """Where a data set was taken from, exactly."""

    uri: str
    """The repository or bucket, such as ``dvc:.`` or ``dvc:https://…``."""
    revision: str
    """The commit that was resolved, or empty outside a repository."""
    path: str
    checksum: str
    """The source's own content hash, such as DVC's ``md5:….dir``."""


@dataclass(frozen=True)
class Split:
    """One file of rows."""

    name: Literal["train", "eval", "test"]
    file: str
    """Relative to the data set's folder."""
    rows: int
    digest: Digest


@dataclass(frozen=True)
class Dataset(Record):
    """What a folder of data holds; lies in it as ``dataset.json``."""

    kind: Literal["instruction", "chat", "preference"]
    splits: tuple[Split, ...]
    digest: Digest
    """Of all the data files: the manifest's digest without ``dataset.json``."""
    source: Source
    labels: tuple[str, ...] = ()
    """The label set in sorted order, or empty for free text."""
    licence: str = ""
    """An SPDX identifier or a short name."""
    schema: Literal["wherry.dataset/1"] = "wherry.dataset/1"

    def split(self, name: str) -> Split:
        """Gives a split by name.

        Raises:
            MissingError: naming the splits that there are.
        """
        for split in self.splits:
            if split.name == name:
                return split
        names = ", ".join(split.name for split in self.splits)
        raise MissingError(
            f"The data set has no split {name!r}, only {names}.", remedy="Add the file and ingest."
        )

    def rows(self, folder: Path, name: str) -> list[Row]:
        """Reads all rows of a split from the data set's folder."""
        return list(read_rows(folder / self.split(name).file))


def read_rows(path: Path) -> Iterator[Row]:
    """Reads a JSON Lines file of chat rows, one at a time.

    Raises:
        DataError: naming file, line and cause, on a row that is not a `Row`.
    """
    decoder = msgspec.json.Decoder(Row)
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
            try:
                yield _checked(decoder.decode(line), line)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise DataError(
                    f"{path.name}, line {number}: {error}.",
                    remedy="Correct the row, add the file to DVC again and re-run.",
                ) from error


def _checked(row: Row, line: bytes) -> Row:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the row is longer than {MAX_LINE_BYTES} bytes")
    if len(row.messages) < 2 or row.messages[-1].role != "assistant":
        raise ValueError("messages must end with an assistant turn after at least one other")
    return row
