"""How a stage says what it does: events for the runner, plain lines for a pod's log.

A component wraps its work in `stage`; its step is handed the `Report`::

    with stage("tune") as report:
        adapter = tune(..., report=report)
        report.verdict(f"loss {loss:.2f}")
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from wherry.contracts.errors import as_wherry_error

EVENTS_VARIABLE = "WHERRY_EVENTS"
"""Names the file that the local runner follows; unset in a cluster."""


class Report(Protocol):
    """What a step is handed to say how far it is."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Says that `done` of `total` units are behind it; `note` such as ``188 tok/s``."""

    def verdict(self, text: str) -> None:
        """Says the result in a few words, such as ``2,100 rows, 12 of 12 passed``."""


class Silent:
    """A report that nobody reads, for library use."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Does nothing."""

    def verdict(self, text: str) -> None:
        """Does nothing."""


class _StageReport:
    def __init__(self, name: str) -> None:
        self._name = name
        self._next = 0.0
        self.text = ""

    def progress(self, done: float, total: float, note: str = "") -> None:
        now = time.monotonic()
        if now >= self._next or done >= total:
            # A runner redraws ten times a second; a log reader wants a line each five seconds.
            self._next = now + (0.1 if EVENTS_VARIABLE in os.environ else 5.0)
            _emit(self._name, "progress", done=done, total=total, note=note)

    def verdict(self, text: str) -> None:
        self.text = text


@contextmanager
def stage(name: str) -> Iterator[Report]:
    """Reports a stage's start, progress, verdict or failure.

    Args:
        name: shown to people, such as ``tune`` or ``evaluate base``.

    Raises:
        WherryError: whatever went wrong inside, as the error that a person should read.
    """
    report = _StageReport(name)
    started = time.monotonic()
    _emit(name, "started")
    try:
        yield report
    except BaseException as raised:
        error = as_wherry_error(raised)
        _emit(
            name,
            "failed",
            code=error.code,
            message=error.message,
            remedy=error.remedy,
            exit_code=error.exit_code,
            trace=traceback.format_exc(),
        )
        raise error from raised
    _emit(name, "done", verdict=report.text, seconds=round(time.monotonic() - started, 3))


def _emit(stage_name: str, kind: str, **fields: Any) -> None:
    path = os.environ.get(EVENTS_VARIABLE)
    if path:
        line = json.dumps({"stage": stage_name, "kind": kind, **fields}) + "\n"
        # One write to an O_APPEND file: lines of two processes never mix.
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
    elif kind != "failed":
        print(_plain(stage_name, kind, fields), file=sys.stderr, flush=True)


def _plain(stage_name: str, kind: str, fields: dict[str, Any]) -> str:
    if kind == "progress":
        share = 100 * fields["done"] / fields["total"] if fields["total"] else 100
        return f"{stage_name}: {share:3.0f}% {fields['note']}".rstrip()
    if kind == "done":
        return f"{stage_name}: done in {fields['seconds']:.1f} s. {fields['verdict']}".rstrip()
    return f"{stage_name}: started"
