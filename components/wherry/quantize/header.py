"""Reads a GGUF file's tensor table and checks that the file is whole.

The form is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The gguf package
reads it too, but takes seconds over a vocabulary that nobody asks for here.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wherry.contracts.errors import FormatError

_MAGIC: Final = b"GGUF"
_VERSION: Final = 3
_STRING: Final = 8
_ARRAY: Final = 9
_UINT32: Final = 4
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of each scalar type by its number."""
_ALIGNMENT: Final = 32
"""Of every tensor's first byte, unless the file says otherwise."""


@dataclass(frozen=True)
class Entry:
    """One row of the tensor table."""

    shape: tuple[int, ...]
    """As numpy has it, the row length last."""
    kind: int
    """The number of its type, as `gguf.GGMLQuantizationType` has it."""
    start: int
    """Its first byte in the file."""


@dataclass(frozen=True)
class Wanted:
    """What a tensor should be."""

    shape: tuple[int, ...]
    kind: int
    size: int
    """In bytes."""


def check(path: Path, wanted: Mapping[str, Wanted]) -> None:
    """Compares a file with what should have been written.

    Args:
        path: a GGUF file.
        wanted: every tensor by name, in the file's order.

    Raises:
        FormatError: naming the first tensor that differs, or the size if the file is cut short
            or has something behind its last tensor.
    """
    found = read_table(path)
    end = min((entry.start for entry in found.values()), default=0)
    for name in found.keys() | wanted.keys():
        if name not in found or name not in wanted:
            raise _malformed(path, f"the tensor {name} is missing or too many")
    for name, tensor in wanted.items():
        if found[name] != Entry(tensor.shape, tensor.kind, end):
            raise _malformed(path, f"{name} is {found[name]}, expected {tensor} at byte {end}")
        end += tensor.size + -tensor.size % _ALIGNMENT
    if path.stat().st_size != end:
        raise _malformed(path, f"it has {path.stat().st_size} bytes, expected {end}")


def read_table(path: Path) -> dict[str, Entry]:
    """Gives a file's tensors by name, in their order.

    Raises:
        FormatError: if the file is no GGUF or ends in its header.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Cursor(data).table()
    except (struct.error, KeyError, ValueError, IndexError) as error:
        raise _malformed(path, f"its header is damaged ({error})") from error


class _Cursor:
    """A place in a file's bytes that moves on with each value that is read."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def table(self) -> dict[str, Entry]:
        if self._data[:4] != _MAGIC:
            raise ValueError("it does not begin with 'GGUF'")
        self._at = 4
        version, tensors, pairs = self._take("<IQQ")
        if version != _VERSION:
            raise ValueError(f"version {version}, expected {_VERSION}")
        alignment = self._alignment(pairs)
        entries = [self._entry() for _ in range(tensors)]
        data = self._at + -self._at % alignment
        return {name: Entry(shape, kind, data + offset) for name, shape, kind, offset in entries}

    def _alignment(self, pairs: int) -> int:
        found = _ALIGNMENT
        for _ in range(pairs):
            key, (kind,) = self._text(), self._take("<I")
            if key == b"general.alignment" and kind == _UINT32:
                (found,) = self._take("<I")
            else:
                self._skip(kind)
        return found

    def _entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name, (dimensions,) = self._text().decode(), self._take("<I")
        shape = self._take(f"<{dimensions}Q")
        kind, offset = self._take("<IQ")
        return name, tuple(reversed(shape)), kind, offset

    def _take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def _text(self) -> bytes:
        (length,) = self._take("<Q")
        self._at += length
        return self._data[self._at - length : self._at]

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            (length,) = self._take("<Q")
            self._at += length
        elif kind == _ARRAY:
            inner, count = self._take("<IQ")
            if inner in _SIZES:
                self._at += count * _SIZES[inner]
            else:
                for _ in range(count):
                    self._skip(inner)
        else:
            self._at += _SIZES[kind]


def _malformed(path: Path, why: str) -> FormatError:
    return FormatError(
        f"{path.name} is not a whole GGUF file: {why}.", remedy="Make the file again."
    )
