"""Shows a failure: what, expected what, what to do; a traceback only if asked for."""

import json
import sys
import traceback

from rich.console import Console
from rich.markup import escape

from wherry.contracts.errors import WherryError


def show_failure(error: WherryError, raised: BaseException, *, as_json: bool, debug: bool) -> None:
    """Writes one failure to stderr, or as JSON to stdout.

    Args:
        error: what a person should read.
        raised: the exception itself, for its traceback.
        as_json: for machines.
        debug: whether to add the traceback, the stage's own if it failed in a stage.
    """
    trace = getattr(error, "trace", "") or "".join(traceback.format_exception(raised))
    if as_json:
        body = {"code": error.code, "message": error.message, "remedy": error.remedy}
        print(json.dumps({"error": {**body, **({"trace": trace} if debug else {})}}, indent=2))
        return
    # soft_wrap: a path or a command that is broken in two cannot be copied.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]{error.code}[/] {escape(printable(error.message))}")
    console.print(f"[bold]Remedy[/]  {escape(error.remedy)}")
    if run := getattr(error, "run", None):
        if report := run.publish_report():
            console.print(f"[bold]Report[/]  {escape(str(report))}")
        console.print(f"[bold]Log[/]     {escape(str(run.log))}")
    if debug:
        print(trace, file=sys.stderr)


def one_line(text: str) -> str:
    """Escapes line ends too, for a value that must not begin a line of its own."""
    return printable(text).replace("\n", "\\n")


def printable(text: str) -> str:
    """Escapes control characters, so that a value from outside cannot steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
