"""wherry data diff: what changed between two versions of the data."""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wherry.cli.failure import printable
from wherry.cli.options import debug_option, json_option
from wherry.diff.step import DataDiff, LengthShift, Quantiles, Share, ShareShift, Version
from wherry.runtime.plan import read_plan

DEMO: Final = Path("pipelines/settings/icd10.yaml")
_WORKING_TREE: Final = "."
_SHOWN: Final = 3
"""Values of a column that a line of the table names."""
_NAME: Final = 14
"""Characters of a value's name that are shown."""


@click.group()
def data() -> None:
    """Look at versions of the data."""


@data.command()
@click.argument("before", metavar="REV1")
@click.argument("after", metavar="REV2", default=_WORKING_TREE)
@click.option("--repo", help="A checkout or an address.  [default: that of the settings, or .]")
@click.option("--path", help="The DVC output.  [default: that of the settings, or data]")
@click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The run's settings: how rows are read and cleaned.  [default: {DEMO}, if it is there]",
)
@click.option(
    "--html",
    "page",
    metavar="PAGE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what changed as an HTML page that loads nothing.",
)
@json_option
@debug_option
def diff(
    before: str,
    after: str,
    repo: str | None,
    path: str | None,
    settings: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Compare two versions of the data.

    REV1, and REV2 or the working tree (.).

    Both are ingested as a run would, in a private folder that is removed afterwards. Rows are
    known by their id, or without one by their content. No text of the data is shown.
    """
    where, chosen = _ingest_settings(repo, path, settings)
    with tempfile.TemporaryDirectory(prefix="wherry-data-") as name:
        found = _compared(Path(name), where, (before, after), chosen)
    if page:
        from wherry.diff.page import write_page

        write_page(found, page)
    if as_json:
        print(found.to_json())
        return
    console = Console(highlight=False)
    show(found, console)
    if page:
        console.print(Text(f"\nPage    {printable(str(page))}"), soft_wrap=True)


def show(found: DataDiff, console: Console) -> None:
    """Shows what changed, in at most 80 columns."""
    console.print(Text(f"before  {_version(found.before)}"), soft_wrap=True)
    console.print(Text(f"after   {_version(found.after)}\n"), soft_wrap=True)
    if found.same:
        console.print("The same rows.")
        return
    console.print(_rows(found))
    console.print(_lengths(found.lengths))
    if found.shares:
        console.print(_shares(found.shares))


def _ingest_settings(
    repo: str | None, path: str | None, settings: Path | None
) -> tuple[str, dict[str, Any]]:
    if settings is None and not DEMO.is_file():
        return repo or ".", {"path": path} if path else {}
    plan = read_plan(settings or DEMO)
    chosen = dict(plan.rooms["ingest"])
    return repo or plan.data_repo, {**chosen, "path": path} if path else chosen


def _compared(
    folder: Path, repo: str, revisions: tuple[str, str], settings: dict[str, Any]
) -> DataDiff:
    # Here, not above: the rooms load the libraries that they need.
    from wherry.diff.run import run as compare
    from wherry.ingest.run import run as ingest

    versions = folder / "before", folder / "after"
    for version, revision in zip(versions, revisions, strict=True):
        wanted = "" if revision == _WORKING_TREE else revision
        ingest(version, repo, wanted, settings=json.dumps(settings))
    compare(*versions, folder / "diff.json")
    return DataDiff.read(folder / "diff.json")


def _version(version: Version) -> str:
    source = version.source
    revision = source.revision[:12] or "not committed"
    return printable(f"{revision}  {source.checksum}  {version.rows:,} rows")


def _rows(found: DataDiff) -> Table:
    table = _table("rows", "before", "after", "added", "removed", "changed", "moved in")
    for row in found.rows:
        counts = (row.before, row.after, row.added, row.removed, row.changed, row.moved_in)
        table.add_row(row.split, *(f"{count:,}" for count in counts))
    return table


def _lengths(shifts: tuple[LengthShift, ...]) -> Table:
    table = _table("characters (5%, median, 95%)", "split", "before", "after", "KS")
    for shift in shifts:
        table.add_row(
            shift.feature.removesuffix("_characters"),
            shift.split,
            _quantiles(shift.before),
            _quantiles(shift.after),
            _distance(shift.distance),
        )
    return table


def _shares(shifts: tuple[ShareShift, ...]) -> Table:
    table = _table("shares", "split", "moved most", "distance")
    table.columns[2].justify = "left"
    for shift in shifts:
        moved = [share for share in shift.shares if share.before != share.after][:_SHOWN]
        told = Text("\n").join(map(_share, moved)) if moved else Text("-")
        table.add_row(shift.feature, shift.split, told, _distance(shift.distance))
    return table


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "split" else "right")
    return table


def _quantiles(found: Quantiles | None) -> str:
    return f"{found.p5:,} {found.p50:,} {found.p95:,}" if found else "-"


def _share(share: Share) -> Text:
    name = printable(share.name)
    short = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
    return Text(f"{short} {share.before:.1%} → {share.after:.1%}")


def _distance(distance: float | None) -> str:
    return "-" if distance is None else f"{distance:.3f}"
