"""Turns sizes as people write them into bytes, and back."""

import re
from typing import Final

from wherry.contracts.errors import SettingsError

UNITS: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
"""Powers of ten, and of two with an ``i``; Kubernetes writes the latter without the B."""
MAX_BYTES: Final = 1 << 60
_SIZE: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)")


def parse_size(text: str, *, where: str) -> int:
    """Gives the bytes of a size such as ``8GiB``.

    Args:
        text: a number and a unit of `UNITS`, nothing between.
        where: the option or field that it came from, for the message.

    Raises:
        SettingsError: naming the value, what was expected and what was probably meant.
    """
    match = _SIZE.fullmatch(text.strip())
    known = {unit.lower(): unit for unit in UNITS}
    unit = known.get(match[2].lower()) if match else None
    if match is None or unit is None or text != match[1] + unit:
        meant = f"{match[1]}{unit}" if match and unit else "a number and a unit, such as 8GiB"
        raise SettingsError(
            f"{where} must be a size such as 8GiB or 512MiB, got {text!r}.",
            remedy=f"Write {meant}. Units: {', '.join(UNITS)}.",
        )
    size = int(float(match[1]) * UNITS[unit])
    if not 0 < size <= MAX_BYTES:
        raise SettingsError(
            f"{where} must be more than nothing and at most 1 EiB, got {text!r}.",
            remedy="Write the memory of the machine, such as 8GiB.",
        )
    return size


def say_size(size: float) -> str:
    """Writes bytes for people: ``2.3 GiB``."""
    return f"{size / (1 << 30):.1f} GiB" if size >= (1 << 30) else f"{size / (1 << 20):.0f} MiB"
