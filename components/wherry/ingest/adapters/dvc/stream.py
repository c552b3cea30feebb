"""Reads one object of a DVC store as one answer, ahead of whoever works on it."""

import asyncio
import io
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from fsspec.asyn import sync


class Streamed(io.RawIOBase):
    """An object of S3 or an HTTP server, read as one answer.

    s3fs itself opens an object as many ranges, each asked for only when the one before it is
    used up: every 8 MB would wait for the store once more. fsspec reads HTTP in pieces as small
    as the network gives them, and goes from thread to thread for each.

    Args:
        fs: s3fs's or fsspec's file system.
        path: the bucket and the key, or the address.
        options: of its `open_async`.
    """

    def __init__(self, fs: Any, path: str, options: Mapping[str, Any]) -> None:
        self._loop = fs.loop
        self._file = sync(self._loop, fs.open_async, path, **options)
        self._ahead: Future[bytes] | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Gives the next bytes, as many as are asked for but at the end.

        As many more are then asked for ahead: they come while the caller works on these.
        """
        found = (self._ahead or self._asked_for(size)).result()
        self._ahead = self._asked_for(size) if 0 < size == len(found) else None  # fewer: the end
        return found

    def close(self) -> None:
        """Gives the connection back; s3fs's own close would leave it to the collector."""
        if not self.closed:
            if self._ahead:
                self._ahead.cancel()
            if self._file.r is not None:
                self._loop.call_soon_threadsafe(self._file.r.close)
        # Else the collector would close it, by a coroutine that nobody awaits.
        self._file.closed = True
        super().close()

    def _asked_for(self, size: int) -> "Future[bytes]":
        return asyncio.run_coroutine_threadsafe(self._gathered(size), self._loop)

    async def _gathered(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size and (piece := await self._file.read(size)):
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)
