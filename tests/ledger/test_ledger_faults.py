"""Kills, races and full disks leave the store whole, and lose nothing that it acknowledged."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import NAME, candidate
from wherry.contracts import ArtifactRef
from wherry.contracts.errors import NoSpaceError
from wherry.ledger import CHAMPION, Ledger

pytestmark = pytest.mark.faults
WORKERS = 8
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def command(what: str, state: Path, *numbers: object) -> list[str]:
    """The command line of a storekeeper."""
    return [sys.executable, "-m", "tests.fakes.storekeeper", what, str(state), *map(str, numbers)]


def start(what: str, state: Path, *numbers: object) -> "subprocess.Popen[str]":
    """Starts a storekeeper."""
    return subprocess.Popen(
        command(what, state, *numbers), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def race(state: Path, work: list["subprocess.Popen[str]"]) -> list[list[dict[str, Any]]]:
    """Lets all begin at once; gives the lines that each printed."""
    (state.parent / "go").touch()
    return [
        [json.loads(line) for line in one.communicate(timeout=120)[0].split("\n") if line]
        for one in work
    ]


def filled(state: Path, versions: int) -> None:
    """Registers some versions."""
    with Ledger.open(state) as ledger:
        for version in range(1, versions + 1):
            ledger.register(candidate(ledger, state.parent, f"file {version}".encode()))


def check(state: Path) -> Ledger:
    """Asserts that the store holds together and every alias points at a whole file."""
    ledger = Ledger.open(state)
    found = ledger.verify()
    assert found.ok, found.reason
    for release in ledger.releases():
        if release.aliases:
            ref = ArtifactRef(uri=release.uri, digest=release.digest, size=release.size)
            ledger.artifacts.verified(ref)
    return ledger


def test_eight_first_starts_at_once_make_one_store_and_one_version(tmp_path: Path) -> None:
    state = tmp_path / ".wherry"
    lines = race(state, [start("first_start", state) for _ in range(WORKERS)])
    assert lines == [[{"version": 1}]] * WORKERS
    with check(state) as ledger:
        assert len(ledger.releases()) == ledger.verify().rows == 1


def test_no_first_start_meets_a_lock(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(WORKERS)

    def work() -> None:
        for start in range(60):  # SQLite answers about one in sixty "locked" without waiting
            together.wait(timeout=60)
            Ledger.open(tmp_path / str(start)).close()

    processes = [fork.Process(target=work) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * WORKERS


def test_of_eight_promotions_from_one_generation_one_wins(tmp_path: Path) -> None:
    state = tmp_path / ".wherry"
    filled(state, WORKERS)
    work = [start("promote_once", state, version) for version in range(1, WORKERS + 1)]
    lines = [line for (line,) in race(state, work)]
    won = [line for line in lines if "generation" in line]
    assert [line["generation"] for line in won] == [1]
    assert lines.count({"error": "E_CONFLICT"}) == WORKERS - 1
    assert sorted(one.returncode for one in work) == [0] + [4] * (WORKERS - 1)
    with check(state) as ledger:
        at = ledger.alias(NAME, CHAMPION)
        assert at and at.version == won[0]["version"]


def test_eight_promoters_lose_no_promotion(tmp_path: Path) -> None:
    state, times = tmp_path / ".wherry", 10
    filled(state, 2 * WORKERS)
    work = [start("promote", state, 2 * i + 1, 2 * i + 2, times) for i in range(WORKERS)]
    acknowledged = [line for lines in race(state, work) for line in lines if "generation" in line]
    with check(state) as ledger:
        told = {
            move.generation: move.version
            for row in ledger.audit()
            for move in row.moves
            if move.alias == CHAMPION
        }
    assert sorted(told) == list(range(1, WORKERS * times + 1))
    assert told == {line["generation"]: line["version"] for line in acknowledged}


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    state = tmp_path / ".wherry"
    chance = random.Random(7)
    acknowledged: dict[int, int] = {}
    for kill in range(20):
        worker = start("churn", state, kill)
        assert worker.stdout
        lines = [worker.stdout.readline()]  # it is at work
        time.sleep(chance.uniform(0, 0.15))
        worker.send_signal(signal.SIGKILL)
        lines += worker.communicate(timeout=30)[0].split("\n")
        whole = [json.loads(line) for line in lines if line.endswith(("}", "}\n"))]
        acknowledged |= {line["generation"]: line["version"] for line in whole}
        with check(state) as ledger:
            versions = [release.version for release in ledger.releases()]
            told = {
                move.generation: move.version
                for row in ledger.audit()
                for move in row.moves
                if move.alias == CHAMPION
            }
        assert versions == list(range(1, len(versions) + 1))
        assert acknowledged.items() <= told.items()
        assert list(told.values()) == versions  # none registered with its alias unmoved
    assert len(acknowledged) >= 20


def on_a_small_disk(folder: Path, state: Path) -> list[str]:
    """The command line that runs a storekeeper on a tmpfs of its own, 3 MB large."""
    inner = f'mount -t tmpfs -o size=3m tmpfs "{folder}" && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", inner, "sh", *command("fill", state)]


def test_a_full_disk_is_named_and_changes_nothing(tmp_path: Path) -> None:
    mounts = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(mounts, capture_output=True).returncode:
        pytest.skip("this system lets no test mount a small disk")
    done = subprocess.run(
        on_a_small_disk(tmp_path, tmp_path / ".wherry"),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout) == {
        "publish": "E_NOSPACE",
        "register": "E_NOSPACE",
        "switch": "E_NOSPACE",
        "open": "E_NOSPACE",
        "ok": True,
        "unchanged": True,
        "generation": 1,
        "version": 3,
        "verified": True,
    }


def test_a_full_database_is_named_and_changes_nothing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / ".wherry") as ledger:
        ledger.register(candidate(ledger, tmp_path, b"one"))
        database = ledger._tables._db._db  # SQLite's own limit stands in for a full disk
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(NoSpaceError, match=r"ledger\.db") as caught:
            for number in range(100):
                ledger.register(candidate(ledger, tmp_path, f"file {number}".encode()))
        assert caught.value.code == "E_NOSPACE"
        kept = len(ledger.releases())
        assert ledger.verify().ok
        assert ledger.verify().rows == kept
        database.execute("PRAGMA max_page_count = 100000")
        ledger.register(candidate(ledger, tmp_path, b"room again"))
        assert len(ledger.releases()) == kept + 1


def test_a_limit_on_file_sizes_ends_in_a_typed_error(tmp_path: Path) -> None:
    state = tmp_path / ".wherry"
    limited = 'ulimit -f 64 && exec "$@"'  # in blocks of 512 or 1024 bytes
    done = subprocess.run(
        ["sh", "-c", limited, "sh", *command("churn", state, 1)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"error": "E_IO"}
    assert done.returncode == 1
    kept = [path for path in (state / "artifacts").rglob("*") if path.is_file()]
    assert kept == []
    check(state).close()
