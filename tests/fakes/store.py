"""A version store in memory, for ingest's step."""

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from wherry.contracts import Source
from wherry.contracts.errors import MissingError, WherryError
from wherry.ingest.step import TrackedFile, listing_checksum


@dataclass
class MemoryStore:
    """Holds files by path; `served` gives other bytes for some, as a corrupted store does."""

    contents: Mapping[str, bytes]
    served: Mapping[str, bytes] = field(default_factory=dict)
    listed: Sequence[TrackedFile] | None = None
    """Instead of the true listing."""
    faults: Mapping[str, Sequence[Exception]] = field(default_factory=dict)
    """By path: what is raised in the middle of the first, the second … reading."""
    opened: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def resolve(self) -> Source:
        return Source("dvc:.", "c0ffee", "data", listing_checksum(self._true_listing()))

    def files(self) -> Sequence[TrackedFile]:
        return self._true_listing() if self.listed is None else self.listed

    def expected(self, file: TrackedFile) -> str:
        return file.hash

    def open(self, file: TrackedFile) -> BinaryIO:
        with self._lock:
            turn = self.opened[file.path]
            self.opened[file.path] += 1
        data = self.served.get(file.path, self.contents[file.path])
        faults = self.faults.get(file.path, ())
        return _Breaking(data, faults[turn]) if turn < len(faults) else io.BytesIO(data)

    def explain(self, error: Exception, file: TrackedFile) -> WherryError:
        return MissingError(f"The store does not give {file.path}: {error}.", remedy="Wait.")

    def _true_listing(self) -> list[TrackedFile]:
        return [
            TrackedFile(path, f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}")
            for path, data in self.contents.items()
        ]


class _Breaking(io.BytesIO):
    """Gives half of its bytes, then raises."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data[: len(data) // 2])
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece:
            raise self._error
        return piece
