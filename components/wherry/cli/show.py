"""Shows a run as it goes: a line a stage, a bar for the one that is under way."""

import sys
import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from wherry.runtime.events import Event

NAME_WIDTH: Final = 18
TIME_WIDTH: Final = 8
LOG_SECONDS: Final = 10.0
"""How often a stage says how far it is when nobody watches a terminal."""


class RunDisplay:
    """Follows the events of a run; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, file=sys.stderr)
        self._total = 0
        self._count = 0
        self._said = 0.0
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=14),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Shows one event."""
        match event.kind:
            case "planned":
                self._total = int(event.total)
            case "started":
                self._start(event)
            case "progress":
                self._progress(event)
            case "done":
                self._end("✓", "green", event, event.verdict, event.seconds)
            case "cached":
                self._count += 1
                self._end("=", "cyan", event, "unchanged: reused")
            case "failed":
                self._end("✗", "red", event, event.code)

    def _start(self, event: Event) -> None:
        self._count += 1
        self._said = time.monotonic()
        self._task = self._bar.add_task(f"  {self._head(event)}", total=None, note="")

    def _progress(self, event: Event) -> None:
        if self._task is not None:
            self._bar.update(
                self._task,
                completed=event.done,
                total=event.total or None,
                note=event.note,
                refresh=True,
            )
        if not self.console.is_terminal and time.monotonic() - self._said >= LOG_SECONDS:
            self._said = time.monotonic()
            share = f"{event.done / event.total:4.0%}" if event.total else ""
            self._line(Text(f"  {self._head(event)} {share} {event.note}"))

    def _end(
        self, mark: str, colour: str, event: Event, verdict: str, seconds: float | None = None
    ) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        took = f"{seconds:.1f} s" if seconds is not None else ""
        room = max(self.console.width - NAME_WIDTH - TIME_WIDTH - 11, 10)
        text = Text.assemble((mark, colour), " ", self._head(event), " ")
        text.append(f"{_cut(verdict, room):<{room}} ")
        text.append(f"{took:>{TIME_WIDTH}}", "dim")
        self._line(text)

    def _line(self, text: Text) -> None:
        self.console.print(text, soft_wrap=True)

    def _head(self, event: Event) -> str:
        of = f"/{self._total}" if self._total else ""
        return f"{f'{self._count}{of}':>5} {event.stage:<{NAME_WIDTH}}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
