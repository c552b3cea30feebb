"""Reads a step's settings from the JSON text that a pipeline hands it."""

from typing import Any, TypeVar

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
        reject_unknown_fields(kind, values)
        return msgspec.convert(values, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"{kind.__name__}: {error}.",
            remedy=f"Correct {where or 'the settings of this stage'}.",
        ) from error
