"""wherry models gc: removes the files that no version needs."""

import json
import re
from datetime import timedelta
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from wherry.cli.moves import open_ledger
from wherry.cli.options import debug_option, json_option
from wherry.contracts.errors import SettingsError
from wherry.ledger import Stored

_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}


@click.command()
@click.option(
    "--older-than", default="7d", show_default=True, help="How old: 36h, 7d or 4w; 1h at least."
)
@click.option("--remove", is_flag=True, help="Remove them, rather than only list them.")
@json_option
@debug_option
def gc(older_than: str, remove: bool, as_json: bool) -> None:
    """List the stored files that no version has; --remove removes them.

    A version keeps its file whatever its state.
    """
    with open_ledger() as ledger:
        found = ledger.collect(older_than=parse_age(older_than), remove=remove)
    if as_json:
        files = [{"key": one.key, "size": one.size} for one in found]
        print(json.dumps({"removed": remove, "files": files}, indent=2))
        return
    if found:
        Console(highlight=False).print(_table(found))
    print(_verdict(found, remove, older_than))


def parse_age(text: str) -> timedelta:
    """Reads an age such as ``36h``, ``7d`` or ``4w``.

    Raises:
        SettingsError: on any other form.
    """
    form = re.fullmatch(r"([0-9]{1,4})([hdw])", text)
    if not form:
        raise SettingsError(
            f"{text!r} is no age, expected hours, days or weeks such as 36h, 7d or 4w.",
            remedy="Correct --older-than.",
        )
    return timedelta(**{_UNITS[form[2]]: int(form[1])})


def _table(found: tuple[Stored, ...]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("file")
    table.add_column("MB", justify="right")
    table.add_column("since (UTC)")
    for one in found:
        since = one.modified.strftime("%Y-%m-%d %H:%M")
        table.add_row(one.key, f"{one.size / 1e6:.0f}", since)
    return table


def _verdict(found: tuple[Stored, ...], remove: bool, older_than: str) -> str:
    if not found:
        return f"No file older than {older_than} is without a version."
    total = sum(one.size for one in found) / 1e6
    if remove:
        return f"Removed {len(found)} file(s), {total:.0f} MB."
    command = f"wherry models gc --older-than {older_than} --remove"
    return f"{len(found)} file(s), {total:.0f} MB. To remove them: {command}"
