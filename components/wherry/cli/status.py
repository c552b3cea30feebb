"""wherry status and wherry stop: what is live here, and its end."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wherry.cli.failure import printable
from wherry.cli.options import debug_option, json_option
from wherry.contracts import Deployment, Release
from wherry.contracts.errors import MissingError
from wherry.ledger import CHAMPION, Ledger
from wherry.runtime.record import RunRecord, last_run
from wherry.workspace import state


@click.command()
@json_option
@debug_option
def status(as_json: bool) -> None:
    """Show what is live, where, and how the last run ended."""
    champions, last = _champions(), last_run(state())
    live = {release.name: _live(release.name) for release in champions}
    if as_json:
        print(json.dumps(_as_json(champions, live, last), indent=2))
        return
    console = Console(highlight=False)
    if champions:
        console.print(_table(champions, live))
    else:
        console.print(Text(f"Nothing is released in {state()}. Run: wherry run"), soft_wrap=True)
    if last:
        told = f"\nLast run {last.id}: {last.outcome}, {last.seconds:.0f} s {last.note}"
        console.print(Text(printable(told).rstrip()), soft_wrap=True)


@click.command()
@click.argument("name", required=False)
@json_option
@debug_option
def stop(name: str | None, as_json: bool) -> None:
    """Stop the local server of NAME, or every one of this workspace."""
    from wherry.deploy.run import stop as stop_server

    names = _deployed(name)
    done = []
    for each in names:
        done.append({"name": each, "stopped": stop_server(each)})
        if not as_json:
            print(f"{each}: {'stopped' if done[-1]['stopped'] else 'was not running'}")
    if as_json:
        print(json.dumps(done, indent=2))
    elif not names:
        print(f"Nothing was deployed in {state()}.")


def _deployed(name: str | None) -> list[str]:
    """Gives what was started here, not what the store names: a server outlives a store.

    Raises:
        MissingError: if nothing was ever deployed under the name: it is mistyped.
    """
    from wherry.deploy.run import deployed

    names = deployed()
    if name and name not in names:
        known = ", ".join(names) or "nothing"
        raise MissingError(
            f"Nothing called {name!r} was deployed in {state()}: {known} was.",
            remedy="Correct the name, or leave it out to stop every server.",
        )
    return [name] if name else names


def _champions() -> list[Release]:
    if not Ledger.exists(state()):
        return []
    with Ledger.open(state()) as ledger:
        return [release for release in ledger.releases() if CHAMPION in release.aliases]


def _live(name: str) -> Deployment | None:
    from wherry.deploy.run import status as status_of

    return status_of(name)


def _table(champions: list[Release], live: dict[str, Deployment | None]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for heading in ("model", "champion", "digest", "served", "health"):
        table.add_column(heading)
    for release in champions:
        server = live[release.name]
        table.add_row(
            release.name,
            f"version {release.version}",
            release.digest.removeprefix("sha256:")[:8],
            f"v{server.version} at {server.url}" if server else "not served",
            ("healthy" if server.healthy else "not answering") if server else "-",
        )
    return table


def _as_json(
    champions: list[Release], live: dict[str, Deployment | None], last: RunRecord | None
) -> dict[str, Any]:
    def plain(record: Any) -> Any:
        return json.loads(record.to_json()) if record else None

    models = [{"champion": plain(each), "deployment": plain(live[each.name])} for each in champions]
    return {"models": models, "last_run": plain(last)}
