"""Memory stays flat, whatever a line or a file holds."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rows.reading import line

_COUNT = """
import resource, sys
from pathlib import Path
from wherry.rows import read_batches
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = {}
rows = 0
for batch in read_batches(Path(sys.argv[1]), "chat"):
    rows += len(batch.rows)
    found |= {bad.line: bad.reason for bad in batch.bad}
print(rows, sorted(found), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def counted(path: Path) -> tuple[str, int]:
    """Reads a file in a process of its own; gives what it found, and its growth in MiB."""
    run = subprocess.run(
        [sys.executable, "-c", _COUNT, str(path)], capture_output=True, text=True, check=True
    )
    told, _, growth = run.stdout.strip().rpartition(" ")
    return told, int(growth)


def test_a_line_far_larger_than_memory_may_grow_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(line() + b"\n")
        file.seek(1 << 28, 1)  # a hole: NUL bytes that take no disk
        file.write(b"\n" + line() + b"\n")
    told, growth = counted(path)
    assert told == "2 [2]"
    assert growth < 32


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes((line() + b"\n") * 400_000)
    told, growth = counted(path)
    assert told == "400000 []"
    assert growth < 48
