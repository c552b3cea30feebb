"""Runs a pipeline in a process group of its own and tells what happens in it."""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from wherry.contracts.errors import (
    ConflictError,
    InternalError,
    InterruptedRunError,
    SettingsError,
    StageKilledError,
    WherryError,
    as_wherry_error,
)
from wherry.contracts.files import staged_file
from wherry.progress import EVENTS_VARIABLE
from wherry.runtime.events import Event, Reader
from wherry.runtime.record import RECORD_NAME, RunRecord
from wherry.workspace import HOME_VARIABLE, OUTER_TMPDIR_VARIABLE

POLL_SECONDS: Final = 0.1
_LEAST_ROOM: Final = 1_000_000
"""In bytes: a disk with less is full."""
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
GRACE_SECONDS: Final = 5.0
"""How long a task may take to tidy up after SIGINT."""


@dataclass(frozen=True)
class Run:
    """A pipeline run on this machine."""

    folder: Path
    """``.wherry/runs/ID``: events, log and artifacts."""

    @property
    def events(self) -> Path:
        """What the stages said, one JSON object a line."""
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        """Everything that KFP and the tasks printed."""
        return self.folder / "log.txt"

    def artifact(self, name: str) -> Path | None:
        """Gives the path of an artifact that this run made itself, or None.

        KFP lays artifacts out as ``PIPELINE-TIME/TASK/NAME``.
        """
        found = sorted(self.folder.glob(f"*/*/{name}"))
        return found[-1] if found else None

    def publish_report(self) -> Path | None:
        """Puts the HTML report where a browser opens it, and gives the path, or None."""
        html = self.artifact("html")
        if html is None:
            return None
        with staged_file(self.folder / "report.html") as staged:
            shutil.copyfile(html, staged)
        return self.folder / "report.html"


class StageFailedError(WherryError):
    """Carries a stage's own error, with its own code, out of the run."""

    def __init__(self, event: Event, run: Run) -> None:
        super().__init__(event.message, remedy=event.remedy)
        self.stage = event.stage
        self.code = event.code  # type: ignore[misc] # the stage's code, not this class's
        self.exit_code = event.exit_code  # type: ignore[misc] # likewise
        self.trace = event.trace
        self.run = run


def run_pipeline(
    pipeline: Path,
    arguments: Mapping[str, str],
    *,
    state: Path,
    tag: str,
    on_event: Callable[[Event], None],
    cache: bool = True,
) -> Run:
    """Runs a pipeline file to its end.

    Args:
        pipeline: a Python file with a function ``build(target)``.
        arguments: of the pipeline.
        state: the ``.wherry`` folder.
        tag: of the images, which is part of KFP's cache key.
        on_event: called with each event as it comes.
        cache: whether stages whose inputs did not change are reused.

    Raises:
        StageFailedError: with the code and message of the stage that failed.
        ConflictError: if another run is under way in this workspace.
        InterruptedRunError: on SIGINT or SIGTERM, after every process of the run has ended.
        InternalError: if the run ended without a stage saying why.
    """
    _check_interpreter()
    with _only_run(state):
        run = Run(_new_folder(state / "runs"))
        request = {
            "pipeline": str(pipeline),
            "arguments": dict(arguments),
            "root": str(run.folder),
            "cache": str(state / "cache") if cache else "",
            "tag": tag,
        }
        with _recorded(run):
            _run_worker(run, state, request, on_event)
    return run


@contextmanager
def _recorded(run: Run) -> Iterator[None]:
    """Keeps how the run ended, for `wherry status`."""
    started = time.monotonic()
    try:
        yield
    except BaseException as raised:
        # What ended the run is what a person should read, also where a full disk takes no record.
        with suppress(OSError):
            _record(run, started, as_wherry_error(raised))
        raise
    _record(run, started)


def _record(run: Run, started: float, error: WherryError | None = None) -> None:
    RunRecord(
        id=run.folder.name,
        outcome="failed" if error else "done",
        seconds=round(time.monotonic() - started, 1),
        code=error.code if error else "",
        note=error.message if error else "",
    ).write(run.folder / RECORD_NAME)


def _run_worker(
    run: Run, state: Path, request: Mapping[str, object], on_event: Callable[[Event], None]
) -> None:
    with run.log.open("wb") as log, _terminable(), _worker(run, state, log) as worker:
        _send(worker, request)
        failure, at_work = _follow(worker, run, on_event)
    if worker.returncode == 0:
        return
    if failure is None:
        _check_room(run)
    if failure is None and at_work:
        failure = _killed(at_work)
        on_event(failure)
    raise StageFailedError(failure, run) if failure else _unexplained(run, worker)


def _check_interpreter() -> None:
    if any(character.isspace() for character in sys.executable):
        raise SettingsError(
            f"The interpreter's path {sys.executable!r} has a space, which KFP's runner cuts at.",
            remedy="Make the environment in a folder without spaces.",
        )


@contextmanager
def _only_run(state: Path) -> Iterator[None]:
    """Holds the workspace's lock; the operating system drops it however the process ends."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "run.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConflictError(
                f"Process {file.read().strip() or '?'} is already running a pipeline in {state}.",
                remedy="Wait for it, or set WHERRY_HOME to another folder.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _new_folder(runs: Path) -> Path:
    folder = runs / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    while folder.exists():
        folder = folder.with_name(f"{folder.name}-again")
    folder.mkdir(parents=True)
    return folder


@contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM, a scheduler's way to stop a run, raise as Ctrl-C does."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _worker(run: Run, state: Path, log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    # KFP's runner leaves each task's code behind, a stage that is killed what it had there.
    with tempfile.TemporaryDirectory(prefix="wherry-", ignore_cleanup_errors=True) as scratch:
        worker = subprocess.Popen(
            [sys.executable, "-m", "wherry.runtime.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(run, state, scratch),
            start_new_session=True,
        )
        try:
            yield worker
        except KeyboardInterrupt:
            raise InterruptedRunError(
                "The run was interrupted.",
                remedy="Run the same command again: stages that were done are reused.",
            ) from None
        finally:
            _end_group(worker)


def _environment(run: Run, state: Path, scratch: str) -> dict[str, str]:
    return {
        **os.environ,
        EVENTS_VARIABLE: str(run.events),
        HOME_VARIABLE: str(state),
        "TMPDIR": scratch,
        OUTER_TMPDIR_VARIABLE: os.environ.get("TMPDIR", ""),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "TOKENIZERS_PARALLELISM": "false",  # its warning on every fork says nothing to a person
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DVC_NO_ANALYTICS": "1",
    }


def _send(worker: "subprocess.Popen[bytes]", request: Mapping[str, object]) -> None:
    """Hands over the request; the pipe stays open, and its closing ends the worker."""
    if worker.stdin:
        worker.stdin.write(json.dumps(request).encode() + b"\n")
        worker.stdin.flush()


def _follow(
    worker: "subprocess.Popen[bytes]", run: Run, on_event: Callable[[Event], None]
) -> tuple[Event | None, str]:
    """Passes events on until the worker ends; gives the first failure, and what was at work."""
    reader, failure, at_work = Reader(run.events), None, ""
    while True:
        ended = worker.poll() is not None
        for event in reader.new():
            if event.kind == "failed":
                failure = failure or event
            if event.kind in ("started", "done", "failed"):
                at_work = event.stage if event.kind == "started" else ""
            on_event(event)
        if ended:
            return failure, at_work
        time.sleep(POLL_SECONDS)


def _end_group(worker: "subprocess.Popen[bytes]") -> None:
    """Ends every process of the run: politely, so that staged files are removed, then not."""
    for signal_number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(worker.pid, signal_number)
        except ProcessLookupError:
            break
        # A second Ctrl-C cuts the wait short; it must not leave the tasks behind.
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            worker.wait(GRACE_SECONDS)
    if worker.stdin:
        worker.stdin.close()
    worker.wait()


def _check_room(run: Run) -> None:
    """Tells of a full disk, on which a stage can write down neither its work nor its failure."""
    if shutil.disk_usage(run.folder).free < _LEAST_ROOM:
        raise as_wherry_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run.folder)))


def _killed(stage: str) -> Event:
    error = StageKilledError(
        f"The process of the stage {stage!r} ended without a word: it crashed, or it was killed, "
        "as Linux does when memory runs out.",
        remedy="Lower what the stage takes, such as its batch size, or end other programs; then "
        "run the same command again.",
    )
    return Event(stage, "failed", code=error.code, message=error.message, remedy=error.remedy)


def _unexplained(run: Run, worker: "subprocess.Popen[bytes]") -> InternalError:
    last = _last_lines(run.log)
    how = (
        f"was killed by signal {-worker.returncode} (out of memory?)"
        if worker.returncode < 0
        else f"ended with exit code {worker.returncode}"
    )
    return InternalError(
        f"The run {how} before a stage could say why: {last}",
        remedy=f"The whole log is in {run.log}.",
    )


def _last_lines(log: Path) -> str:
    lines = _COLOURS.sub("", log.read_text(encoding="utf-8", errors="replace")).splitlines()
    told = [line.strip() for line in lines if "Error" in line or "Killed" in line]
    return (told or [line for line in lines if line.strip()] or ["the log is empty"])[-1][:300]
