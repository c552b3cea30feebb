"""What goes wrong on a bad day: one message, nothing half-written, the next run recovers."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workspace import ROOT, Workspace, kill
from wherry.ledger import Ledger

pytestmark = [pytest.mark.faults, pytest.mark.local]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the project's pinned data: the DVC files and the store, nothing else."""
    copy = tmp_path / "repository"
    copy.mkdir()
    for name in (".dvc", "data-store"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("tmp", "cache"))
    shutil.copy(ROOT / "data.dvc", copy)
    subprocess.run(["git", "init", "-q", str(copy)], check=True)
    return copy


@pytest.fixture
def workspace(tmp_path: Path, repository: Path) -> Iterator[Workspace]:
    """A fresh workspace on that copy."""
    made = Workspace.make(tmp_path)
    made.change(data={"repo": str(repository)})
    yield made
    made.end()


def objects(repository: Path) -> list[Path]:
    return sorted(path for path in (repository / "data-store").rglob("*") if path.is_file())


def test_a_missing_data_store_is_named(workspace: Workspace, repository: Path) -> None:
    shutil.rmtree(repository / "data-store")
    done = workspace.run()
    assert done.returncode == 1
    assert "E_MISSING" in done.stderr
    assert "data-store" in done.stderr


def test_a_corrupted_object_stops_the_run_and_a_repaired_one_goes_on(
    workspace: Workspace, repository: Path
) -> None:
    victim = max(objects(repository), key=lambda path: path.stat().st_size)
    good = victim.read_bytes()
    victim.chmod(0o644)
    victim.write_bytes(good.replace(b"cancer", b"CANCER", 1))
    done = workspace.run()
    assert done.returncode == 1
    assert "E_DIGEST" in done.stderr
    assert workspace.events() == [("ingest", "started"), ("ingest", "failed")]
    victim.write_bytes(good)
    process = workspace.start()
    try:
        workspace.await_event("fetch base", "started", process)
    finally:
        kill(process, signal.SIGINT)


def test_a_corrupted_row_stops_the_run_before_any_tuning(
    workspace: Workspace, repository: Path
) -> None:
    data = pulled(repository)
    train = data / "icd10" / "train.jsonl"
    lines = train.read_text().splitlines()
    lines[6] = (
        lines[6]
        .replace('"role": "assistant"', '"role": "wizard"')
        .replace('"role":"assistant"', '"role":"wizard"')
    )
    train.write_text("\n".join(lines) + "\n")
    pin(repository)
    done = workspace.run()
    assert done.returncode == 1
    assert "line 7" in done.stderr
    assert "role" in done.stderr
    assert "tune" not in {stage for stage, _ in workspace.events()}


@pytest.mark.slow
def test_data_that_breaks_the_suite_stops_the_run_before_any_tuning(
    workspace: Workspace, repository: Path
) -> None:
    data = pulled(repository)
    train, test = data / "icd10" / "train.jsonl", data / "icd10" / "test.jsonl"
    train.write_text(train.read_text() + test.read_text())
    pin(repository)
    done = workspace.run()
    assert done.returncode == 1
    assert "E_VALIDATION" in done.stderr
    assert "tune" not in {stage for stage, _ in workspace.events()}
    with Ledger.open(workspace.state) as ledger:
        assert ledger.releases() == ()
        assert [row.error_code for row in ledger.audit()][-1] == "E_VALIDATION"


def pulled(repository: Path) -> Path:
    dvc(repository, "pull", "-q")
    return repository / "data"


def pin(repository: Path) -> None:
    dvc(repository, "add", "-q", "data")
    dvc(repository, "push", "-q")


def dvc(repository: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=repository, check=True, timeout=120
    )


@pytest.mark.parametrize(
    ("section", "fields", "told"),
    [
        ("tune", {"rank": 0}, "rank must be"),
        ("tune", {"rnak": 8}, "rnak"),
        ("quantize", {"type": "Q9_9"}, "Q9_9"),
        ("deploy", {"target": "moon"}, "moon"),
        ("gate", {"floors": {}}, "floors"),
        ("evaluate", {"batch_size": "many"}, "batch_size"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_work(
    workspace: Workspace, section: str, fields: dict[str, object], told: str
) -> None:
    if section == "gate":
        (workspace.settings.parent / "gate.yaml").write_text(json.dumps(fields))
    else:
        workspace.change(**{section: fields})
    done = workspace.run()
    assert done.returncode == 2
    assert "E_SETTINGS" in done.stderr
    assert told in done.stderr
    assert not workspace.state.exists()


FULL = """
mount -t tmpfs -o size=40m none {disk} && WHERRY_HOME={disk}/.wherry exec {python} -c \
'from wherry.cli import main; main()' run --settings {settings}
"""


@pytest.mark.slow
def test_a_full_disk_is_told_as_such(workspace: Workspace, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine gives no mount namespace of its own to mount a small disk in")
    script = FULL.format(disk=disk, python=sys.executable, settings=workspace.settings)
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "E_NOSPACE" in done.stderr
