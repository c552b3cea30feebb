"""wherry models gc: removes the files that no version needs."""

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from wherry.cli.moves import open_ledger
from wherry.cli.options import debug_option, json_option
from wherry.contracts.errors import SettingsError
from wherry.ledger import Ledger, Stored
from wherry.ledger.places import places
from wherry.release.retention import Fate, Retention, apply, judge, read_retention
from wherry.signing import load_keyring
from wherry.workspace import state

_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}


@click.command()
@click.option(
    "--older-than", default="7d", show_default=True, help="How old: 36h, 7d or 4w; 1h at least."
)
@click.option("--remove", is_flag=True, help="Do it, rather than only list it.")
@json_option
@debug_option
def gc(older_than: str, remove: bool, as_json: bool) -> None:
    """List the files that may be removed.

    Those that no version has, and those of versions long past. Which versions those are, says
    `retention.yaml` of the workspace, or the file that WHERRY_RETENTION names; without it every
    version keeps its file. One that is live, has an alias, is held, or that a rollback would choose
    always does, and records stay for ever.
    """
    policy = read_retention(state())
    with open_ledger() as ledger:
        _check_newest(ledger)
        found = ledger.collect(older_than=parse_age(older_than))  # what refuses that, refuses now
        fates = (apply if remove else judge)(ledger, policy) if policy else ()
        if remove:
            found = ledger.collect(older_than=parse_age(older_than), remove=True)
    if as_json:
        print(json.dumps(_plain(found, fates, policy, remove), indent=2))
        return
    gone = [one for one in fates if one.given_up]
    if gone:
        Console(highlight=False, markup=False).print(_fates_table(gone))
    if found:
        Console(highlight=False).print(_table(found))
    for line in _verdict(found, fates, policy, remove, older_than):
        print(line)


def _check_newest(ledger: Ledger) -> None:
    """Refuses a store that was restored from an older copy: it knows no later version's file."""
    kept = places(state())
    if any(place.names() for place in kept):
        ledger.log.check_grown(kept, load_keyring())


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


def _plain(
    found: tuple[Stored, ...], fates: tuple[Fate, ...], policy: Retention | None, remove: bool
) -> dict[str, Any]:
    versions = [
        {
            "name": one.release.name,
            "version": one.release.version,
            "size": one.release.size,
            "given_up": one.given_up,
            "why": one.why,
        }
        for one in fates
    ]
    files = [{"key": one.key, "size": one.size} for one in found]
    digest = policy.digest if policy else None
    return {"removed": remove, "policy": digest, "versions": versions, "files": files}


def _fates_table(gone: list[Fate]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("version", no_wrap=True)
    table.add_column("MB", justify="right")
    table.add_column("why")
    for one in gone:
        size = f"{one.release.size / 1e6:.0f}"
        table.add_row(f"{one.release.name}:{one.release.version}", size, one.why)
    return table


def _table(found: tuple[Stored, ...]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("file")
    table.add_column("MB", justify="right")
    table.add_column("since (UTC)")
    for one in found:
        since = one.modified.strftime("%Y-%m-%d %H:%M")
        table.add_row(one.key, f"{one.size / 1e6:.0f}", since)
    return table


def _verdict(
    found: tuple[Stored, ...],
    fates: tuple[Fate, ...],
    policy: Retention | None,
    remove: bool,
    older_than: str,
) -> list[str]:
    gone = [one for one in fates if one.given_up]
    lines = []
    if policy:
        done = "gave up" if remove else "gives up"
        lines.append(
            f"The retention policy {policy.digest[:15]}… {done} {len(gone)} of {len(fates)} "
            f"version(s), {_megabytes(one.release.size for one in gone)}."
        )
    if not found:
        lines.append(f"No file older than {older_than} is without a version.")
    elif remove:
        lines.append(f"Removed {len(found)} file(s), {_megabytes(one.size for one in found)}.")
    else:
        sizes = _megabytes(one.size for one in found)
        lines.append(f"{len(found)} file(s) without a version, {sizes}.")
    if (found or gone) and not remove:
        lines.append(f"To remove them: wherry models gc --older-than {older_than} --remove")
    return lines


def _megabytes(sizes: Iterable[int]) -> str:
    return f"{sum(sizes) / 1e6:.0f} MB"
