"""wherry validate: judges files of rows by a suite; wherry validate init makes the suite."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from wherry import strict_yaml
from wherry.cli.options import debug_option, json_option
from wherry.cli.rows import (
    DEFAULT_KIND,
    columns_of,
    named_files,
    rows_options,
    split_of,
    tokenizer_file,
)
from wherry.cli.verdict import show, show_fitted
from wherry.contracts.dataset import Kind
from wherry.contracts.errors import EXIT_FAILED, MissingError, SettingsError
from wherry.contracts.files import write_atomic
from wherry.contracts.validation import SetAside, ValidationReport
from wherry.progress import Report

if TYPE_CHECKING:
    from wherry.validate.settings import ValidateSettings

_JUDGE: Final = "judge"


class _JudgeContext(click.Context):
    """Hides the hidden command's name from messages on wrong usage."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent else super().command_path


class _Judge(click.Command):
    context_class = _JudgeContext


class _JudgeOrInit(click.Group):
    """A group whose first word may be a file: then its hidden command `judge` is meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks_help = not args or args[0] in ctx.help_option_names
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if asks_help or named else [_JUDGE, *args])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return ["[OPTIONS] FILE...", "|", "init [OPTIONS] FILE..."]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        judge = self.commands[_JUDGE]
        judge.format_options(click.Context(judge, info_name=ctx.info_name), formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=_JudgeOrInit)
def validate() -> None:
    """Judge files of rows by a suite, or make a suite that fits them.

    JSON Lines, CSV and TSV, each also as .gz or .zst, and Parquet. No text of the data is shown.
    Exit code 0: fit; 1: not fit, or unreadable; 2: wrong usage, or a suite that cannot judge.
    """


@validate.command(_JUDGE, cls=_Judge, hidden=True)
@rows_options
@click.option("--suite", type=click.Path(path_type=Path), help="The suite, as YAML.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    help="A run's settings instead: its section `validate` with suite, patterns, benchmarks.",
)
@click.option("--page", type=click.Path(path_type=Path), help="Write the report as an HTML page.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option(
    "--since", type=click.Path(path_type=Path), help="An earlier --report to compare with."
)
@click.option(
    "--quarantine",
    type=click.Path(path_type=Path),
    help="Write the rows that cannot be read, by file, line and reason.",
)
@click.option(
    "--max-bad-rows",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Most rows that may be unreadable.",
)
@click.option(
    "--max-bad-share", type=click.FloatRange(0, 1), default=0.01, show_default=True,
    help="Most of all rows that may be unreadable.",
)  # fmt: skip
@json_option
@debug_option
def judge(
    files: tuple[Path, ...],
    splits: tuple[str, ...],
    kind: Kind,
    columns: tuple[str, ...],
    tokenizer: Path | None,
    suite: Path | None,
    settings: Path | None,
    page: Path | None,
    report: Path | None,
    since: Path | None,
    quarantine: Path | None,
    max_bad_rows: int,
    max_bad_share: float,
    as_json: bool,
) -> None:
    """Judge files of rows by a suite of expectations."""
    from wherry.validate.run import judge_files
    from wherry.validate.settings import Quarantine

    named = named_files(files, splits)
    chosen = _settings(suite, settings)
    before = _earlier(since)
    with _progress(quiet=as_json) as progress:
        verdict, aside = judge_files(
            named,
            kind,
            chosen,
            columns=columns_of(columns),
            tokenizer=tokenizer_file(tokenizer),
            quarantine=Quarantine(max_bad_rows, max_bad_share),
            report=progress,
        )
    if before is not None:
        verdict = _compared(before, verdict)
    written = _write(verdict, aside, named, page=page, report=report, quarantine=quarantine)
    if as_json:
        print(verdict.to_json())
    else:
        show(verdict, written, Console(highlight=False))
    if not verdict.passed:
        raise SystemExit(EXIT_FAILED)


@validate.command()
@rows_options
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("suite.yaml"),
    show_default=True,
    help="The suite to write.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--sample", type=click.IntRange(1), default=50_000, show_default=True,
    help="Most rows to read of each file, from its beginning.",
)  # fmt: skip
@debug_option
def init(
    files: tuple[Path, ...],
    splits: tuple[str, ...],
    kind: Kind,
    columns: tuple[str, ...],
    tokenizer: Path | None,
    out: Path,
    force: bool,
    sample: int,
) -> None:
    """Write a commented suite that fits a sample of your data.

    Its limits are those observed.
    """
    from wherry.validate.fitted.fit import fit

    if out.exists() and not force:
        raise SettingsError(
            f"{out} is there already.", remedy="Name another with -o, or replace it with --force."
        )
    named = named_files(files, splits)
    with _progress(quiet=False) as progress:
        fitted = fit(
            named,
            kind,
            columns_of(columns),
            tokenizer=tokenizer_file(tokenizer),
            now=datetime.now(UTC),
            name=out.name.partition(".")[0] or "suite",
            sample_rows=sample,
            report=progress,
        )
    write_atomic(out, fitted.text.encode())
    again = [*_given(named, kind, columns, tokenizer), "--suite", str(out)]
    show_fitted(fitted, out, shlex.join(again), Console(highlight=False))


def _given(
    files: Mapping[str, Path], kind: Kind, columns: Sequence[str], tokenizer: Path | None
) -> Iterator[str]:
    """Gives the arguments that say what was read, for the next command."""
    for split, path in files.items():
        told = split_of(path) == split
        yield from (str(path),) if told else ("--split", f"{split}={path}")
    yield from () if kind == DEFAULT_KIND else ("--kind", kind)
    for pair in columns:
        yield from ("--columns", pair)
    yield from ("--tokenizer", str(tokenizer)) if tokenizer else ()


def _settings(suite: Path | None, settings: Path | None) -> "ValidateSettings":
    from wherry.contracts.settings import read_settings
    from wherry.validate.settings import ValidateSettings

    if suite is not None and settings is not None:
        raise SettingsError(
            "Both --suite and --settings were given.", remedy="Name one of them: each has a suite."
        )
    if settings is not None:
        from wherry.runtime.plan import read_plan

        section = dict(read_plan(settings).rooms["validate"])
        return read_settings(ValidateSettings, section, where=f"section validate of {settings}")
    if suite is None:
        raise SettingsError(
            "No suite was given; there is no default, for an empty suite would pass any data.",
            remedy="Make one: wherry validate init FILE -o suite.yaml",
        )
    return ValidateSettings(suite=_suite(suite))


def _suite(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError(
            f"{path} does not exist.", remedy=f"Make it: wherry validate init FILE -o {path}"
        )
    try:
        raw = strict_yaml.load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no YAML{_where(error)}.", remedy="Correct it.") from error
    if not isinstance(raw, dict):
        raise SettingsError(
            f"{path} holds {type(raw).__name__}, expected a mapping with `expectations`.",
            remedy="Correct it, or make one: wherry validate init FILE -o suite.yaml",
        )
    return raw


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or type(error).__name__
    return f": line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else ""


def _earlier(path: Path | None) -> ValidationReport | None:
    return ValidationReport.read(path) if path else None


def _compared(before: ValidationReport, now: ValidationReport) -> ValidationReport:
    from wherry.validate.changes import since

    return dataclasses.replace(now, since=since(before, now))


def _write(
    verdict: ValidationReport,
    aside: Sequence[SetAside],
    files: Mapping[str, Path],
    *,
    page: Path | None,
    report: Path | None,
    quarantine: Path | None,
) -> list[tuple[str, Path]]:
    """Writes what was asked for, and gives each file with its name for people."""
    if report:
        verdict.write(report)
    if quarantine:
        _write_quarantine(aside, quarantine)
    if page:
        from wherry.validate.page import write_page

        write_page(verdict, page, name=", ".join(path.name for path in files.values()))
    written = (("Page", page), ("Report", report), ("Quarantine", quarantine))
    return [(name, path) for name, path in written if path]


def _write_quarantine(aside: Sequence[SetAside], path: Path) -> None:
    import msgspec

    lines = (msgspec.json.encode(dataclasses.asdict(row)) + b"\n" for row in aside)
    write_atomic(path, b"".join(lines))


class _Bar:
    """Shows how far the reading is; tells nothing where nobody watches."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("reading", total=None)

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=done, total=total, description=note or "read")

    def verdict(self, text: str) -> None:
        """Does nothing: the table follows."""


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Report]:
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TaskProgressColumn())
    shown = console.is_terminal and not quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        yield _Bar(bar)
