"""Memory stays flat, however many rows are set aside."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.rows import lines, rows

pytestmark = pytest.mark.slow

TAKE = """
import json, resource, sys
from pathlib import Path
from wherry.ingest.run import run
settings = {"path": ".", "splits": ["train"], "quarantine": {"share": 0.99999}}
run(Path("out"), "file:data", settings=json.dumps(settings))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def peak(place: Path, bad: int) -> int:
    """Takes some rows among so many bad ones; gives the memory that it took, in MiB."""
    (place / "data").mkdir(parents=True)
    text = lines(rows(30)) + b"{\n" * bad + lines(rows(10))
    (place / "data" / "train.jsonl").write_bytes(text)
    done = subprocess.run(
        [sys.executable, "-c", TAKE], cwd=place, capture_output=True, text=True, check=True
    )
    assert (place / "out" / "train.jsonl").read_bytes() == lines(rows(30)) + lines(rows(10))
    return int(done.stdout.split()[-1])


def test_bad_rows_are_not_kept_in_memory(tmp_path: Path) -> None:
    assert peak(tmp_path / "many", 1_000_000) < peak(tmp_path / "few", 100_000) + 40
