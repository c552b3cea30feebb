"""Reads a step's settings from the JSON text that a pipeline hands it."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec

from wherry.contracts.errors import SettingsError
from wherry.contracts.record import reject_unknown_fields

T = TypeVar("T")


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
    try:
        values = msgspec.json.decode(raw or "{}") if isinstance(raw, str) else raw
        _reject_unknown(kind, values)
        return msgspec.convert(values, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"{kind.__name__}: {error}{_choices(kind, str(error))}.",
            remedy=f"Correct {where or 'the settings of this stage'}.",
        ) from error


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


def _is_literal(hint: Any) -> bool:
    return typing.get_origin(hint) is Literal
