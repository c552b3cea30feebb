"""What the stages of a run say, read while they say it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Kind = Literal["planned", "started", "progress", "done", "failed", "cached"]
KINDS: Final = ("planned", "started", "progress", "done", "failed", "cached")


@dataclass(frozen=True)
class Event:
    """One line of `wherry.progress`."""

    stage: str
    kind: Kind
    done: float = 0
    total: float = 0
    note: str = ""
    verdict: str = ""
    seconds: float = 0
    code: str = ""
    message: str = ""
    remedy: str = ""
    exit_code: int = 1
    trace: str = ""


class Reader:
    """Gives the events that were appended to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> Iterator[Event]:
        """Gives the whole lines that came since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written: come back for it
                self._offset += len(line)
                if event := _event(line):
                    yield event


def _event(line: bytes) -> Event | None:
    """Reads a line; a task's stray output in the file is no reason to end a run."""
    try:
        raw: dict[str, Any] = json.loads(line)
        return Event(**raw) if raw.get("kind") in KINDS else None
    except (ValueError, TypeError, AttributeError):
        return None
