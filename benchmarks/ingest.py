"""Times ingest against plain DVC on the same data, the same remote, the same machine.

`python benchmarks/ingest.py` makes 1 GB of chat rows of about 1 kB, pins them with DVC and takes
them out again from three kinds of remote, each reached by both sides: a folder of this disk, an
HTTP server, and a server of S3's protocol (moto's). Four ways each: `dvc pull` into a fresh clone
with a fresh cache; the same and then MD5 and SHA-256 of every file, in two threads, which is what
ingest does with them; ingest's fetching alone; and the whole of ingest, which also reads and
checks every row. The data is the three splits; on the disk also 64 files that are divided.
Each is a process of its own, run after a pass that warms the disk's cache; the figure is the
least of the runs, for what else the machine does can only add. `--quick` takes 0.2 GB and one
run. The last line is one JSON object: every figure with its goal, and "ok".

Plain DVC copies without looking: its figures hold no hashing at all, ours hold MD5, SHA-256, the
flush to the disk and, for ingest, the check of each row. So the goal stands against the pull with
the hashes; against the bare pull the ratio is told, but the MD5 of a gigabyte alone takes longer.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import botocore.session
from dulwich import porcelain

from figures import Figure, at_most, conclude

ROW_BYTES: Final = 1000
RATIO: Final = 1.5
SPLITS: Final = {"train.jsonl": 0.8, "eval.jsonl": 0.1, "test.jsonl": 0.1}
SHARDS: Final = {f"shard-{number:02}.jsonl": 1 / 64 for number in range(64)}
DIVIDED: Final = '{"files": {"all": "*.jsonl"}, "split": {"eval": 0.1, "test": 0.1}}'
BUCKET: Final = "benchmark"
KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""Any will do for moto."""
CONFIG: Final = """\
[core]
    remote = store
    analytics = false
['remote "store"']
    url = {url}
"""
PULL_AND_HASH = """
import hashlib, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
def digest(path, kind):
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
subprocess.run([sys.executable, "-m", "dvc", "--cd", sys.argv[1], "pull"], check=True)
with ThreadPoolExecutor(2) as pool:
    files = sorted(Path(sys.argv[1], "data").iterdir())
    list(pool.map(digest, *zip(*product(files, ("md5", "sha256")))))
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
    """Measures each remote, and both shapes of the data on the disk's."""
    size, runs = (200_000_000, 1) if quick else (1_000_000_000, 3)
    with _on_disk(folder / "shards") as url:
        place = _pinned(folder / "shards", url, SHARDS, size)
        figures = _compared("disk, 64 files", place, DIVIDED, runs)
    for name, serve in {"disk": _on_disk, "HTTP": _on_http, "S3": _on_s3}.items():
        with serve(folder / name) as url:
            place = _pinned(folder / name, url, SPLITS, size)
            figures += _compared(f"{name}, 3 splits", place, "{}", runs)
    return figures


@contextmanager
def _on_disk(folder: Path) -> Iterator[str]:
    yield str(folder / "store")


@contextmanager
def _on_http(folder: Path) -> Iterator[str]:
    # Pushed to the folder, pulled from the server: Python's own takes no uploads.
    (folder / "store").mkdir(parents=True)
    with _serving("http.server", "-b", "127.0.0.1", "-d", str(folder / "store")) as url:
        yield url


@contextmanager
def _on_s3(folder: Path) -> Iterator[str]:
    with _serving("moto.server", "-H", "127.0.0.1", "-p") as url:
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": url}
        botocore.session.get_session().create_client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}/{folder.name}"


@contextmanager
def _serving(*command: str) -> Iterator[str]:
    """Runs a server that takes its port as its last argument."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", *command, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _await(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _await(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"the server on port {port} did not start")


def _compared(name: str, origin: Path, settings: str, runs: int) -> list[Figure]:
    python = [sys.executable, "-c"]
    ways: dict[str, Callable[[Path], list[str]]] = {
        "dvc pull": lambda place: _dvc(_copied(origin, place), "pull"),
        "dvc pull and hashes": lambda place: [
            *python,
            PULL_AND_HASH,
            str(_copied(origin, place)),
        ],
        "fetch": lambda place: [*python, FETCH, str(origin), str(place)],
        "ingest": lambda place: [*python, RUN, str(origin), str(place), settings],
    }
    spent = {way: _least(origin.parent, make, runs) for way, make in ways.items()}
    # DVC has nothing that divides rows: there the whole of ingest is compared, not judged.
    judged = ("fetch",) if settings == DIVIDED else ("fetch", "ingest")
    shutil.rmtree(origin.parent)
    figures = [
        Figure(f"{name}: {way} {field}", round(getattr(one, field), 2), unit)
        for way, one in spent.items()
        for field, unit in (("wall", "s"), ("cpu", "s"), ("memory", "MB"))
    ]
    return figures + [
        _ratio(
            f"{name}: {way} / {peer}", spent[way], spent[peer], promised=hashed and way in judged
        )
        for peer, hashed in {"dvc pull": False, "dvc pull and hashes": True}.items()
        for way in ("fetch", "ingest")
    ]


def _ratio(name: str, ours: Spent, theirs: Spent, *, promised: bool) -> Figure:
    ratio = ours.wall / theirs.wall
    return at_most(name, ratio, "x", RATIO) if promised else Figure(name, round(ratio, 3), "x")


def _copied(origin: Path, place: Path) -> Path:
    return Path(shutil.copytree(origin, place))


def _pinned(folder: Path, url: str, shares: dict[str, float], size: int) -> Path:
    """Makes a repository with the data in its DVC store, and nowhere else."""
    origin = folder / "origin"
    (origin / "data").mkdir(parents=True)
    first = 0
    for name, share in shares.items():
        first = _write(origin / "data" / name, round(size * share), first)
    porcelain.init(str(origin)).close()
    (origin / ".dvc").mkdir()
    config = origin / ".dvc" / "config"
    config.write_text(CONFIG.format(url=folder / "store" if url.startswith("http:") else url))
    for command in (["add", "-q", "data"], ["push", "-q"]):
        subprocess.run(_dvc(origin, *command), check=True, env=_environment(folder / "site"))
    config.write_text(CONFIG.format(url=url))
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


def _least(folder: Path, make: Callable[[Path], list[str]], runs: int) -> Spent:
    """Runs once to warm the disk's cache, then some times."""
    spent = [_spent(folder, make) for _ in range(runs + 1)][1:]
    return Spent(
        min(one.wall for one in spent),
        min(one.cpu for one in spent),
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


if __name__ == "__main__":
    main()
