"""Reads a step's settings from the JSON text that a pipeline hands it."""

import dataclasses
import json
import re
import reprlib
import typing
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeVar

import msgspec

from wherry.contracts.errors import SettingsError
from wherry.contracts.record import reject_unknown_fields

T = TypeVar("T")
_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = 60


def read_settings(kind: type[T], raw: str | dict[str, Any], *, where: str = "") -> T:
    """Gives a settings dataclass from JSON text or a mapping.

    KFP turns whole numbers of dict parameters into floats, so settings travel as
    one JSON string; ``""`` means all defaults.

    Args:
        kind: a frozen dataclass whose ``__post_init__`` raises ValueError on a bad value.
        raw: JSON text or an already parsed mapping.
        where: the file that it came from, for the message.

    Raises:
        SettingsError: naming the field, the value and what was expected.
    """
    values: Any = None
    try:
        values = _decoded(raw or "{}") if isinstance(raw, str) else raw
        _reject_unknown(kind, values)
        return msgspec.convert(values, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        more = _choices(kind, str(error)) or _place(values, str(error))
        raise SettingsError(
            f"{kind.__name__}: {error}{more}.",
            remedy=f"Correct {where or 'the settings of this stage'}.",
        ) from error


def _decoded(raw: str) -> Any:
    values = msgspec.json.decode(raw)  # stricter than json in all but keys given twice
    json.loads(raw, object_pairs_hook=_once)
    return values


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen = set[str]()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the key {name!r} is given twice")
        seen.add(name)


def _reject_unknown(kind: Any, values: Any) -> None:
    """Refuses unknown names at any depth: in a field, or in the items of one, that is settings."""
    if isinstance(values, list):
        for item in values:
            _reject_unknown(kind, item)
        return
    reject_unknown_fields(kind, values)
    hints = typing.get_type_hints(kind) if isinstance(values, dict) else {}
    for name, hint in hints.items():
        inner = values.get(name)
        if typing.get_origin(hint) is dict:
            inner = list(inner.values()) if isinstance(inner, dict) else inner
        for nested in filter(dataclasses.is_dataclass, _parts(hint)):
            _reject_unknown(nested, inner)


def _parts(hint: Any) -> Iterator[Any]:
    """Gives a type and those that it is made of, such as Rules of ``tuple[Rules, ...] | None``."""
    yield hint
    for part in typing.get_args(hint):
        yield from _parts(part)


def _choices(kind: Any, error: str) -> str:
    """Gives what msgspec leaves out when it refuses a value: those that there are."""
    found = re.search(r"^Invalid enum value .* - at `\$\.([\w.]+)", error)
    for name in found[1].split(".") if found else ():
        hints = [kind, *typing.get_args(kind)]
        owner = next(filter(dataclasses.is_dataclass, hints), None)
        kind = typing.get_type_hints(owner).get(name) if owner else None
    literals = [hint for hint in (kind, *typing.get_args(kind)) if _is_literal(hint)]
    names = ", ".join(str(value) for value in typing.get_args(literals[0])) if literals else ""
    return f", expected one of {names}" if names else ""


_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "array": (list, tuple),
    "bool": bool,
    "float": float,
    "int": int,
    "null": type(None),
    "object": dict,
    "str": str,
}


def _place(values: Any, error: str) -> str:
    """Gives what msgspec leaves out when it refuses a type: a mapping's entry, and the value."""
    found = re.search(r"got `(\w+)` - at `\$([^`]+)`", error)
    if not found or found[1] not in _TYPES:
        return ""
    steps = re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", found[2])
    for path, value in _walk(values, [name or index for name, index in steps]):
        if isinstance(value, _TYPES[found[1]]):
            return f", where {'.'.join(path)} is {_SHORT.repr(value)}"
    return ""


def _walk(values: Any, steps: list[str]) -> Iterator[tuple[list[str], Any]]:
    """Gives the values that a path of msgspec's may mean, in their order."""
    if not steps:
        yield [], values
        return
    step, rest = steps[0], steps[1:]
    entries = values if isinstance(values, dict) else dict(enumerate(values))
    for name, value in entries.items():
        if step in ("...", str(name)):
            for path, found in _walk(value, rest):
                yield [str(name), *path], found


def _is_literal(hint: Any) -> bool:
    return typing.get_origin(hint) is Literal
