"""Turns the values of a record, under a team's own names, into a row of one kind."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from operator import attrgetter
from typing import Any, Final, Literal
from uuid import UUID

from wherry.contracts import Kind, Message, Row, fault_of
from wherry.contracts.dataset import MAX_LINE_BYTES, fault_of_fields
from wherry.rows.canonical import content_id, encoded
from wherry.rows.settings import Columns

TOO_LONG: Final = f"the row is longer than {MAX_LINE_BYTES:,} bytes"
_GROWTH: Final = 6
"""JSON writes a control character of one byte as ``\\u0001``."""
_SLACK: Final = 512
"""Field names, quotes and a content hash, in bytes."""
_MOST_SHAPES: Final = 4096
_MESSAGES, _ROLE, _TIME, _TEXT, _REJECTED = map(
    attrgetter, ("messages", "role", "time", "text", "rejected")
)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII
)

Role = Literal["system", "user", "assistant"]
ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
"""OpenAI's, ShareGPT's and Gemma's names of who speaks."""


class Unfit(ValueError):  # noqa: N818 # it never leaves this package: a value in the making
    """A record is no row; the text is the reason of a `Bad`."""


@dataclass(frozen=True)
class Mapper:
    """Makes rows of one kind out of records."""

    kind: Kind
    columns: Columns
    strict: bool = True
    """Whether a row must pass `fault_of`; otherwise `fault_of_fields` alone."""
    unseen: set[str] = field(default_factory=set)
    """Paths for which no record had a value so far."""
    _faults: dict[tuple[object, ...], str] = field(default_factory=dict)
    """By the shape of a row, for rows have few."""

    @property
    def plain(self) -> bool:
        """Whether every field goes by its own name."""
        return self.columns == Columns()

    def row(self, values: dict[str, Any], size: int) -> Row:
        """Makes a row.

        Args:
            values: a record of the file.
            size: what it takes there, in bytes.

        Raises:
            Unfit: saying which field is missing or of the wrong type.
        """
        if self.unseen:  # soon there is none left
            seen = [path for path in self.unseen if find(values, path) not in (None, "")]
            self.unseen.difference_update(seen)
        row = self._filled(values)
        if fault := self.fault(row):
            raise Unfit(fault)
        if size * _GROWTH + _SLACK > MAX_LINE_BYTES and len(encoded(row)) >= MAX_LINE_BYTES:
            raise Unfit(TOO_LONG)
        return row

    def fault(self, row: Row) -> str:
        """Says why a row is none of this kind, or gives an empty text."""
        if row.time and not _is_time(row.time):
            return f"`{self.columns.paths['time']}` must be RFC 3339, such as 2026-03-01T12:00:00Z"
        roles = [message.role for message in row.messages]
        shape = (not row.text, not row.rejected, not row.time, *roles)
        if (known := self._faults.get(shape)) is not None:
            return known
        found = self._fault(row)
        if len(self._faults) < _MOST_SHAPES:
            self._faults[shape] = found
        return found

    def takes_all(self, rows: Sequence[Row]) -> bool:
        """Tells whether rows that are alike, as most are, have no fault; False if they differ."""
        roles = list(map(_ROLE, chain.from_iterable(map(_MESSAGES, rows))))
        turns = len(rows[0].messages)
        alike = (
            not any(map(_TIME, rows))
            and set(map(len, map(_MESSAGES, rows))) == {turns}
            and roles == roles[:turns] * len(rows)
            and all(len(set(map(bool, map(field, rows)))) == 1 for field in (_TEXT, _REJECTED))
        )
        return alike and not self.fault(rows[0])

    def _fault(self, row: Row) -> str:
        return fault_of(row, self.kind) if self.strict else fault_of_fields(row, self.kind)

    def _filled(self, values: dict[str, Any]) -> Row:
        turns: tuple[Message, ...] = ()
        rejected = text = ""
        if self.kind == "text":
            text = self._text(values)
        elif self.kind == "preference":
            turns, rejected = self._preference(values)
        else:
            turns = self._conversation(values)
        name = self._name
        label, group, model = name(values, "label"), name(values, "group"), name(values, "model")
        content = (turns, label, group, rejected, text, self._time(values), model)
        return Row(name(values, "id") or content_id(content), *content)

    def _conversation(self, values: dict[str, Any]) -> tuple[Message, ...]:
        turns = self._turns(values, "messages", "user")
        whole = bool(turns)
        if not whole or self.columns.prompt:
            turns += self._turns(values, "prompt", "user", needed=True)
        if not whole or self.columns.completion:
            turns += self._turns(values, "completion", "assistant", needed=True)
        if not whole or self.columns.system:
            turns = self._after_system(values, turns)
        return turns

    def _preference(self, values: dict[str, Any]) -> tuple[tuple[Message, ...], str]:
        better = self._turns(values, "chosen", "assistant")
        worse = self._turns(values, "rejected", "assistant", needed=True)
        if not worse:
            raise Unfit(f"`{self.columns.paths['rejected']}` has no turn")
        if not better:
            turns = self._turns(values, "messages", "user", needed=True)
            return turns, worse[-1].content
        if better[:-1] != worse[:-1] or worse[-1].role != better[-1].role:
            raise Unfit("the chosen and the rejected turns must differ in the last alone")
        asked = self._turns(values, "prompt", "user")
        if better[: len(asked)] != asked:  # a prompt may stand in `chosen` too, as TRL has it
            better = asked + better
        return self._after_system(values, better), worse[-1].content

    def _after_system(
        self, values: dict[str, Any], turns: tuple[Message, ...]
    ) -> tuple[Message, ...]:
        told = self._turns(values, "system", "system")
        if not told or not told[0].content or turns[:1] == told:
            return turns
        return told + turns

    def _turns(
        self, values: dict[str, Any], name: str, role: Role, *, needed: bool = False
    ) -> tuple[Message, ...]:
        path = self.columns.paths[name]
        value = find(values, path)
        if value is None and not needed:
            return ()
        if isinstance(value, str):
            if name == "messages":
                raise Unfit(f"`{path}` must be a list of turns, got text")
            return (Message(role, _clean(value, path)),)
        if isinstance(value, list):
            return tuple([_turn(item, path) for item in value])
        raise _wrong(path, value, "text or a list of turns")

    def _text(self, values: dict[str, Any]) -> str:
        path = self.columns.paths["text"]
        value = find(values, path)
        if isinstance(value, str):
            return _clean(value, path)
        raise _wrong(path, value, "text")

    def _name(self, values: dict[str, Any], name: str) -> str:
        path = self.columns.paths[name]
        value = _whole(find(values, path))
        if isinstance(value, str):
            return _clean(value, path)
        if value is None:
            return ""
        if isinstance(value, int | UUID) and not isinstance(value, bool):
            return str(value)
        raise _wrong(path, value, "text or a whole number")

    def _time(self, values: dict[str, Any]) -> str:
        path = self.columns.paths["time"]
        value = _whole(find(values, path))
        if isinstance(value, datetime):
            return _written(value, path)
        if isinstance(value, int) and not isinstance(value, bool):
            return _of_seconds(value, path)
        if value is None:
            return ""
        if isinstance(value, str):
            return _clean(value, path)
        raise _wrong(path, value, "a time")


def find(values: dict[str, Any], path: str) -> Any:
    """Gives what stands at a name or a dotted path, or None."""
    found = values.get(path)
    return _inside(values, path) if found is None and "." in path else found


def _inside(values: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and part.isascii() and part.isdecimal():
            values = values[int(part)] if int(part) < len(values) else None
        else:
            return None
    return values


def _whole(value: Any) -> Any:
    """Gives a decimal without places as the whole number that it is; all else as it was.

    Warehouses export whole numbers so: Snowflake's and Oracle's are ``DECIMAL(38, 0)`` in Parquet.
    """
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    return value


def _turn(value: Any, path: str) -> Message:
    if not isinstance(value, dict):
        raise Unfit(f"each turn of `{path}` must be an object, got {_type(value)}")
    said = value["role"] if "role" in value else value.get("from")
    role = ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise Unfit(f"the role of a turn of `{path}` must be one of {', '.join(ROLES)}")
    return Message(
        role, _content(value["content"] if "content" in value else value.get("value"), path)
    )


def _content(value: Any, path: str) -> str:
    if isinstance(value, list):  # OpenAI's content parts
        value = "".join(_part(part, path) for part in value)
    if not isinstance(value, str):
        raise Unfit(f"the content of a turn of `{path}` must be text, got {_type(value)}")
    return _clean(value, path)


def _part(value: Any, path: str) -> str:
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str) or value.get("type") != "text":
        raise Unfit(f"each part of a turn of `{path}` must be of type text")
    return text


def _clean(text: str, path: str) -> str:
    if "\0" in text:
        raise Unfit(f"`{path}` holds a NUL character")
    return text


def _is_time(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _of_seconds(value: int, path: str) -> str:
    try:
        return _written(datetime.fromtimestamp(value, UTC), path)
    except (ValueError, OverflowError, OSError):
        raise Unfit(f"`{path}` must be whole seconds since 1970") from None


def _written(time: datetime, path: str) -> str:
    # Parquet's times without a zone are taken as UTC.
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise Unfit(f"`{path}` is a time outside the years 1 to 9999") from None


def _wrong(path: str, value: Any, expected: str) -> Unfit:
    if value is None:
        return Unfit(f"`{path}` is missing")
    return Unfit(f"`{path}` must be {expected}, got {_type(value)}")


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "text", int: "a number", float: "a number", Decimal: "a number", list: "a list",
             dict: "an object", bytes: "bytes", date: "a date without a time"}  # fmt: skip
    return "nothing" if value is None else names.get(type(value), "a value of another type")
