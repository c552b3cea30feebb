"""What a killed run left is taken back; what a run still uses is not."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from wherry.quantize.ending import put
from wherry.quantize.scratch import scratch

HOLDER = """
import sys, time
from pathlib import Path
from wherry.quantize.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "Q8_0").mkdir()
    (folder / "Q8_0" / "m.gguf").write_bytes(b"weights")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_nothing_is_left_of_a_run_that_ended(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        (folder / "F16").mkdir()
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with scratch(tmp_path) as mine:
            assert (left / "Q8_0" / "m.gguf").is_file()  # it is another's, and in use
        os.kill(other.pid, signal.SIGKILL)
    assert left.is_dir()
    with scratch(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]


def test_an_error_within_is_handed_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), scratch(tmp_path):
        raise OSError("disk")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_room() -> Iterator[None]:
    """No file may be larger than 64 KiB: as a full disk, but one that a test may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_room")
def test_a_disk_that_is_too_small_is_told_with_the_systems_reason(tmp_path: Path) -> None:
    """numpy alone says "262144 requested and 15360 written", as if the path were at fault."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("a.weight", np.ones((512, 512), np.float32))
    with pytest.raises(OSError) as caught:
        put(writer, tmp_path / "m.gguf")
    assert caught.value.errno == errno.EFBIG
