"""Threads are as many as the cores that this process is granted, not as many as there are."""

import os
import subprocess
import sys

import pytest

from wherry.cores import usable_cores

ASKED = "from wherry.cores import usable_cores; print(usable_cores())"
QUOTA = f"""
mount -t tmpfs none /sys/fs/cgroup && echo "100000 100000" >/sys/fs/cgroup/cpu.max &&
exec {sys.executable} -c '{ASKED}'
"""
"""What a container with a limit of one CPU sees, by cgroup v2."""


def test_a_container_s_quota_counts() -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine gives no mount namespace of its own to show a quota in")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", QUOTA], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr


def test_affinity_counts() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system binds no process to a core")
    one = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); {ASKED}"
    done = subprocess.run([sys.executable, "-c", one], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr


def test_a_team_may_ask_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert usable_cores() == 1
