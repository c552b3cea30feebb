"""Holds rows on disk while steps compare them with each other."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from wherry.contracts import Row
from wherry.contracts.dataset import SplitName
from wherry.ingest.clean.steps import Part, Rows

HELD_OUT_FIRST: Final[tuple[SplitName, ...]] = ("test", "eval", "train")
"""The order of the numbers: of two rows that repeat each other the first stays."""
_BATCH: Final = 8192
"""Rows that are held at a time."""


@dataclass(frozen=True)
class Spill:
    """Rows on disk with their numbers: those of test first, then eval, then train."""

    folder: Path
    counts: dict[SplitName, int]
    """Rows of each split, those that are left out included."""
    out: bytearray
    """One byte a row: 1 for a row that is left out."""

    @classmethod
    def of(cls, rows: Rows, folder: Path) -> "Spill":
        """Writes rows down, one file a split.

        Args:
            rows: in any order of splits.
            folder: made; gets nothing else.
        """
        folder.mkdir(parents=True)
        counts: dict[SplitName, int] = dict.fromkeys(HELD_OUT_FIRST, 0)
        with ExitStack() as stack:
            files = {name: stack.enter_context(_file(folder, name).open("wb")) for name in counts}
            for split, part in rows:
                _write(files[split], part)
                counts[split] += len(part)
        return cls(folder, counts, bytearray(sum(counts.values())))

    def without(self, numbers: Iterable[int]) -> "Spill":
        """Gives the same rows without some of them."""
        out = bytearray(self.out)
        for number in numbers:
            out[number] = 1
        return Spill(self.folder, self.counts, out)

    @property
    def rows(self) -> int:
        """How many are left."""
        return self.out.count(0)

    def split_of(self, number: int) -> SplitName:
        """Gives the split of the row with a number."""
        for split in HELD_OUT_FIRST[:-1]:
            if number < self.counts[split]:
                return split
            number -= self.counts[split]
        return HELD_OUT_FIRST[-1]

    def numbered(self) -> Iterator[tuple[SplitName, list[int], list[Row]]]:
        """Gives the rows that are left, with their numbers, in ascending order."""
        start = 0
        for split in HELD_OUT_FIRST:
            yield from self._of_split(split, start)
            start += self.counts[split]

    def __iter__(self) -> Iterator[Part]:
        """Gives the rows that are left."""
        for split, _, rows in self.numbered():
            yield split, rows

    def _of_split(
        self, split: SplitName, start: int
    ) -> Iterator[tuple[SplitName, list[int], list[Row]]]:
        decode = msgspec.json.Decoder(Row).decode
        with _file(self.folder, split).open("rb") as file:
            numbered = enumerate(file, start)
            while batch := list(islice(numbered, _BATCH)):
                left = [(number, line) for number, line in batch if not self.out[number]]
                yield split, [number for number, _ in left], [decode(line) for _, line in left]


def _file(folder: Path, split: str) -> Path:
    return folder / f"{split}.jsonl"


def _write(file: BinaryIO, rows: list[Row]) -> None:
    file.write(msgspec.json.Encoder().encode_lines(rows))
