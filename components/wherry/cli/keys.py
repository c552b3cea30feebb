"""wherry keys: what signs here, and whose signatures are trusted."""

import json
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from wherry.cli.audit import kept_checkpoints
from wherry.cli.failure import printable
from wherry.cli.moves import open_ledger, parse_version
from wherry.cli.options import debug_option, json_option
from wherry.contracts.errors import SigningKeyError
from wherry.ledger.actor import process_actor
from wherry.ledger.standing import check_fit
from wherry.signing import (
    BLESSING,
    KEYS_VARIABLE,
    KeyFolder,
    Keyring,
    TrustedKey,
    keys_folder,
    load_signer,
)
from wherry.signing.payloads import NAMES, payload_type

_MAY = click.Choice(list(NAMES))
may_option = click.option(
    "--may", multiple=True, type=_MAY, help="What it may sign.  [default: everything]"
)
uri_option = click.option(
    "--uri", default="", help="Of a key management service's key: awskms:… or gcpkms:…"
)


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke the keys that sign records.

    They lie in the folder that WHERRY_KEYS names, or in .wherry/keys.
    """


@keys.command()
@click.option(
    "--owner", default="", help="The person or service that signs with it.  [default: you]"
)
@uri_option
@may_option
@json_option
@debug_option
def init(owner: str, uri: str, may: tuple[str, ...], as_json: bool) -> None:
    """Make the first key, or take one of a key service by its URI."""
    types = tuple(map(payload_type, may))
    made = KeyFolder(keys_folder()).init(owner or _you(), _now(), uri=uri, may=types)
    _tell(made, "signs here from now on", as_json)


@keys.command(name="list")
@json_option
@debug_option
def list_keys(as_json: bool) -> None:
    """List the keys that are trusted here; the one that signs is marked."""
    ring = KeyFolder(keys_folder()).keyring()
    if as_json:
        print(ring.to_json())
        return
    Console(highlight=False).print(_table(ring))


@keys.command()
@click.option("--owner", default="", help="Who signs with it.  [default: the owner before]")
@uri_option
@json_option
@debug_option
def rotate(owner: str, uri: str, as_json: bool) -> None:
    """Let another key sign from now on.

    What the one before signed stays good.
    """
    made = KeyFolder(keys_folder()).rotate(_now(), owner=owner, uri=uri)
    _tell(made, "signs here from now on", as_json)


@keys.command()
@click.argument("key")
@click.option("--reason", required=True, help="Why; it is kept in the keyring.")
@json_option
@debug_option
def revoke(key: str, reason: str, as_json: bool) -> None:
    """Make everything that KEY signed worthless.

    For a key that somebody else may have.
    """
    gone = KeyFolder(keys_folder()).revoke(key, reason, _now())
    _tell(gone, f"is revoked since {gone.revoked_at}", as_json)


@keys.command()
@click.argument("model")
@click.option("--reason", required=True, help="How you know it; it is kept in the keyring.")
@json_option
@debug_option
def uphold(model: str, reason: str, as_json: bool) -> None:
    """Let MODEL (NAME:VERSION) go live though its key was revoked.

    For a version that was blessed before anybody else had the key. Its blessing alone becomes good
    again, wherever this keyring is trusted. Hold the digest that is told against one that was kept
    elsewhere, such as in a report: whoever has the key and the store may have exchanged the file.
    """
    name, version = parse_version(model)
    held, _ = kept_checkpoints()
    with open_ledger() as ledger:
        release = ledger.find(name, version)
        check_fit(release)
        ledger.verify(held).check()
        blessing, came = ledger.blessing_of(name, version), ledger.log.came_in(release, held)
    what = f"the blessing of {name} v{version}"
    key = KeyFolder(keys_folder()).uphold(blessing, BLESSING, what, reason, _now(), came=came)
    told = f"{release.digest}, judged {blessing.judged}, registered {release.created}"
    _tell(key, f"is revoked, but {what} is upheld: {told}", as_json)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--owner", default="", help="Trust only this owner's key of the file.")
@may_option
@json_option
@debug_option
def trust(file: Path, owner: str, may: tuple[str, ...], as_json: bool) -> None:
    """Trust the current key of FILE, another keyring.

    Such as a colleague's keyring.json.
    """
    found = _offered(Keyring.read(file), owner)
    types = tuple(map(payload_type, may)) or found.may
    added = KeyFolder(keys_folder()).trust(replace(found, may=types))
    _tell(added, "is trusted here from now on", as_json)


def ensure_key(console: Console) -> None:
    """Makes this workspace's key before its first run, and says so; else checks that one signs.

    A key is made in the workspace alone: a folder that WHERRY_KEYS names was set up by somebody.

    Raises:
        SigningKeyError: if there is none that can sign: now, not after the tuning.
    """
    if not os.environ.get(KEYS_VARIABLE):
        made = KeyFolder(keys_folder()).ensure(_you(), _now())
        if made:
            console.print(
                f"Made the key {made.short}, which signs this workspace's blessings: "
                f"{escape(str(keys_folder()))}",
                soft_wrap=True,
            )
    load_signer()


def _offered(ring: Keyring, owner: str) -> TrustedKey:
    if not owner:
        return ring.signing()
    held = [key for key in ring.keys if key.owner == owner and key.state == "active"]
    if len(held) != 1:
        owners = ", ".join(sorted({key.owner for key in ring.keys})) or "nobody"
        raise SigningKeyError(
            f"{len(held)} active keys of {owner!r} stand in it, expected one; it has keys of "
            f"{owners}.",
            remedy="Name one of these with --owner.",
        )
    return held[0]


def _you() -> str:
    return process_actor().id


def _now() -> datetime:
    return datetime.now(UTC)


def _tell(key: TrustedKey, what: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(key), indent=2))
        return
    print(printable(f"The key {key.short} of {key.owner} {what} ({keys_folder()})."))


def _table(ring: Keyring) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for heading in ("", "key", "owner", "state", "since (UTC)", "kind", "may sign"):
        table.add_column(heading)
    names = {kind: name for name, kind in NAMES.items()}
    for key in ring.keys:
        since = key.revoked_at or key.retired_at or key.valid_from
        may = ", ".join(names.get(kind, kind) for kind in key.may) or "everything"
        kind = key.uri.partition(":")[0] or "public only"
        state = f"{key.state}, {len(key.upheld)} upheld" if key.upheld else key.state
        cells = (key.short, key.owner, state, since[:16].replace("T", " "), kind, may)
        mark = "*" if key.id == ring.current else ""
        table.add_row(mark, *(Text(printable(cell)) for cell in cells))
    return table
