"""A data set: splits of rows, each file with its digest."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from wherry.contracts.digest import Digest
from wherry.contracts.errors import DataError, MissingError
from wherry.contracts.record import Record

DATASET_NAME: Final = "dataset.json"
QUARANTINE_NAME: Final = "quarantine.jsonl"
"""Rows that were set aside: one `SetAside` a line, beside the data files."""
MAX_LINE_BYTES: Final = 1 << 20
"""A longer row is refused before it is parsed, so that memory stays bounded."""

Kind = Literal["instruction", "chat", "preference", "text", "traffic"]
"""What the rows of a data set are:

- ``instruction``: one question and its answer, perhaps after a system turn;
- ``chat``: turns that alternate, the last of them the assistant's;
- ``preference``: a chat whose last turn is the better answer, and `Row.rejected` the worse one;
- ``text``: plain text for continued pre-training;
- ``traffic``: what a served model was asked and answered, with the time.
"""
SplitName = Literal["train", "eval", "test"]
_NO_ANSWER: Final = "messages must end with an assistant turn after at least one other"


# Rows are structs, not dataclasses: read by the million, they cost a third, and no collector
# looks for cycles that a row cannot be in.
class Message(msgspec.Struct, frozen=True, gc=False):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Row(msgspec.Struct, frozen=True, gc=False):
    """One example. Which fields are filled depends on the data set's `Kind`."""

    id: str
    messages: tuple[Message, ...] = ()
    """The conversation; empty for plain text."""
    label: str = ""
    """The class that the last turn names, or empty for free text."""
    group: str = ""
    """Rows of one group stay in one split; near copies share a group."""
    rejected: str = ""
    """The worse last turn of a preference."""
    text: str = ""
    """The text of a row without a conversation."""
    time: str = ""
    """When the row was written or the model asked, RFC 3339; empty if nobody knows."""
    model: str = ""
    """Which model answered, of traffic."""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All turns but the last."""
        return self.messages[:-1]

    @property
    def completion(self) -> str:
        """The last turn's text, what the model should answer; or the plain text."""
        return self.messages[-1].content if self.messages else self.text


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

    name: SplitName
    file: str
    """Relative to the data set's folder."""
    rows: int
    digest: Digest


@dataclass(frozen=True)
class Cleaned:
    """What one cleaning step did."""

    step: str
    """Its name in the settings, such as ``drop_near_duplicates``."""
    rows: int
    """Rows that came in."""
    changed: int = 0
    """Rows whose text it changed."""
    dropped: int = 0
    """Rows that it left out."""
    note: str = ""
    """What it changed or left out, in words and counts; never a text of the data."""


@dataclass(frozen=True)
class Dataset(Record):
    """What a folder of data holds; lies in it as ``dataset.json``."""

    kind: Kind
    splits: tuple[Split, ...]
    digest: Digest
    """Of all the data files: the manifest's digest without ``dataset.json``."""
    source: Source
    labels: tuple[str, ...] = ()
    """The label set in sorted order, or empty for free text."""
    licence: str = ""
    """An SPDX identifier or a short name."""
    cleaned: tuple[Cleaned, ...] = ()
    """The cleaning steps in the order in which they ran."""
    set_aside: int = 0
    """Rows that could not be read; they stand in ``quarantine.jsonl``."""
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
    """Reads a JSON Lines file of rows as ingest writes them, one at a time.

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


def fault_of(row: Row, kind: Kind) -> str:
    """Says why a row is no row of this kind, or gives an empty text.

    The words name fields and roles, never a text of the row.
    """
    return fault_of_fields(row, kind) or _fault_of_conversation(row, kind)


def fault_of_fields(row: Row, kind: Kind) -> str:
    """Says which field a row of this kind lacks or must not have, or gives an empty text.

    It looks at no turn: whoever measures how often turns are out of order reads such rows too.
    """
    if kind == "text":
        return "" if row.text and not row.messages else "a text row has `text` and no `messages`"
    if row.text:
        return f"a row of kind {kind} has `messages` and no `text`"
    if not row.messages:
        return _NO_ANSWER
    if kind == "preference" and not row.rejected:
        return "a preference has `rejected`, the worse answer"
    if kind == "traffic" and not row.time:
        return "a row of traffic has `time`"
    return ""


def _fault_of_conversation(row: Row, kind: Kind) -> str:
    if kind == "text":
        return ""
    if fault := _fault_of_turns([message.role for message in row.messages]):
        return fault
    if kind == "instruction" and len(row.messages) > 2 + (row.messages[0].role == "system"):
        return "an instruction has one question and one answer"
    return ""


def _fault_of_turns(roles: list[str]) -> str:
    if len(roles) < 2 or roles[-1] != "assistant":
        return _NO_ANSWER
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != ["user", "assistant"] * (len(turns) // 2):
        return "turns must alternate user and assistant, after one system turn at most"
    return ""


def _checked(row: Row, line: bytes) -> Row:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the row is longer than {MAX_LINE_BYTES} bytes")
    if not row.text and (len(row.messages) < 2 or row.messages[-1].role != "assistant"):
        raise ValueError(_NO_ANSWER)
    return row
