"""Keeps the columns of `wherry.text.near` on disk, and reads back the rows that are asked for."""

import mmap
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from wherry.text.minhash import HASHES, jaccard, shingles

_CACHED: Final = 4096
"""Texts whose shingles are kept at hand; neighbours are compared with the same ones."""


class Spill:
    """Columns of fixed width, one file each, and the texts; written once, then read.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._maps: dict[str, mmap.mmap] = {}
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._bytes = 0
        self._shingles = lru_cache(_CACHED)(self._shingles_of)

    def write(self, name: str, values: npt.NDArray[Any]) -> None:
        """Appends values to a column."""
        if name not in self._files:
            self._files[name] = (self._folder / name).open("w+b")
        self._files[name].write(np.ascontiguousarray(values).data)

    def write_texts(self, texts: pl.Series) -> None:
        """Appends texts."""
        ends = self._bytes + np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64))
        self.write("ends", ends)
        self.write("texts", np.frombuffer("".join(texts).encode(), dtype=np.uint8))
        self._bytes = int(ends[-1])

    def flush(self) -> None:
        """Ends the writing: what was written can be read."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Ends the reading too."""
        self._arrays.clear()
        for file in self._files.values():
            file.close()

    def array(self, name: str, dtype: type[Any]) -> npt.NDArray[Any]:
        """Gives a column, mapped from the disk."""
        if name not in self._arrays:
            self._arrays[name] = self._mapped(name, dtype)
        return self._arrays[name]

    def _mapped(self, name: str, dtype: type[Any]) -> npt.NDArray[Any]:
        path = self._folder / name
        if not path.exists() or not path.stat().st_size:
            return np.zeros(0, dtype=dtype)
        with path.open("rb") as file:
            self._maps[name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._maps[name], dtype=dtype)

    def let_go(self) -> None:
        """Gives the memory of what was read back to the system, which keeps it while it may."""
        for mapped in self._maps.values():
            mapped.madvise(mmap.MADV_DONTNEED)

    def sketches(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Gives the sketches of rows: rows by bytes."""
        # Read, not mapped: each page that is touched would map its neighbours and stay.
        read = [self._read("sketch", row * HASHES, HASHES) for row in rows.tolist()]
        return np.frombuffer(b"".join(read), dtype=np.uint8).reshape(-1, HASHES)

    def similarity(self, one: int, other: int) -> float:
        """Gives the Jaccard similarity of two rows' shingles."""
        return jaccard(self._shingles(one), self._shingles(other))

    def _shingles_of(self, row: int) -> frozenset[str]:
        ends = self.array("ends", np.int64)
        start, end = int(ends[row - 1]) if row else 0, int(ends[row])
        return shingles(self._read("texts", start, end - start).decode())

    def _read(self, name: str, start: int, size: int) -> bytes:
        return os.pread(self._files[name].fileno(), size, start)
