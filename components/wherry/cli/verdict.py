"""Shows a verdict on data, and a suite that was fitted to it, in a terminal of 80 columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wherry.cli.failure import printable
from wherry.contracts.validation import Expectation, ValidationReport

if TYPE_CHECKING:
    from wherry.validate.fitted.fit import Fitted

_WIDEST: Final = 100
"""Columns of the terminal that the table takes at most."""
_EXPECTED: Final = 60
"""Columns of the words of what was expected; a long list of values is clipped."""
_REASONS: Final = 10
"""Reasons for unread rows that are told one by one."""


def show(report: ValidationReport, written: Sequence[tuple[str, Path]], console: Console) -> None:
    """Shows a verdict in a terminal of 80 columns or more.

    Args:
        report: the verdict.
        written: files that were written, each with its name for people.
        console: where to.
    """
    if report.rows:
        console.print(_table(report.expectations, console))
        console.print()
    console.print(_verdict(report))
    for reason in report.set_aside[:_REASONS]:
        console.print(Text(f"  {reason.rows:>8,}  {printable(reason.reason)}"))
    if (more := len(report.set_aside) - _REASONS) > 0:
        console.print(f"            and {more} more reasons")
    for name, path in written:
        console.print(Text.assemble((f"{name:<11}", "bold"), printable(str(path))), soft_wrap=True)


def _table(expectations: Sequence[Expectation], console: Console) -> Table:
    width = min(console.width, _WIDEST)
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), width=width)
    table.add_column("")
    for heading, share in (("check", 5), ("expected", 3), ("observed", 4)):
        table.add_column(heading, ratio=share, overflow="fold")
    for each in sorted(expectations, key=_rank):
        table.add_row(_mark(each), _named(each), _expected(each), _observed(each))
    return table


def _rank(expectation: Expectation) -> int:
    return 3 if expectation.passed else ("critical", "warning", "info").index(expectation.severity)


def _mark(expectation: Expectation) -> Text:
    if expectation.passed:
        return Text("✓", "green")
    return Text("✗", "bold red") if expectation.severity == "critical" else Text("!", "yellow")


def _named(expectation: Expectation) -> Text:
    from wherry.page.data.checks import named

    told = Text(printable(named(expectation)))
    if expectation.note and not expectation.passed:
        told.append(f"\n{printable(expectation.note)}", "dim")
    return told


def _expected(expectation: Expectation) -> Text:
    from wherry.page.words import clip

    # "Expected: false" says nothing beside "No duplicates".
    plain = expectation.expected in ("true", "false")
    return Text("" if plain else clip(printable(expectation.expected), _EXPECTED))


def _observed(expectation: Expectation) -> Text:
    told = printable(expectation.observed).removesuffix(" broke it")
    return Text(told, "" if expectation.passed else "bold")


def _verdict(report: ValidationReport) -> Text:
    word = ("Fit", "bold green") if report.passed else ("Not fit", "bold red")
    aside = sum(each.rows for each in report.set_aside)
    end = f"; {aside:,} rows could not be read:" if aside else "."
    return Text.assemble(word, ": ", _held(report) if report.rows else "there is no row", end)


def _held(report: ValidationReport) -> str:
    failed = sum(not each.passed for each in report.expectations)
    critical, total = len(report.failures), len(report.expectations)
    told = f"{total - failed} of {total} checks hold on {report.rows:,} rows"
    told += f", {critical} critical failed" if critical else ""
    return told + (f", {failed - critical} warned" if failed > critical else "")


def show_fitted(fitted: "Fitted", out: Path, again: str, console: Console) -> None:
    """Shows what a suite was fitted to, and what the data breaks of it today.

    Args:
        fitted: the suite.
        out: where it was written.
        again: the arguments of `wherry validate` that judge the same files by it.
        console: where to.
    """
    seen = fitted.seen
    size = f"{'all' if seen.whole else 'the first'} {seen.rows:,} rows"
    told = f": {len(fitted.proposals)} checks, fitted to {size}."
    console.print(Text.assemble((printable(str(out)), "bold"), told), soft_wrap=True)
    if seen.bad:
        console.print(f"{seen.bad:,} rows could not be read; they are in no limit.")
    if fitted.broken:
        console.print("\nYour data breaks some of them today:")
        console.print(_broken(fitted))
    console.print("\nRead it, change what you know better, then:")
    console.print(Text(f"  wherry validate {printable(again)} --page report.html"), soft_wrap=True)


def _broken(fitted: "Fitted") -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for each in sorted(fitted.broken, key=lambda each: each.severity != "critical"):
        critical = each.severity == "critical"
        mark = Text("✗", "bold red") if critical else Text("!", "yellow")
        rows = f"{each.broken:,} row{'' if each.broken == 1 else 's'}"
        word = "critical" if critical else "warning"
        table.add_row("", mark, str(each.kwargs.get("column", "")), rows, Text(word, "dim"))
    return table
