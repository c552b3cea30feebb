"""Checks the rows of large files in several processes, as many bytes each.

Decoding rows keeps a core busy for seconds a gigabyte, and Python's threads would share that
core. The parts end at line ends; what a process saw of each it writes to a file.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from wherry.contracts import Kind
from wherry.cores import usable_cores
from wherry.rows.batch import Bad, Batch
from wherry.rows.jsonl import read_jsonl
from wherry.rows.lines import read_blocks
from wherry.rows.mapping import Mapper
from wherry.rows.read import read_batches
from wherry.rows.settings import Columns
from wherry.rows.stream import pieces

SMALLEST: Final = 64 << 20
"""Bytes of a process, at least: for fewer, starting a process costs more than it saves."""
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


@dataclass(frozen=True)
class _Segment:
    """Successive lines of a file, and the file that tells of them."""

    path: Path
    start: int
    end: int
    told: Path


def seen(
    paths: Sequence[Path], kind: Kind, scratch: Path, smallest: int = SMALLEST
) -> list[Iterator[Seen]]:
    """Gives what is seen in each of some files of JSON Lines, in its order.

    Args:
        paths: plain files.
        kind: what their rows are.
        scratch: a folder for what the processes say; made if there are any.
        smallest: bytes of a process, at least.

    Raises:
        FormatError: as `wherry.rows.read.read_batches`.
    """
    shares = _shares(paths, scratch, smallest)
    if len(shares) > 1 and _in_processes(kind, shares, scratch):
        segments = [segment for share in shares for segment in share]
        return [_joined([one.told for one in segments if one.path == path]) for path in paths]
    # Few bytes; or a process failed, and the reason is found here in words for people.
    return [_here(path, kind) for path in paths]


def _here(path: Path, kind: Kind) -> Iterator[Seen]:
    yield from map(_of_batch, read_batches(path, kind))  # opened only when it is its turn


def main() -> None:
    """Checks some parts: ``parts.py KIND``, then ``FILE START END OUT`` of each."""
    kind, *rest = sys.argv[1:]
    for number in range(0, len(rest), 4):
        path, start, end, out = rest[number : number + 4]
        _check(cast(Kind, kind), _Segment(Path(path), int(start), int(end), Path(out)))


def _check(kind: Kind, segment: _Segment) -> None:
    encode = msgspec.json.Encoder().encode
    with segment.path.open("rb") as file, segment.told.open("wb") as told:
        file.seek(segment.start)
        part = cast(BinaryIO, _Part(file, segment.end - segment.start))
        blocks = read_blocks(pieces(part, ""), segment.path.name, _BATCH)
        for batch in read_jsonl(blocks, Mapper(kind, Columns())):
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


def _shares(paths: Sequence[Path], scratch: Path, smallest: int) -> list[list[_Segment]]:
    """Divides files into as many bytes for each process, in their order."""
    total = sum(path.stat().st_size for path in paths)
    processes = min(_MOST, usable_cores(), total // smallest)
    shares: list[list[_Segment]] = [[]]
    before = 0
    for path in paths:
        place, size = 0, path.stat().st_size
        while len(shares) < processes and before + size > (cut := total * len(shares) // processes):
            end = max(place, _next_line(path, cut - before))
            shares[-1] += _segments(path, place, end, scratch)
            shares.append([])
            place = end
        shares[-1] += _segments(path, place, size, scratch)
        before += size
    return [share for share in shares if share]


def _segments(path: Path, start: int, end: int, scratch: Path) -> Iterator[_Segment]:
    """Gives one, or none where a line is longer than a process's share."""
    if start < end:
        yield _Segment(path, start, end, scratch / f"{path.name}-{start}.jsonl")


def _next_line(path: Path, place: int) -> int:
    """Gives where the line after the one at a place begins, without keeping a line in memory."""
    with path.open("rb") as file:
        file.seek(place)
        while piece := file.readline(_PIECE):
            if piece.endswith(b"\n"):
                break
        return file.tell()


def _in_processes(kind: Kind, shares: Sequence[Sequence[_Segment]], scratch: Path) -> bool:
    """Checks all parts at once, and says whether every process came to its end."""
    scratch.mkdir(parents=True)
    command = [sys.executable, "-m", "wherry.ingest.clean.parts", kind]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_KEEP}
    running = [
        subprocess.Popen(
            [*command, *(str(value) for one in share for value in astuple(one))],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for share in shares
    ]
    try:
        return all(process.wait() == 0 for process in running)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _joined(told: Sequence[Path]) -> Iterator[Seen]:
    before = 0
    decode = msgspec.json.Decoder(Seen).decode
    for path in told:
        lines = 0
        with path.open("rb") as file:
            for one in map(decode, file):
                lines += one.lines
                bad = tuple(replace(bad, line=bad.line + before) for bad in one.bad)
                yield replace(one, bad=bad)
        before += lines


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
