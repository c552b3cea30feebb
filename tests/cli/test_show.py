"""A run on an 80-column terminal, and in a log."""

import io

import pytest
from rich.console import Console

from wherry.cli import show
from wherry.cli.show import RunDisplay
from wherry.runtime.events import Event

RUN = (
    Event("", "planned", total=3),
    Event("ingest", "started"),
    Event("ingest", "done", verdict="2,100 rows, every file re-hashed", seconds=1.24),
    Event("tune", "started"),
    Event("tune", "progress", done=50, total=100, note="188 tok/s, 0:42 left"),
    Event("tune", "done", verdict="a verdict that is far too long " * 5, seconds=101.0),
    Event("gate", "cached"),
)


def shown(events: tuple[Event, ...], *, terminal: bool = False) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=terminal, highlight=False)
    with RunDisplay(console) as display:
        for event in events:
            display.show(event)
    return text.getvalue().splitlines()


def test_a_line_a_stage_with_its_verdict_and_time() -> None:
    first, second, third = shown(RUN)
    told = " ".join(first.split())
    assert told == "✓ 1/3 ingest 2,100 rows, every file re-hashed 1.2 s"
    assert second.startswith("✓   2/3 tune")
    assert second.endswith("101.0 s")
    assert "…" in second
    assert third.split() == ["=", "3/3", "gate", "unchanged:", "reused"]


def test_no_line_is_wider_than_the_terminal() -> None:
    assert all(len(line.rstrip()) <= 80 for line in shown(RUN))


def test_a_log_gets_a_line_of_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "LOG_SECONDS", 0.0)
    assert any("50% 188 tok/s, 0:42 left" in line for line in shown(RUN))


def test_a_terminal_shows_a_bar() -> None:
    assert any("188 tok/s" in line for line in shown(RUN, terminal=True))


def test_a_failed_stage_shows_its_code() -> None:
    lines = shown((Event("tune", "started"), Event("tune", "failed", code="E_DIVERGED")))
    assert lines[-1].split() == ["✗", "1", "tune", "E_DIVERGED"]


def test_text_with_brackets_is_not_read_as_markup() -> None:
    lines = shown((Event("a", "started"), Event("a", "done", verdict="[bold]x[/nope]", seconds=1)))
    assert "[bold]x[/nope]" in lines[-1]
