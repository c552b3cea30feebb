"""Times ingest against plain DVC on the same data, the same remote, the same machine.

`python benchmarks/ingest.py` makes 1 GB of chat rows of about 1 kB, pins them with DVC in a
repository whose remote is a local folder, and takes them out again: with `dvc pull` into a fresh
clone with a fresh cache, with `dvc get`, with ingest's fetching alone and with the whole of
ingest, which also reads and checks every row. Twice: as 64 files, and as the three splits.
Each is a process of its own, run after a pass that warms the disk's cache; the figure is the
median of the runs. `--quick` takes 0.2 GB and one run. The last line is one JSON object: every
figure with its goal, and "ok".

Plain DVC copies without looking: its figures hold no hashing at all, ours hold MD5, SHA-256 and,
for ingest, the check of each row.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dulwich import porcelain

from figures import Figure, conclude

ROW_BYTES = 1000
RATIO = 1.5
CONFIG = """\
[core]
    remote = store
    analytics = false
['remote "store"']
    url = {url}
"""
FETCH = """
import sys
from pathlib import Path
from wherry.contracts.files import staged_folder
from wherry.ingest.adapters.open import open_store
from wherry.ingest.step import materialise
from wherry.progress import Silent
with open_store(sys.argv[1], "", "data") as store, staged_folder(Path(sys.argv[2])) as folder:
    materialise(store, folder, "", "", Silent())
"""
RUN = """
import sys
from pathlib import Path
from wherry.ingest.run import run
run(Path(sys.argv[2]), sys.argv[1], settings=sys.argv[3])
"""


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of all its threads and children."""
    memory: float
    """The most memory that it held, in MB."""


def main() -> None:
    """Measures, prints a table, prints the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="0.2 GB, one run each")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), quick=quick)
    conclude(figures)


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    """Measures both shapes of the data."""
    size, runs = (200_000_000, 1) if quick else (1_000_000_000, 3)
    shards = {f"shard-{number:02}.jsonl": size // 64 for number in range(64)}
    splits = {"train.jsonl": size * 8 // 10, "eval.jsonl": size // 10, "test.jsonl": size // 10}
    patterns = '{"files": {"all": "*.jsonl"}, "split": {"eval": 0.1, "test": 0.1}}'
    return [
        *_shape(folder / "shards", "64 files", shards, patterns, runs, verbatim=False),
        *_shape(folder / "splits", "3 splits", splits, "{}", runs, verbatim=True),
    ]


def _shape(
    folder: Path, name: str, sizes: dict[str, int], settings: str, runs: int, *, verbatim: bool
) -> list[Figure]:
    origin = _pinned(folder, sizes)
    python = [sys.executable, "-c"]
    ways: dict[str, Callable[[Path], list[str]]] = {
        "dvc pull": lambda place: _dvc(Path(shutil.copytree(origin, place)), "pull"),
        "dvc get": lambda place: _dvc(None, "get", str(origin), "data", "-o", str(place)),
        "fetch": lambda place: [*python, FETCH, str(origin), str(place)],
        "ingest": lambda place: [*python, RUN, str(origin), str(place), settings],
    }
    spent = {way: _median(folder, make, runs) for way, make in ways.items()}
    figures = [
        Figure(f"{name}: {way} {field}", round(getattr(one, field), 2), unit)
        for way, one in spent.items()
        for field, unit in (("wall", "s"), ("cpu", "s"), ("memory", "MB"))
    ]
    shutil.rmtree(folder)
    goal = RATIO if verbatim else None
    return [
        *figures,
        _ratio(
            f"{name}: fetch / dvc pull, wall", spent["fetch"].wall, spent["dvc pull"].wall, RATIO
        ),
        _ratio(
            f"{name}: ingest / dvc pull, wall", spent["ingest"].wall, spent["dvc pull"].wall, goal
        ),
        _ratio(f"{name}: ingest / dvc pull, cpu", spent["ingest"].cpu, spent["dvc pull"].cpu, None),
    ]


def _pinned(folder: Path, sizes: dict[str, int]) -> Path:
    """Makes a repository with the data in its DVC store, and nowhere else."""
    origin = folder / "origin"
    (origin / "data").mkdir(parents=True)
    first = 0
    for name, size in sizes.items():
        first = _write(origin / "data" / name, size, first)
    porcelain.init(str(origin)).close()
    (origin / ".dvc").mkdir()
    (origin / ".dvc" / "config").write_text(CONFIG.format(url=folder / "store"))
    for command in (["add", "-q", "data"], ["push", "-q"]):
        subprocess.run(_dvc(origin, *command), check=True, env=_environment(folder / "site"))
    shutil.rmtree(origin / ".dvc" / "cache")
    shutil.rmtree(origin / "data")
    return origin


def _write(path: Path, size: int, first: int) -> int:
    """Writes chat rows of about 1 kB; gives the number of the next row."""
    answer = "The finding agrees with the record of the visit, and nothing speaks against it. "
    with path.open("w") as file:
        number = first
        while number % 64 or file.tell() < size:
            file.write(_row(number, answer))
            number += 1
    return number


def _row(number: int, answer: str) -> str:
    filler = (answer * 10)[: ROW_BYTES - 230]
    row = {
        "id": f"row-{number}",
        "messages": [
            {"role": "user", "content": f"What does record {number} of {number % 977} say?"},
            {"role": "assistant", "content": f"{filler} {number * 7919 % 1_000_003}"},
        ],
        "label": f"label-{number % 7}",
        "group": f"group-{number}",
    }
    return json.dumps(row) + "\n"


def _dvc(folder: Path | None, *arguments: str) -> list[str]:
    where = ["--cd", str(folder)] if folder else []
    return [sys.executable, "-m", "dvc", *where, *arguments]


def _median(folder: Path, make: Callable[[Path], list[str]], runs: int) -> Spent:
    """Runs once to warm the disk's cache, then some times."""
    spent = [_spent(folder, make) for _ in range(runs + 1)][1:]
    return Spent(
        statistics.median(one.wall for one in spent),
        statistics.median(one.cpu for one in spent),
        max(one.memory for one in spent),
    )


def _spent(folder: Path, make: Callable[[Path], list[str]]) -> Spent:
    place, site = folder / "place", folder / "site"
    command = make(place)
    os.sync()  # else the one pays for writing out what the one before it wrote
    started = time.monotonic()
    process = subprocess.Popen(command, env=_environment(site), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed with {process.returncode}")
    for each in (place, site):
        shutil.rmtree(each, ignore_errors=True)
    return Spent(wall, usage.ru_utime + usage.ru_stime, _megabytes(usage))


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def _environment(site: Path) -> dict[str, str]:
    ours = {"DVC_SITE_CACHE_DIR": str(site), "DVC_NO_ANALYTICS": "1"}
    return {**os.environ, **ours, "WHERRY_EVENTS": os.devnull}


def _ratio(name: str, ours: float, theirs: float, goal: float | None) -> Figure:
    value = round(ours / theirs, 2)
    if goal is None:
        return Figure(name, value, "x")
    return Figure(name, value, "x", f"≤ {goal:g} x", value <= goal)


if __name__ == "__main__":
    main()
