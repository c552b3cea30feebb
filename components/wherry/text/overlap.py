"""Finds rows that stand in a benchmark, so that a score measures skill and not memory.

The rule is GPT-3's (Brown et al., Language Models are Few-Shot Learners, 2020, appendix C): a
text that shares a run of 13 words with a benchmark is contaminated; case, spaces and punctuation
do not count. A text of fewer words is contaminated if it is, as a whole, one of the benchmark's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from wherry.contracts import Kind, Row
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import DataError, MissingError, SettingsError
from wherry.rows.read import read_batches
from wherry.rows.settings import Columns
from wherry.text.minhash import mixed
from wherry.text.normal import normalise_series

_BATCH: Final = 1 << 14
"""Texts taken at once."""
_MOST: Final = 30_000_000
"""Runs of words that the benchmarks may have in all; each takes 10 bytes, thrice while it grows."""
_FILTER: Final = np.uint64((1 << 24) - 1)
"""The bits of a hash that a first, quick look goes by."""
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_WHOLE: Final = np.uint64(0x5851F42D4C957F2D)
"""Keeps the hash of a whole short text apart from that of a run of words."""

_Hashes = npt.NDArray[np.uint64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Benchmark:
    """A file of texts that no row may stand in."""

    name: str
    path: Path
    """A file that `wherry.rows` reads, or ``.txt`` with a text a line."""
    kind: Kind = "text"
    """What its rows are; of a conversation, each turn but the system's is a text."""
    columns: Columns = field(default_factory=Columns)


class Benchmarks:
    """The runs of words of some benchmarks, as hashes: some 10 bytes each, and 16 MB.

    Args:
        benchmarks: read once, in order.
        words: the length of a run.

    Raises:
        SettingsError: on a run of fewer than 5 words, two benchmarks of one name, or more than
            30 million runs.
        DataError: if a file has a row that cannot be read, or no text.

    Example::

        mmlu = Benchmark("mmlu", Path("mmlu.jsonl"), "instruction", Columns(prompt="question"))
        Benchmarks([mmlu]).named(texts)  # a name or null a text
    """

    def __init__(self, benchmarks: Iterable[Benchmark], words: int = 13) -> None:
        benchmarks = tuple(benchmarks)
        self.names = tuple(benchmark.name for benchmark in benchmarks)
        _check(self.names, words)
        self._words = words
        self._hashes = np.zeros(0, dtype=np.uint64)
        self._owners = np.zeros(0, dtype=np.int16)
        self._seen = np.zeros(int(_FILTER) + 1, dtype=np.bool_)
        for owner, benchmark in enumerate(benchmarks):
            self._take(owner, benchmark)

    def named(self, texts: pl.Series) -> pl.Series:
        """Gives for each text the name of the first benchmark that it overlaps with, or null.

        Args:
            texts: strings; a null overlaps with nothing.
        """
        parts = [self._named(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]
        owners = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        names = pl.Series([*self.names, None], dtype=pl.String)
        return names.gather(pl.Series(owners))

    def _named(self, texts: pl.Series) -> _Ints:
        hashes, rows = _runs(texts.cast(pl.String).fill_null(""), self._words)
        maybe = np.flatnonzero(self._seen[hashes & _FILTER])
        places = np.searchsorted(self._hashes, hashes[maybe])
        places[places == len(self._hashes)] = 0
        found = np.zeros(len(maybe), dtype=np.bool_)
        if len(self._hashes):
            found = self._hashes[places] == hashes[maybe]
        owners = np.full(len(texts), len(self.names), dtype=np.int64)
        np.minimum.at(owners, rows[maybe[found]], self._owners[places[found]])
        return owners

    def _take(self, owner: int, benchmark: Benchmark) -> None:
        parts = [_runs(pl.Series(part), self._words)[0] for part in _texts(benchmark)]
        hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *map(np.unique, parts)])
        if not len(hashes):
            raise DataError(
                f"benchmark {benchmark.name!r} has no text in {benchmark.path.name}.",
                remedy="Check the file, and the column that its texts stand in.",
            )
        owners = np.full(len(hashes), owner, dtype=np.int16)
        # Of a run in several benchmarks np.unique keeps the first place: the earliest owner.
        self._hashes, first = np.unique(np.append(self._hashes, hashes), return_index=True)
        self._owners = np.append(self._owners, owners)[first]
        self._seen[hashes & _FILTER] = True
        if len(self._hashes) > _MOST:
            raise SettingsError(
                f"the benchmarks up to {benchmark.name!r} have {len(self._hashes)} runs of "
                f"{self._words} words, expected {_MOST} at most.",
                remedy="Leave out what is no benchmark.",
            )


def _check(names: Sequence[str], words: int) -> None:
    if words < 5:
        raise SettingsError(
            f"a run must have at least 5 words, got {words}: shorter ones are shared by chance.",
            remedy="Use 13, as GPT-3 did.",
        )
    if len(set(names)) < len(names) or not all(names):
        raise SettingsError(
            f"benchmarks must have names of their own, got {', '.join(names)}.",
            remedy="Rename one.",
        )


def _runs(texts: pl.Series, length: int) -> tuple[_Hashes, _Ints]:
    """Gives the hashes of all runs of words, and of short texts as a whole, with their rows."""
    plain = normalise_series(texts).str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars(" ")
    table = pl.DataFrame({"row": pl.int_range(len(plain), eager=True), "text": plain})
    table = table.filter(pl.col("text") != "").with_columns(
        pl.col("text").str.split(" ").alias("w")
    )
    long = pl.col("w").list.len() >= length
    hashes, rows = _runs_of_words(table.filter(long), length)
    short = table.filter(~long)
    whole = mixed(short["text"].hash().to_numpy() ^ _WHOLE)
    return np.append(hashes, whole), np.append(rows, short["row"].to_numpy())


def _runs_of_words(table: pl.DataFrame, length: int) -> tuple[_Hashes, _Ints]:
    words = table.select("row", "w").explode("w", empty_as_null=True)
    hashes, rows = words["w"].hash().to_numpy(), words["row"].to_numpy()
    last = max(0, len(hashes) - length + 1)
    rolled = np.zeros(last, dtype=np.uint64)
    for offset in range(length):
        rolled = rolled * _FACTOR + hashes[offset : offset + last]
    inside = rows[:last] == rows[length - 1 : length - 1 + last]
    return mixed(rolled[inside]), rows[:last][inside]


def _texts(benchmark: Benchmark) -> Iterator[list[str]]:
    """Gives a benchmark's texts, a batch at a time."""
    if benchmark.path.suffix.lower() == ".txt":
        yield from _lines(benchmark)
        return
    for batch in read_batches(benchmark.path, benchmark.kind, benchmark.columns, strict=False):
        if batch.bad:
            raise _unreadable(benchmark, batch.bad[0].line, batch.bad[0].reason)
        yield [text for row in batch.rows for text in _texts_of(row)]


def _texts_of(row: Row) -> Iterator[str]:
    yield from (message.content for message in row.messages if message.role != "system")
    yield from filter(None, (row.text, row.rejected))


def _lines(benchmark: Benchmark) -> Iterator[list[str]]:
    if not benchmark.path.is_file():
        raise MissingError(
            f"benchmark {benchmark.name!r} has no file {benchmark.path}.",
            remedy="Correct its path.",
        )
    texts: list[str] = []
    with benchmark.path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
            if len(line) > MAX_LINE_BYTES:
                raise _unreadable(benchmark, number, f"longer than {MAX_LINE_BYTES} bytes")
            try:
                texts.append(line.decode())
            except UnicodeDecodeError as error:
                raise _unreadable(benchmark, number, "no UTF-8") from error
            if len(texts) == _BATCH:
                yield texts
                texts = []
    yield texts


def _unreadable(benchmark: Benchmark, line: int, reason: str) -> DataError:
    return DataError(
        f"benchmark {benchmark.name!r}: {benchmark.path.name}, line {line}: {reason}.",
        remedy="Correct the file: a benchmark that is read in part would hide an overlap.",
    )
