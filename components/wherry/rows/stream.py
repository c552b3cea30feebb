"""Opens a file that nobody vouches for, and unpacks it piece by piece."""

import os
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from wherry.contracts.errors import ExtraMissingError, FormatError, MissingError

CHUNK: Final = 1 << 20
"""Most bytes of a piece."""
MAX_RATIO: Final = 1000
"""A file that unpacks to more than this many times its size is refused. Rows of text unpack to 3
to 50 times, copies of the same few rows to some hundreds."""
_FREE: Final = 16 << 20
"""Bytes that any file may unpack to, whatever its size."""
_ZSTD_WINDOW: Final = 1 << 27
"""The most memory that ``zstd --long`` asks of a reader by default, in bytes."""
_ZSTD_INPUT: Final = 1 << 10
"""Bytes unpacked at once: a block of 4 bytes can hold 128 KiB, so these give 32 MiB at most."""
_PACKED: Final = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"PAR1": ".parquet"}
_OTHER_TEXT: Final = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class Piece(NamedTuple):
    """Some successive bytes."""

    data: bytes
    size: int
    """What was read from the disk for it, in bytes."""


class BrokenError(Exception):
    """The bytes from here on cannot be read; the text says why."""


def opened(path: Path) -> BinaryIO:
    """Opens a plain file; a pipe does not block it, a link does not lead it elsewhere.

    Raises:
        MissingError: if there is none.
        FormatError: if it is a link, a folder, a pipe or a device.
    """
    if path.is_symlink():  # O_NOFOLLOW would refuse it too, in words that nobody understands
        raise _not_plain(path, "a symbolic link")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise MissingError(
            f"There is no file {str(path)!r}.", remedy="Correct the path or add the file."
        ) from error
    if stat.S_ISREG(mode := os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise _not_plain(path, "a folder" if stat.S_ISDIR(mode) else "a pipe or a device")


def pieces(file: BinaryIO, packing: str) -> Iterator[Piece]:
    """Gives a file's bytes, unpacked, at most `CHUNK` at a time.

    Args:
        file: at its start.
        packing: ``.gz``, ``.zst`` or empty.

    Raises:
        BrokenError: if it is damaged, cut off, unpacks without end or holds no UTF-8.
        ExtraMissingError: if zstandard is not installed.
    """
    readers: dict[str, Callable[[BinaryIO], Iterator[Piece]]]
    readers = {"": _plain, ".gz": _gunzipped, ".zst": _unzstd}
    unpacked = readers[packing](file)
    yield from _started(_even(_limited(unpacked)) if packing else unpacked)


def _not_plain(path: Path, what: str) -> FormatError:
    return FormatError(
        f"{str(path)!r} is {what}, expected a plain file.", remedy="Name the file itself."
    )


def _started(pieces: Iterator[Piece]) -> Iterator[Piece]:
    first = next(pieces, None)
    if first is None:
        return
    for magic, suffix in _PACKED.items():
        if first.data.startswith(magic):
            raise BrokenError(f"it is a {suffix} file by its first bytes, but not by its name")
    for mark, name in _OTHER_TEXT.items():
        if first.data.startswith(mark):
            raise BrokenError(f"it is {name}, expected UTF-8")
    yield first
    yield from pieces


def _limited(pieces: Iterator[Piece]) -> Iterator[Piece]:
    packed = unpacked = 0
    for piece in pieces:
        packed += piece.size
        unpacked += len(piece.data)
        if unpacked > _FREE and unpacked > MAX_RATIO * packed:
            raise BrokenError(f"it unpacks to more than {MAX_RATIO} times its size")
        yield piece


def _even(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Joins small pieces and cuts large ones."""
    ready: list[bytes] = []
    size = length = 0
    try:
        for piece in pieces:
            ready.append(piece.data)
            size += piece.size
            length += len(piece.data)
            if length >= CHUNK:
                yield from _cut(b"".join(ready), size)
                ready, size, length = [], 0, 0
    except BrokenError:
        yield from _cut(b"".join(ready), size)  # so that the line that was reached is told right
        raise
    yield from _cut(b"".join(ready), size)


def _cut(data: bytes, size: int) -> Iterator[Piece]:
    for start in range(0, len(data), CHUNK):
        yield Piece(data[start : start + CHUNK], 0 if start else size)


def _plain(file: BinaryIO) -> Iterator[Piece]:
    while data := file.read(CHUNK):
        yield Piece(data, len(data))


def _gunzipped(file: BinaryIO) -> Iterator[Piece]:
    unpack = zlib.decompressobj(wbits=31)
    while packed := file.read(CHUNK // 4):
        size, data = len(packed), b""
        while packed or len(data) == CHUNK:
            if unpack.eof:
                if not (packed := packed.lstrip(b"\0")):  # padding, as tapes have it
                    break
                unpack = zlib.decompressobj(wbits=31)
            try:
                data = unpack.decompress(packed, CHUNK)
            except zlib.error:
                raise BrokenError("its gzip data is damaged") from None
            packed = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
            yield Piece(data, size)
            size = 0
    if not unpack.eof:
        raise BrokenError("its gzip data is cut off")


def _unzstd(file: BinaryIO) -> Iterator[Piece]:
    try:
        import zstandard  # only for files that need it
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            "Reading a .zst file needs zstandard, which is not installed.",
            remedy='Run: pip install "wherry[ingest]"',
        ) from error
    # Not stream_reader(): at the end of a file that is cut off it gives no error.
    maker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    unpack = maker.decompressobj()
    while packed := file.read(_ZSTD_INPUT):
        size = len(packed)
        while packed:
            if unpack.eof:  # the next frame
                unpack = maker.decompressobj()
            try:
                data = unpack.decompress(packed)
            except zstandard.ZstdError:
                raise BrokenError("its zstd data is damaged or needs too much memory") from None
            packed = unpack.unused_data if unpack.eof else b""
            yield Piece(data, size)
            size = 0
    if not unpack.eof:
        raise BrokenError("its zstd data is cut off")
