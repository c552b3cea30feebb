"""KFP's local runner with its traps closed, shown on a real three-task pipeline."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from wherry.contracts.errors import ConflictError, InterruptedRunError, NoSpaceError
from wherry.runtime.events import Event
from wherry.runtime.local import Run, StageFailedError, run_pipeline
from wherry.runtime.record import last_run

pytestmark = pytest.mark.local
TOY = Path(__file__).parent / "pipelines" / "toy.py"


def run(state: Path, text: str, **more: object) -> tuple[Run, list[Event]]:
    events: list[Event] = []
    done = run_pipeline(TOY, {"text": text}, state=state, tag="t", on_event=events.append, **more)
    return done, events


def kinds(events: list[Event]) -> list[tuple[str, str]]:
    return [(e.stage, e.kind) for e in events if e.kind not in ("progress", "planned")]


def test_a_run_tells_its_stages_and_gives_its_artifacts(tmp_path: Path) -> None:
    done, events = run(tmp_path, "good")
    assert kinds(events) == [
        (stage, kind) for stage in ("make", "check", "use") for kind in ("started", "done")
    ]
    assert next(e for e in events if e.kind == "planned").total == 3
    assert next(e for e in events if e.stage == "make" and e.kind == "done").verdict == "4 letters"
    report = done.publish_report()
    assert report is not None
    assert report.read_text() == "<p>good</p>"


def test_a_second_run_reuses_what_did_not_change(tmp_path: Path) -> None:
    run(tmp_path, "good")
    _, events = run(tmp_path, "good")
    assert ("make", "cached") in kinds(events)
    assert ("check", "cached") in kinds(events)
    assert ("use", "done") in kinds(events)


def test_without_the_cache_every_stage_runs_again(tmp_path: Path) -> None:
    run(tmp_path, "good")
    _, events = run(tmp_path, "good", cache=False)
    assert "cached" not in {kind for _, kind in kinds(events)}


def test_a_failure_carries_the_stages_own_code_message_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(StageFailedError) as failed:
        run(tmp_path, "broken")
    error = failed.value
    assert (error.code, error.exit_code, error.stage) == ("E_VALIDATION", 1, "check")
    assert str(error) == "E_VALIDATION: text is 'broken', expected anything else. Change it."
    assert "ValidationError" in error.trace


def test_a_refused_gate_is_a_red_run_with_exit_code_3(tmp_path: Path) -> None:
    with pytest.raises(StageFailedError) as failed:
        run(tmp_path, "bad")
    assert (failed.value.code, failed.value.exit_code) == ("E_GATE", 3)


def test_a_stage_that_failed_is_not_cached(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StageFailedError) as failed:
            run(tmp_path, "broken")
        assert failed.value.code == "E_VALIDATION"


def test_a_pipeline_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(StageFailedError, match=r"nowhere\.py is no pipeline file") as failed:
        run_pipeline(
            tmp_path / "nowhere.py", {}, state=tmp_path / "s", tag="t", on_event=lambda e: None
        )
    assert (failed.value.code, failed.value.exit_code) == ("E_PIPELINE", 2)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("def build(target)", "E_PIPELINE", "cannot be imported: SyntaxError"),
        ("import nowhere", "E_PIPELINE", "cannot be imported: ModuleNotFoundError"),
        ("import sys\nsys.modules['kfp'] = None\nimport kfp", "E_EXTRA", "needs KFP"),
    ],
)
def test_a_pipeline_file_that_cannot_be_imported_says_why(
    tmp_path: Path, text: str, code: str, told: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(StageFailedError, match=told) as failed:
        run_pipeline(
            tmp_path / "mine.py", {}, state=tmp_path / "s", tag="t", on_event=lambda e: None
        )
    assert (failed.value.code, failed.value.exit_code) == (code, 2)


def test_a_run_whose_watcher_failed_is_not_kept_as_done(tmp_path: Path) -> None:
    def closed(event: Event) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    with pytest.raises(BrokenPipeError):
        run_pipeline(TOY, {"text": "good"}, state=tmp_path, tag="t", on_event=closed)
    kept = last_run(tmp_path)
    assert kept is not None
    assert (kept.outcome, kept.code) == ("failed", "E_IO")


def test_a_lone_if_on_a_named_output_is_refused_not_skipped(tmp_path: Path) -> None:
    with pytest.raises(StageFailedError, match="named output 'passed' and has no Else") as failed:
        run_pipeline(
            TOY.with_name("lone_if.py"), {}, state=tmp_path, tag="t", on_event=lambda e: None
        )
    assert failed.value.code == "E_PIPELINE"


@pytest.mark.faults
def test_a_stage_that_the_system_kills_is_named(tmp_path: Path) -> None:
    pid, events = tmp_path / "task.pid", list[Event]()

    def kill(event: Event) -> None:
        events.append(event)
        if (event.stage, event.kind) == ("check", "started"):
            while not (pid.exists() and pid.read_text()):
                time.sleep(0.05)
            os.kill(int(pid.read_text()), signal.SIGKILL)

    with pytest.raises(StageFailedError, match="stage 'check' ended without a word") as failed:
        run_pipeline(TOY, {"text": f"sleep {pid}"}, state=tmp_path, tag="t", on_event=kill)
    assert (failed.value.code, failed.value.exit_code) == ("E_KILLED", 1)
    assert kinds(events)[-1] == ("check", "failed")
    kept = last_run(tmp_path)
    assert kept is not None
    assert kept.code == "E_KILLED"


def test_a_run_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    seen: set[str] = set()

    def look(event: Event) -> None:
        seen.update(path.parent.name for path in temporary.rglob("ephemeral_component.py"))

    run_pipeline(TOY, {"text": "good"}, state=tmp_path / "state", tag="t", on_event=look)
    assert seen  # KFP's runner writes each task's code there and leaves it
    assert list(temporary.iterdir()) == []


@pytest.mark.faults
def test_a_stage_that_could_not_write_why_on_a_full_disk_is_not_called_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(40, 40, 0))
    with pytest.raises(NoSpaceError, match="No space is left"):
        run(tmp_path, "silent")
    kept = last_run(tmp_path)
    assert kept is not None
    assert kept.code == "E_NOSPACE"


def test_a_disk_that_has_no_locks_is_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks available"):
        run(tmp_path, "good")


SCRIPT = """
import sys
from pathlib import Path
from wherry.runtime.local import run_pipeline
run_pipeline(Path(sys.argv[1]), {"text": f"sleep {sys.argv[3]}"}, state=Path(sys.argv[2]),
             tag="t", on_event=lambda e: None)
"""


def start_sleeping(tmp_path: Path) -> tuple["subprocess.Popen[bytes]", int]:
    """Starts a run in a process of its own and waits until its task sleeps."""
    pid_file = tmp_path / "task.pid"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(TOY), str(tmp_path / "state"), str(pid_file)],
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < deadline, "the task did not start"
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.05)
    return process, int(pid_file.read_text())


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_orphan(tmp_path: Path, number: signal.Signals) -> None:
    process, task = start_sleeping(tmp_path)
    os.kill(process.pid, number)
    assert gone_within(task, 10)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode != 0
    assert number == signal.SIGKILL or InterruptedRunError.__name__ in stderr.decode()


@pytest.mark.faults
def test_a_second_ctrl_c_hurries_the_end_and_leaves_no_orphan(tmp_path: Path) -> None:
    process, task = start_sleeping(tmp_path)
    os.killpg(os.getpgid(task), signal.SIGSTOP)  # they would tidy up for ever
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=4)
    assert InterruptedRunError.__name__ in stderr.decode()
    assert gone_within(task, 1)
    kept = last_run(tmp_path / "state")
    assert kept is not None
    assert (kept.outcome, kept.code) == ("failed", "E_INTERRUPTED")


@pytest.mark.faults
def test_two_runs_in_one_workspace_do_not_mix(tmp_path: Path) -> None:
    process, _ = start_sleeping(tmp_path)
    try:
        with pytest.raises(ConflictError, match=str(process.pid)):
            run(tmp_path / "state", "good")
    finally:
        process.kill()
        process.communicate()
    assert run(tmp_path / "state", "good")[0].folder.is_dir()
