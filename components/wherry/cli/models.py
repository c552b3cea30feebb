"""wherry models: the versions that the store holds, and which base model to begin with."""

import json

import click
from rich.console import Console
from rich.table import Table

from wherry.cli.collect import gc
from wherry.cli.documents import card, compare
from wherry.cli.moves import reconcile, retire, revoke
from wherry.cli.options import debug_option, json_option
from wherry.cli.suggest import suggest
from wherry.cli.versions import COMMANDS
from wherry.contracts import Release, Scores
from wherry.contracts.errors import MissingError
from wherry.ledger import Ledger
from wherry.workspace import state


class _NameOrCommand(click.Group):
    """A group whose bare form takes a name: `wherry models NAME` lists, `suggest` is a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Click would read any first word as a command.
        words = [word for word in args if not word.startswith("-")]
        if words and words[0] not in self.commands and len(words) == 1:
            ctx.ensure_object(dict)["name"] = words[0]
            args = [word for word in args if word != words[0]]
        return super().parse_args(ctx, args)


@click.group(cls=_NameOrCommand, invoke_without_command=True, subcommand_metavar="[NAME | COMMAND]")
@json_option
@debug_option
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the released versions, newest first.

    NAME narrows it to one model.
    """
    if ctx.invoked_subcommand is None:
        _list((ctx.obj or {}).get("name"), as_json)


@models.command(name="list")
@click.argument("name", required=False)
@json_option
@debug_option
def list_models(name: str | None, as_json: bool) -> None:
    """List the released versions, as `wherry models` does."""
    _list(name, as_json)


for command in (suggest, *COMMANDS, card, compare, retire, revoke, reconcile, gc):
    models.add_command(command)


def _list(name: str | None, as_json: bool) -> None:
    rows = _rows(name)
    if name and not rows:
        raise MissingError(
            f"No version of {name!r} is released in {state()}.",
            remedy="See `wherry models` for what there is.",
        )
    if as_json:
        print(json.dumps([json.loads(release.to_json()) for release, _ in rows], indent=2))
    elif rows:
        Console(highlight=False).print(_table(rows))
    else:
        print(f"Nothing is released in {state()}. Run: wherry run")


def _rows(name: str | None) -> list[tuple[Release, Scores]]:
    if not Ledger.exists(state()):
        return []
    with Ledger.open(state()) as ledger:
        releases = reversed(ledger.releases(name))
        return [(release, ledger.scores_of(release.name, release.version)) for release in releases]


def _table(rows: list[tuple[Release, Scores]]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for heading in ("model", "version", "alias", "accuracy", "MB", "digest", "released (UTC)"):
        table.add_column(heading, justify="right" if heading in ("accuracy", "MB") else "left")
    for release, scores in rows:
        table.add_row(
            release.name,
            str(release.version),
            ", ".join(release.aliases or _ended(release)),
            accuracy(scores),
            f"{release.size / 1e6:.0f}",
            release.digest.removeprefix("sha256:")[:8],
            release.created[:16].replace("T", " "),
        )
    return table


def _ended(release: Release) -> tuple[str, ...]:
    """Says in place of an alias why a version can no longer have one."""
    return () if release.state == "registered" else (release.state,)


def accuracy(scores: Scores) -> str:
    """Gives the headline score for a table, or a dash."""
    metric = scores.find("accuracy")
    return f"{metric.value:.1%}" if metric and metric.value is not None else "-"
