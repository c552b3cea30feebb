"""Mutates real files of rows for a while, and names every input that is not taken as promised.

    python tests/rows/fuzz.py --seconds 300 --seed 7

Promised is: rows, bad lines and errors of `wherry.contracts.errors`, nothing else; every line of
JSON Lines counted once; the good lines around a mutated one there. Each round runs in a child
with limited memory, so that a crash is a finding too. Findings are kept in --keep.
"""

import argparse
import csv
import gzip
import io
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import zstandard

from wherry.contracts import Message, Row
from wherry.contracts.errors import WherryError
from wherry.rows import Columns, read_batches
from wherry.rows.canonical import encoded

ROUND = 40
"""Inputs a child reads."""
MOST_MEMORY = 3 << 30
"""Of a child, in bytes of addresses."""
SLOW = 20.0
"""Seconds of CPU that an input of these sizes can never need."""
ODD = [
    b"\0", b"\n", b"\r\n", b'"', b'""', b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xef\xbb\xbf",
    b"{", b"}", b"[" * 2000, b",", b"\t", b":", b' : ', b"NaN", b"1e999", b"9" * 5000, b"null",
    b'"id":"x",', b'"role":"user",', b"\xf0\x9f", b"\x1f\x8b", b"a" * (1 << 20),
]  # fmt: skip


def rows(chance: random.Random) -> list[Row]:
    """Makes good chat rows."""
    words = ["ear", "ache", "häh", "\u2028", "\n", '"', ",", "\\", ":", "\t", "😀", "x" * 50]
    text = lambda: " ".join(chance.choices(words, k=chance.randint(1, 12)))  # noqa: E731
    return [
        Row(f"r{n}", (Message("user", text()), Message("assistant", text())), text(), f"g{n}")
        for n in range(chance.randint(1, 60))
    ]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Changes some bytes: flips, cuts, copies, and puts odd ones in."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        end = min(len(found), place + chance.choice([1, 1, 4, 30, 500]))
        match chance.randrange(5):
            case 0:
                found[place:end] = chance.randbytes(end - place)
            case 1:
                del found[place:end]
            case 2:
                found[place:place] = chance.choice(ODD)
            case 3:
                found[place:place] = found[place:end] * chance.choice([1, 2, 100])
            case _:
                del found[place:]
    return bytes(found)


def as_csv(good: list[Row]) -> bytes:
    """Gives rows as a table of questions and answers."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["id", "prompt", "completion", "label"])
    table.writerows([r.id, r.messages[0].content, r.completion, r.label] for r in good)
    return text.getvalue().encode()


def as_parquet(good: list[Row], chance: random.Random) -> bytes:
    """Gives rows as Parquet, packed in one of its ways."""
    turns = [[{"role": m.role, "content": m.content} for m in r.messages] for r in good]
    frame = pl.DataFrame({"id": [r.id for r in good], "messages": turns})
    buffer = io.BytesIO()
    packing = chance.choice(["uncompressed", "snappy", "zstd", "gzip", "lz4", "brotli"])
    frame.write_parquet(buffer, compression=packing, row_group_size=chance.choice([5, 1000]))  # type: ignore[arg-type]
    return buffer.getvalue()


def around(chance: random.Random, folder: Path) -> None:
    """Checks that good lines survive beside rubbish that keeps to its line."""
    good = rows(chance)
    rubbish = [mutated(encoded(row), chance).replace(b"\n", b" ") for row in good]
    path = folder / "a.jsonl"
    lines = [
        b"!",
        *(line for pair in zip(rubbish, good, strict=True) for line in (pair[0], encoded(pair[1]))),
    ]
    packing: Callable[[bytes], bytes] = chance.choice([bytes, gzip.compress, zstandard.compress])
    path = (
        folder / f"a.jsonl{ {gzip.compress: '.gz', zstandard.compress: '.zst'}.get(packing, '') }"
    )
    path.write_bytes(packing(b"\n".join(lines)))
    found: dict[int, Row] = {}
    bad: list[int] = []
    for batch in read_batches(path, "chat", batch_rows=chance.choice([1, 7, 8192])):
        found |= dict(zip(batch.lines, batch.rows, strict=True))
        bad += [b.line for b in batch.bad]
    assert sorted([*found, *bad]) == list(range(1, len(lines) + 1)), "lines are lost"
    for number, row in enumerate(good):
        assert found.get(2 * number + 3) == row, "a good line did not survive"


def anything(chance: random.Random, folder: Path) -> None:
    """Checks that a mutated file of any format ends in rows or in an error of ours."""
    good = rows(chance)
    plain = b"\n".join(map(encoded, good)) + b"\n"
    suffix = chance.choice([".jsonl", ".json", ".csv", ".tsv", ".parquet", ".parquet"])
    data = as_parquet(good, chance) if suffix == ".parquet" else plain
    data = as_csv(good) if suffix in (".csv", ".tsv") else data
    packing = "" if suffix == ".parquet" else chance.choice(["", ".gz", ".zst"])
    if chance.random() < 0.5 and suffix != ".parquet":
        data = mutated(data, chance)
    data = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packing](data)
    if packing or suffix == ".parquet":
        data = mutated(data, chance) if chance.random() < 0.7 else data
    if suffix == ".parquet" and chance.random() < 0.9:
        data = b"PAR1" + data[4:-4] + b"PAR1"
    path = folder / f"a{suffix}{packing}"
    path.write_bytes(data)
    columns = Columns(prompt="prompt") if chance.random() < 0.2 else Columns()
    kind = chance.choice(["chat", "instruction", "preference", "text", "traffic"])
    try:
        lines = [
            n
            for batch in read_batches(path, kind, columns, strict=chance.random() < 0.5)  # type: ignore[arg-type]
            for n in [*batch.lines, *(b.line for b in batch.bad)]
        ]
    except WherryError:
        return
    assert len(set(lines)) == len(lines), "a line is told twice"


def round_of(seed: int, folder: Path, keep: Path) -> None:
    """Reads some inputs in this process, and leaves it with 1 at the first finding."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for number in range(ROUND):
        chance = random.Random(seed * ROUND + number)
        for old in folder.iterdir():
            old.unlink()
        (keep / "now").write_text(str(seed * ROUND + number))
        began = time.process_time()
        try:
            chance.choice([around, anything])(chance, folder)
            spent = time.process_time() - began
            assert spent < SLOW, f"{spent:.0f} s of CPU"
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    os._exit(0)


def kept(folder: Path, keep: Path, seed: str) -> None:
    """Copies the input of a finding."""
    for path in folder.iterdir():
        (keep / f"{seed}-{path.name}").write_bytes(path.read_bytes())


def main() -> int:
    """Runs rounds until the time is over."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seconds", type=float, default=60)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    asked = asked.parse_args()
    asked.keep.mkdir(exist_ok=True)
    ends, seed, found = time.monotonic() + asked.seconds, asked.seed, Counter[str]()
    with TemporaryDirectory() as name:
        while time.monotonic() < ends:
            child = os.fork()
            if not child:
                round_of(seed, Path(name), asked.keep)
            status = os.waitpid(child, 0)[1]
            found["rounds"] += 1
            if status:
                at = (asked.keep / "now").read_text()
                what = (
                    signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "failed"
                )
                print(f"input {at}: {what}", flush=True)
                found[what] += 1
                kept(Path(name), asked.keep, at)
            seed += 1
    bad = found.total() - found["rounds"]
    print(f"{found['rounds'] * ROUND:,} inputs, {bad} findings: {dict(found)}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
