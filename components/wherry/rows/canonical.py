"""The one form of a row: JSON, fields in their order, empty ones left out."""

import hashlib
from typing import Final

import msgspec

from wherry.contracts import Row

_ENCODE: Final = msgspec.json.Encoder().encode
_OPTIONAL: Final = ("label", "group", "rejected", "text", "time", "model")


def encoded(row: Row) -> bytes:
    """Gives a row as one line of JSON, without its line end: the same bytes for the same row.

    Raises:
        UnicodeEncodeError: if a text holds half of a surrogate pair.
    """
    # Not the dataclass itself: of one that it decoded, msgspec leaves out what the text left out.
    values: dict[str, object] = {"id": row.id}
    if row.messages:
        values["messages"] = [{"role": m.role, "content": m.content} for m in row.messages]
    for name in _OPTIONAL:
        if value := getattr(row, name):
            values[name] = value
    return _ENCODE(values)


def content_id(content: tuple[object, ...]) -> str:
    """Gives a name that follows from a row's content: 32 hexadecimal digits.

    Args:
        content: its fields but `id`, in their order. The name is the start of the SHA-256 of
            their JSON.
    """
    return hashlib.sha256(_ENCODE(content)).hexdigest()[:32]
