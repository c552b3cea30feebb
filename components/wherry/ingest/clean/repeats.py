"""Finds rows that repeat an earlier one, word for word or nearly.

Rows are numbered test first, then eval, then train, and of two rows that repeat each other the
earlier stays: so nothing of the held-out rows remains in train.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from wherry.contracts import Cleaned, Row
from wherry.ingest.clean.settings import By, DropDuplicates, DropNearDuplicates
from wherry.ingest.clean.spill import HELD_OUT_FIRST, Spill
from wherry.ingest.clean.steps import Rows, Tally
from wherry.narrow import NarrowTable, fetched, opened
from wherry.text.near import NearDuplicates
from wherry.text.normal import normalised, strip_control

_KEYS: Final = {"number": pl.Int64, "split": pl.Int8, "prompt": pl.Int64, "content": pl.Int64}
_REPEATED: Final = """
    SELECT number, held_out FROM (
        SELECT
            number,
            prompt IS NOT NULL AND min(split) OVER (PARTITION BY prompt) < split AS held_out,
            number > min(number) OVER (PARTITION BY split, content) AS again
        FROM keys
    )
    WHERE held_out OR again
"""


class Duplicates:
    """The step that leaves out rows that repeat another word for word.

    Args:
        settings: what is compared.
        name: the step's.
        scratch: a folder of its own, not there yet.
    """

    def __init__(self, settings: DropDuplicates, name: str, scratch: Path) -> None:
        self._by = settings.by
        self._tally = Tally(name)
        self._scratch = scratch

    def __call__(self, rows: Rows) -> Rows:
        """Gives the rows that repeat no earlier one."""
        spill = spilled(rows, self._scratch / "rows")
        self._tally.rows = spill.rows
        keys = NarrowTable(self._scratch / "keys", _KEYS)
        for split, numbers, part in spill.numbered():
            keys.add(self._columns(HELD_OUT_FIRST.index(split), numbers, part))
        return spill.without(self._repeated(keys))

    def cleaned(self) -> Cleaned:
        """Says how many rows it left out, and why."""
        return self._tally.cleaned()

    def _columns(
        self, split: int, numbers: Sequence[int], rows: Sequence[Row]
    ) -> dict[str, Sequence[int | None]]:
        prompts = [hashed(prompt_of(row)) for row in rows]
        own = prompts if self._by == "prompt" else [hashed(*texts_of(row)) for row in rows]
        # A row without a question is compared by all that it has.
        content = [hashed(*texts_of(r)) if k is None else k for r, k in zip(rows, own, strict=True)]
        return {
            "number": numbers,
            "split": [split] * len(numbers),
            "prompt": prompts,
            "content": content,
        }

    def _repeated(self, keys: NarrowTable) -> Iterator[int]:
        with opened(self._scratch, keys=keys) as database:
            for number, held_out in fetched(database, _REPEATED):
                yield told(self._tally, number, held_out=held_out, words="repeat a row")


class NearRepeats:
    """The step that leaves out rows that nearly repeat another.

    Args:
        settings: what is compared, and how near is too near.
        name: the step's.
        scratch: a folder of its own, not there yet.
    """

    def __init__(self, settings: DropNearDuplicates, name: str, scratch: Path) -> None:
        self._settings = settings
        self._tally = Tally(name)
        self._scratch = scratch

    def __call__(self, rows: Rows) -> Rows:
        """Gives the rows that come near no earlier one."""
        spill = spilled(rows, self._scratch / "rows")
        self._tally.rows = spill.rows
        folder = self._scratch / "near"
        folder.mkdir(parents=True)
        found = NearDuplicates(folder, self._settings.threshold)
        for _, numbers, part in spill.numbered():
            found.add(numbers, [_compared(row, self._settings.by) for row in part])
        return spill.without(self._repeated(found, spill))

    def cleaned(self) -> Cleaned:
        """Says how many rows it left out, and why."""
        return self._tally.cleaned()

    def _repeated(self, found: NearDuplicates, spill: Spill) -> Iterator[int]:
        seen: set[int] = set()
        for number, earlier in found.repeats():
            if number not in seen:
                seen.add(number)
                held_out = spill.split_of(earlier) != spill.split_of(number)
                words = "come near a row"
                yield told(self._tally, number, held_out=held_out, words=words)


def spilled(rows: Rows, folder: Path) -> Spill:
    """Gives rows on disk: as they lie there already, or written down now."""
    return rows if isinstance(rows, Spill) else Spill.of(rows, folder)


def told(tally: Tally, number: int, *, held_out: bool, words: str) -> int:
    """Counts a row that is left out, and gives its number."""
    tally.dropped += 1
    tally.told[f"{words} of {'a held-out' if held_out else 'the same'} split"] += 1
    return number


def prompt_of(row: Row) -> str:
    """Gives what a row asks, without what is mere form; its text if it asks nothing."""
    asked = "\n".join(turn.content for turn in row.prompt if turn.role != "system")
    return normalised(strip_control(asked or row.text))


def texts_of(row: Row) -> list[str]:
    """Gives every text of a row, without what is mere form."""
    turns = (f"{turn.role} {normalised(turn.content)}" for turn in row.messages)
    return [*turns, normalised(row.text), normalised(row.rejected)]


def hashed(*texts: str) -> int | None:
    """Gives 64 bits of texts, or None if they are all blank.

    Of a million different texts, two share them with a probability of 3 in 100 million.
    """
    if not any(text.strip() for text in texts):
        return None
    raw = hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(raw.digest(), "big", signed=True)


def _compared(row: Row, by: By) -> str:
    answers: Iterable[str] = (row.completion, row.rejected) if by == "row" and row.messages else ()
    return "\n".join((prompt_of(row), *answers))
