"""Checks the rows of a large file in several processes, a part of the file each.

Decoding rows keeps a core busy for seconds a gigabyte, and Python's threads would share that
core. The parts end at line ends; each process writes what it saw to a file of its own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from wherry.contracts import Kind
from wherry.rows.batch import Bad, Batch
from wherry.rows.jsonl import read_jsonl
from wherry.rows.lines import read_blocks
from wherry.rows.mapping import Mapper
from wherry.rows.read import read_batches
from wherry.rows.settings import Columns
from wherry.rows.stream import pieces

SMALLEST: Final = 64 << 20
"""Bytes of a part, at least: for fewer, starting a process costs more than it saves."""
_MOST: Final = 4
"""Processes; more would wait for the disk."""
_BATCH: Final = 8192
_PIECE: Final = 1 << 20
_KEEP: Final = {"MALLOC_TOP_PAD_": str(64 << 20)}
"""Has glibc keep the memory of one block of lines for the next: a fifth of the time was spent on
giving it back to the system and fetching it again. See mallopt(3)."""


@dataclass(frozen=True)
class Seen:
    """What was seen in some successive lines."""

    rows: int
    lines: int
    bytes_read: int
    canonical: bool
    """Whether every row among them is in Wherry's own form."""
    labels: tuple[str, ...] = ()
    bad: tuple[Bad, ...] = ()


def seen(path: Path, kind: Kind, scratch: Path, smallest: int = SMALLEST) -> Iterator[Seen]:
    """Gives what is seen in a file of JSON Lines, in its order.

    Args:
        path: a plain file.
        kind: what its rows are.
        scratch: an empty folder, for what the processes say.
        smallest: bytes of a part, at least.

    Raises:
        FormatError: as `wherry.rows.read.read_batches`.
    """
    limits = _limits(path, smallest)
    if len(limits) > 2 and _in_processes(path, kind, limits, scratch):
        yield from _joined(scratch, len(limits) - 1)
    else:
        # One part; or a process failed, and the reason is found here in words for people.
        yield from map(_of_batch, read_batches(path, kind))


def main() -> None:
    """Checks one part: ``parts.py FILE KIND START END OUT``."""
    path, kind, start, end, out = sys.argv[1:]
    encode = msgspec.json.Encoder().encode
    with Path(path).open("rb") as file, Path(out).open("wb") as told:
        file.seek(int(start))
        part = cast(BinaryIO, _Part(file, int(end) - int(start)))
        blocks = read_blocks(pieces(part, ""), Path(path).name, _BATCH)
        for batch in read_jsonl(blocks, Mapper(cast(Kind, kind), Columns())):
            told.write(encode(asdict(_of_batch(batch))) + b"\n")


class _Part:
    """The next bytes of a file, as if there were no more."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _limits(path: Path, smallest: int) -> list[int]:
    """Gives where parts begin and end: 0, then places after a line end, then the file's size."""
    size = path.stat().st_size
    parts = min(_MOST, len(os.sched_getaffinity(0)), size // smallest)
    limits = {0, size}
    with path.open("rb") as file:
        for number in range(1, parts):
            limits.add(_next_line(file, size * number // parts))
    return sorted(limits)


def _next_line(file: BinaryIO, place: int) -> int:
    """Gives where the line after the one at a place begins, without keeping a line in memory."""
    file.seek(place)
    while piece := file.readline(_PIECE):
        if piece.endswith(b"\n"):
            break
    return file.tell()


def _in_processes(path: Path, kind: Kind, limits: list[int], scratch: Path) -> bool:
    """Checks all parts at once, and says whether every process came to its end."""
    command = [sys.executable, "-m", "wherry.ingest.clean.parts", str(path), kind]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_KEEP}
    running = [
        subprocess.Popen(
            [*command, str(start), str(end), str(_told(scratch, number))],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number, (start, end) in enumerate(pairwise(limits))
    ]
    try:
        return all(process.wait() == 0 for process in running)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _joined(scratch: Path, parts: int) -> Iterator[Seen]:
    before = 0
    decode = msgspec.json.Decoder(Seen).decode
    for number in range(parts):
        lines = 0
        with _told(scratch, number).open("rb") as file:
            for one in map(decode, file):
                lines += one.lines
                bad = tuple(replace(bad, line=bad.line + before) for bad in one.bad)
                yield replace(one, bad=bad)
        before += lines


def _told(scratch: Path, number: int) -> Path:
    return scratch / f"part-{number}.jsonl"


def _of_batch(batch: Batch) -> Seen:
    return Seen(
        rows=len(batch.rows),
        lines=len(batch.lines) + len(batch.bad),
        bytes_read=batch.bytes_read,
        canonical=batch.canonical,
        labels=tuple(sorted({row.label for row in batch.rows} - {""})),
        bad=tuple(batch.bad),
    )


if __name__ == "__main__":
    main()
