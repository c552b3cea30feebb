"""Reads a GGUF file's tensor table and checks that the file is whole.

`check` holds a file that was just written against what was meant; `verify` holds a file from
elsewhere against its own table. A matrix of which nothing was written, a hole in the file, is found
as well; whatever else lies in the tensors only a digest can tell.

The form is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The gguf package
reads it too, but takes seconds over a vocabulary that nobody asks for here.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

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
_READ_AT_ONCE: Final = 1 << 16
"""Bytes; of nearly every tensor no more are read."""
_MOST_DIMENSIONS: Final = 4
_LONGEST_NAME: Final = 64
"""Both are ggml's."""


@dataclass(frozen=True)
class Entry:
    """One row of the tensor table."""

    shape: tuple[int, ...]
    """As numpy has it, the row length last."""
    kind: int
    """The number of its type, as `gguf.GGMLQuantizationType` has it."""
    start: int
    """Its first byte in the file."""
    alignment: int = _ALIGNMENT
    """Of which that byte is a multiple."""


@dataclass(frozen=True)
class _Table:
    """A whole tensor table."""

    entries: Mapping[str, Entry]
    """By name, in their order."""
    data: int
    """The first byte behind the header, where the first tensor must lie."""


@dataclass(frozen=True)
class Wanted:
    """What a tensor should be."""

    shape: tuple[int, ...]
    kind: int
    size: int
    """In bytes."""
    zero: bool = False
    """Whether every byte is zero, as that of an adapter's untrained half."""


def check(path: Path, wanted: Mapping[str, Wanted]) -> None:
    """Compares a file with what should have been written.

    Args:
        path: a GGUF file.
        wanted: every tensor by name, in the file's order.

    Raises:
        FormatError: naming the first tensor that differs, or the size if the file is cut short
            or has something behind its last tensor, or a tensor of zeros that should not be.
    """
    table = _read(path)
    found, end = table.entries, table.data
    for name in found.keys() | wanted.keys():
        if name not in found or name not in wanted:
            raise _malformed(path, f"the tensor {name} is missing or too many")
    for name, tensor in wanted.items():
        if found[name] != Entry(tensor.shape, tensor.kind, end):
            raise _malformed(path, f"{name} is {found[name]}, expected {tensor} at byte {end}")
        end += tensor.size + -tensor.size % _ALIGNMENT
    if path.stat().st_size != end:
        raise _malformed(path, f"it has {path.stat().st_size} bytes, expected {end}")
    filled = [name for name, tensor in wanted.items() if not tensor.zero]
    _refuse_holes(path, {name: (found[name].start, wanted[name].size) for name in filled})


def verify(path: Path) -> None:
    """Checks a file from elsewhere: magic, tensor table, types, offsets, size, holes.

    Biases and an adapter's halves may be zero; weights and norms of zeros let nothing through.

    Args:
        path: a GGUF file.

    Raises:
        FormatError: if a tensor is of an unknown type, lies where it cannot or is cut short, or
            something lies before, between or behind the tensors, or weights are zeros alone.
    """
    table = _read(path)
    if not table.entries:
        raise _malformed(path, "it has no tensor")
    end = _checked_end(path, table)
    alignment = next(iter(table.entries.values())).alignment
    if path.stat().st_size not in (end, end + -end % alignment):
        raise _malformed(path, f"it has {path.stat().st_size} bytes, expected {end}")
    weights = {name: one for name, one in table.entries.items() if name.endswith(".weight")}
    _refuse_holes(
        path, {name: (one.start, _size(path, name, one)) for name, one in weights.items()}
    )


def _refuse_holes(path: Path, spans: Mapping[str, tuple[int, int]]) -> None:
    """Refuses tensors, given by first byte and size, of nothing but zeros."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for name, (start, size) in spans.items():
            if not _written(data, start, start + size):
                raise _malformed(path, f"{name} is {size} bytes of zeros")


def _written(data: mmap.mmap, start: int, end: int) -> bool:
    return any(
        data[at : min(at + _READ_AT_ONCE, end)].strip(b"\0")
        for at in range(start, end, _READ_AT_ONCE)
    )


def _checked_end(path: Path, table: _Table) -> int:
    """Gives the last tensor's last byte, after checking that each begins where one ended."""
    end = table.data
    for name, entry in sorted(table.entries.items(), key=lambda item: item[1].start):
        # Between two tensors lie less bytes than the alignment, which a file may set for itself.
        if not end <= entry.start < end + entry.alignment or entry.start % entry.alignment:
            raise _malformed(path, f"{name} begins at byte {entry.start}, expected {end}")
        end = entry.start + _size(path, name, entry)
    return end


def _size(path: Path, name: str, entry: Entry) -> int:
    """Gives a tensor's bytes."""
    known = {kind.value: sizes for kind, sizes in GGML_QUANT_SIZES.items()}
    if entry.kind not in known:
        raise _malformed(path, f"{name} is of the unknown type {entry.kind}")
    block, size = known[entry.kind]
    if not entry.shape or math.prod(entry.shape) == 0 or entry.shape[-1] % block:
        kind = GGMLQuantizationType(entry.kind).name
        raise _malformed(path, f"{name} of shape {entry.shape} cannot be {kind}")
    return math.prod(entry.shape) // int(block) * int(size)


def read_table(path: Path) -> dict[str, Entry]:
    """Gives a file's tensors by name, in their order.

    Raises:
        FormatError: if the file is no GGUF or ends in its header.
    """
    return dict(_read(path).entries)


def _read(path: Path) -> _Table:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Cursor(data).table()
    except (struct.error, LookupError, ValueError, OverflowError, RecursionError) as error:
        raise _malformed(path, f"its header is damaged ({error})") from error


class _Cursor:
    """A place in a file's bytes that moves on with each value that is read."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def table(self) -> _Table:
        if self._data[:4] != _MAGIC:
            raise ValueError("it does not begin with 'GGUF'")
        self._at = 4
        version, tensors, pairs = self._take("<IQQ")
        if version != _VERSION:
            raise ValueError(f"version {version}, expected {_VERSION}")
        alignment = self._alignment(pairs)
        entries = [self._entry() for _ in range(tensors)]
        data = self._at + -self._at % alignment
        table = {
            name: Entry(shape, kind, data + offset, alignment)
            for name, shape, kind, offset in entries
        }
        if len(table) < tensors:
            raise ValueError("two tensors have one name")
        return _Table(table, data)

    def _alignment(self, pairs: int) -> int:
        found, keys = _ALIGNMENT, set()
        for _ in range(pairs):
            key, (kind,) = self._text(), self._take("<I")
            if key in keys:  # one reader would take the first, another the last
                raise ValueError(f"two values have the key {key[:80].decode(errors='replace')!r}")
            keys.add(key)
            if key == b"general.alignment" and kind == _UINT32:
                (found,) = self._take("<I")
                if found < 8 or found & (found - 1):
                    raise ValueError(f"alignment {found}, expected a power of two of at least 8")
            else:
                self._skip(kind)
        return found

    def _entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name, (dimensions,) = self._text().decode(), self._take("<I")
        if dimensions > _MOST_DIMENSIONS or not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError(f"a tensor {name[:80]!r} of {dimensions} dimensions")
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
        if self._at > len(self._data):
            raise ValueError("it ends amid a text")
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
