"""Turns frozen dataclasses into JSON and back, strictly."""

import dataclasses
from pathlib import Path
from typing import Any, Self

import msgspec

from wherry.contracts.errors import FormatError
from wherry.contracts.files import write_atomic


class Record:
    """Mix-in for a frozen dataclass that is stored or handed on as JSON.

    A record names its form in a field ``schema: Literal["wherry.scores/1"]``, so
    that a reader refuses what it does not know. Numbers that are not finite have
    no JSON: they are written as null and stay null.
    """

    def to_json(self) -> str:
        """Gives the record as JSON, one field a line, in the order of its fields."""
        # Not the dataclass itself: of one that it decoded, msgspec leaves out what was left out
        # in the text, so that a record read back would be written, and hashed, differently.
        plain = dataclasses.asdict(self)  # type: ignore[call-overload] # a mix-in for dataclasses
        return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "the record") -> Self:
        """Reads what `to_json` gave.

        Raises:
            FormatError: on broken JSON, a wrong type, an unknown field or schema.
        """
        try:
            raw = msgspec.json.decode(text)
            reject_unknown_fields(cls, raw)
            return msgspec.convert(raw, cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FormatError(
                f"{where} is no valid {cls.__name__}: {error}.",
                remedy="Make it again with this version of Wherry.",
            ) from error

    def write(self, path: Path) -> None:
        """Writes the record so that a reader sees all of it or none of it."""
        write_atomic(path, self.to_json().encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a record from a file.

        Raises:
            FormatError: as `from_json`.
        """
        return cls.from_json(path.read_bytes(), where=str(path))


def reject_unknown_fields(kind: type[Any], raw: Any) -> None:
    """Refuses top-level names that `kind` does not have, as msgspec does not for dataclasses.

    Raises:
        msgspec.ValidationError: naming the field and the choices.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    if isinstance(raw, dict) and (unknown := sorted(set(map(str, raw)) - known)):
        raise msgspec.ValidationError(
            f"unknown field {unknown[0]!r}, expected one of {', '.join(sorted(known))}"
        )
