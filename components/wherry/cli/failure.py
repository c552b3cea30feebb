"""Shows a failure: what, expected what, what to do; a traceback only if asked for."""

import json
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from wherry.contracts.errors import WherryError
from wherry.runtime.local import Run


def show_failure(error: WherryError, raised: BaseException, *, as_json: bool, debug: bool) -> None:
    """Writes one failure to stderr, or as JSON to stdout.

    Args:
        error: what a person should read.
        raised: the exception itself, for its traceback.
        as_json: for machines.
        debug: whether to add the traceback, the stage's own if it failed in a stage.
    """
    trace = getattr(error, "trace", "") or "".join(traceback.format_exception(raised))
    places = _places(error)
    if as_json:
        body = {"code": error.code, "message": error.message, "remedy": error.remedy}
        body |= {what.lower(): str(path) for what, path in places}
        print(json.dumps({"error": {**body, **({"trace": trace} if debug else {})}}, indent=2))
        return
    # soft_wrap: a path or a command that is broken in two cannot be copied.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]{error.code}[/] {escape(printable(error.message))}")
    console.print(f"[bold]Remedy[/]  {escape(error.remedy)}")
    for what, path in places:
        console.print(f"[bold]{what:<7}[/] {escape(str(path))}")
    if debug:
        print(trace, file=sys.stderr)


def _places(error: WherryError) -> list[tuple[str, Path]]:
    """Gives the report and the log of the run that an error ended."""
    run: Run | None = getattr(error, "run", None)
    if run is None:
        return []
    report = None
    with suppress(OSError):  # a full disk takes no copy, and is what the error itself tells
        report = run.publish_report()
    return [*([("Report", report)] if report else []), ("Log", run.log)]


def one_line(text: str) -> str:
    """Escapes line ends too, for a value that must not begin a line of its own."""
    return printable(text).replace("\n", "\\n")


def printable(text: str) -> str:
    """Escapes control characters, so that a value from outside cannot steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
