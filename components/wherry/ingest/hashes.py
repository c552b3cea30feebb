"""Running hashes of the kinds that stores name their bytes by.

A hash is written as its kind and its digits:

- ``md5:…``, ``sha1:…``, ``sha256:…``, ``crc32:…``, ``crc32c:…``: of the bytes;
- ``git:…``: SHA-1 of git's blob, the bytes behind a header with their size;
- ``parts:SIZE:…-N``: S3's ETag of an upload in N parts of SIZE bytes;
- ``etag:…`` or empty: a mark that nothing can be compared with.
"""

import hashlib
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Protocol, Self

from wherry.contracts.errors import DigestError

_BEHIND: Final = 4
"""Pieces that a hash in its own thread may lag behind."""


class Running(Protocol):
    """A hash that takes bytes piece by piece."""

    def update(self, data: bytes, /) -> None:
        """Takes the next bytes."""

    def hexdigest(self) -> str:
        """Gives the hash of all bytes so far, as its digits are written."""


def running(expected: str, size: int | None = None) -> Running | None:
    """Gives the hash to compare with an expected one.

    Args:
        expected: as this module's docstring writes it.
        size: the file's length in bytes, which git's form needs.

    Returns:
        The hash, or None if the mark is one that nothing can be compared with.

    Raises:
        DigestError: on a kind of hash that is not known here, for it must not pass unchecked.
    """
    kind = expected.partition(":")[0]
    if kind in ("", "etag"):
        return None
    if kind == "parts":
        return _Parts(int(expected.split(":")[1]))
    if kind == "git":
        return _git_blob(size or 0)
    make = _KINDS.get(kind)
    if make is None:
        raise DigestError(
            f"The hash {expected!r} is of an unknown kind, expected one of "
            f"{', '.join([*_KINDS, 'git', 'parts', 'etag'])}.",
            remedy="Update Wherry, or take the data from another source.",
        )
    return make()


def digits(expected: str) -> str:
    """Gives the digits of a hash, without its kind."""
    return expected.rpartition(":")[2]


class Beside:
    """A hash that takes its pieces in a thread of its own, a few of them late.

    Two hashes of the same bytes then keep two cores busy, also for a single large file: hashlib
    lets other threads run meanwhile. Use it as a context manager.

    Args:
        inner: the hash.
    """

    def __init__(self, inner: Running) -> None:
        self._inner = inner
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._late: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        """Gives itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    def update(self, data: bytes, /) -> None:
        """Takes the next bytes, which must not change afterwards."""
        self._late.append(self._thread.submit(self._inner.update, data))
        if len(self._late) > _BEHIND:
            self._late.popleft().result()

    def hexdigest(self) -> str:
        """Waits for all bytes so far and gives their hash."""
        while self._late:
            self._late.popleft().result()
        return self._inner.hexdigest()


class _Crc:
    """A 32-bit checksum as eight hexadecimal digits."""

    def __init__(self, extend: Callable[[int, bytes], int]) -> None:
        self._extend = extend
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._extend(self._value, data)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _Parts:
    """The MD5 of the parts' MD5s, and how many there are.

    See https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._room = size
        self._part = _md5()
        self._done: list[bytes] = []

    def update(self, data: bytes, /) -> None:
        view = memoryview(data)
        while view:
            piece, view = view[: self._room], view[self._room :]
            self._part.update(piece)
            self._room -= len(piece)
            if not self._room:
                self._close()

    def hexdigest(self) -> str:
        if self._room < self._size:
            self._close()
        return f"{_md5(b''.join(self._done)).hexdigest()}-{len(self._done)}"

    def _close(self) -> None:
        self._done.append(self._part.digest())
        self._part, self._room = _md5(), self._size


def _md5(data: bytes = b"") -> Any:
    return hashlib.md5(data, usedforsecurity=False)


def _sha1(data: bytes = b"") -> Any:
    return hashlib.sha1(data, usedforsecurity=False)


def _git_blob(size: int) -> Running:
    blob: Running = _sha1(b"blob %d\0" % size)
    return blob


def _crc32() -> Running:
    return _Crc(lambda value, data: zlib.crc32(data, value))


def _crc32c() -> Running:
    from google_crc32c import (
        extend,
    )  # comes with the client of Cloud Storage, the store that uses it

    return _Crc(extend)


_KINDS: Final[dict[str, Callable[[], Running]]] = {
    "md5": _md5,
    "sha1": _sha1,
    "sha256": hashlib.sha256,
    "crc32": _crc32,
    "crc32c": _crc32c,
}
