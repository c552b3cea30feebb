"""A version store in memory, for ingest's step."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from wherry.contracts import Source
from wherry.ingest.step import TrackedFile, listing_checksum


@dataclass
class MemoryStore:
    """Holds files by path; `served` gives other bytes for some, as a corrupted store does."""

    contents: Mapping[str, bytes]
    served: Mapping[str, bytes] = field(default_factory=dict)
    listed: Sequence[TrackedFile] | None = None
    """Instead of the true listing."""

    def resolve(self) -> Source:
        return Source("dvc:.", "c0ffee", "data", listing_checksum(self._true_listing()))

    def files(self) -> Sequence[TrackedFile]:
        return self._true_listing() if self.listed is None else self.listed

    def open(self, file: TrackedFile) -> BinaryIO:
        return io.BytesIO(self.served.get(file.path, self.contents[file.path]))

    def _true_listing(self) -> list[TrackedFile]:
        return [
            TrackedFile(path, hashlib.md5(data, usedforsecurity=False).hexdigest())
            for path, data in self.contents.items()
        ]
