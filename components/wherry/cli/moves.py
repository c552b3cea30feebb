"""wherry promote, rollback, approve, retire, revoke: what goes live, and who agrees."""

import json
from dataclasses import asdict
from typing import Any

import click

from wherry.cli.failure import one_line
from wherry.cli.options import debug_option, json_option
from wherry.contracts import Deployment, Release
from wherry.contracts.errors import MissingError, RoleError, SettingsError
from wherry.ledger import CHAMPION, Ledger
from wherry.release import moves
from wherry.release.mirror import differences
from wherry.release.mirror import reconcile as reconcile_mirror
from wherry.release.registries import MIRRORS_VARIABLE, mirrors, open_mirror
from wherry.release.vouched import still_missing
from wherry.signing import load_keyring, load_signer
from wherry.workspace import state

_DIGITS = 9
"""Of a version's number, at most."""

_VERSION = click.IntRange(1, 10**_DIGITS - 1)

reason_option = click.option("--reason", required=True, help="Why, for the audit.")
seen_option = click.option(
    "--generation",
    "seen",
    type=click.IntRange(0),
    help="Refuse if the alias is at another one.",
)


def parse_version(model: str) -> tuple[str, int]:
    """Reads ``NAME:VERSION``.

    Raises:
        SettingsError: on any other form.
    """
    name, _, version = model.partition(":")
    if not (name and version.isdecimal() and len(version) <= _DIGITS and int(version)):
        raise SettingsError(
            f"{model!r} names no version: expected NAME:VERSION, such as icd10-triage:2.",
            remedy="See `wherry models` for what there is.",
        )
    return name, int(version)


def check_released(ledger: Ledger, name: str) -> None:
    """Refuses a name that no model has: of a mistyped one nothing at all was ever live.

    Raises:
        MissingError: naming those that there are.
    """
    names = sorted({one.name for one in ledger.releases()})
    if name not in names:
        raise MissingError(
            f"no model is called {name!r}, only {', '.join(names) or 'none'}.",
            remedy="See `wherry models` for what there is.",
        )


def open_ledger() -> Ledger:
    """Opens the store, which must be there.

    Raises:
        MissingError: if nothing was ever released.
    """
    if not Ledger.exists(state()):
        raise MissingError(
            f"Nothing is released in {state()}.", remedy="Release a version with `wherry run`."
        )
    return Ledger.open(state())


@click.command()
@click.argument("model")
@click.option("--alias", default=CHAMPION, show_default=True, help="What to move.")
@reason_option
@seen_option
@json_option
@debug_option
def promote(model: str, alias: str, reason: str, seen: int | None, as_json: bool) -> None:
    """Point an alias at MODEL (NAME:VERSION). The local server follows."""
    name, version = parse_version(model)
    with open_ledger() as ledger:
        if alias == CHAMPION:
            ledger.check_role("deploy")  # before anything moves: the server follows
        generation = moves.promote(
            *(ledger, name, version),
            keyring=load_keyring(),
            alias=alias,
            reason=reason,
            seen=-1 if seen is None else seen,
        )
        release = ledger.find(name, version)
    _tell(release, alias, generation, _followed(name, alias), as_json)


@click.command()
@click.argument("name")
@reason_option
@click.option("--to", type=_VERSION, help="A version.  [default: the last healthy one]")
@seen_option
@json_option
@debug_option
def rollback(name: str, reason: str, to: int | None, seen: int | None, as_json: bool) -> None:
    """Point the champion of NAME back at the last healthy version.

    It takes seconds and no network.
    """
    with open_ledger() as ledger:
        ledger.check_role("deploy")
        before = ledger.alias(name, CHAMPION)
        release = moves.roll_back(
            *(ledger, name),
            keyring=load_keyring(),
            reason=reason,
            to=to or 0,
            seen=-1 if seen is None else seen,
        )
        at = ledger.alias(name, CHAMPION)
    _tell(release, CHAMPION, at.generation if at else 0, _followed(name, CHAMPION), as_json)
    if at == before and not as_json:
        print("It was already: nothing moved. To go back further, name a version: --to VERSION")


@click.command()
@click.argument("model")
@click.option("--meaning", required=True, help='What you sign, such as "reviewed for use".')
@click.option("--as", "role", default="", help="The part that you act in, if several are asked.")
@click.option("--key", default="", help="The beginning of your key's id; the current one.")
@json_option
@debug_option
def approve(model: str, meaning: str, role: str, key: str, as_json: bool) -> None:
    """Approve MODEL (NAME:VERSION) with your own key.

    The last approval that the policy asks for lets it go live. Nobody approves what is their own:
    the author and the approver differ.
    """
    name, version = parse_version(model)
    signer, keyring = load_signer(key=key), load_keyring()
    with open_ledger() as ledger:
        before = still_missing(ledger, name, version, keyring)
        approval = moves.approve(
            *(ledger, name, version),
            meaning=meaning,
            role=role,
            signer=signer,
            keyring=keyring,
        )
        missing = still_missing(ledger, name, version, keyring)
        at = ledger.alias(name, CHAMPION)  # before it is asked what the gate compared with
        why = missing or (_waits(ledger, name, version) if before else "Nothing was missing.")
        if not why:
            seen = at.generation if at else 0
            moves.promote(ledger, name, version, keyring=keyring, reason="approved", seen=seen)
    live = None if why else _followed(name, CHAMPION)
    if as_json:
        found = {**json.loads(approval.to_json()), "missing": missing, "promoted": not why}
        print(json.dumps(found, indent=2))
        return
    print(one_line(f"{approval.who} approved {name} v{version}: {approval.meaning}"))
    print(why or f"It is champion now{f', served at {live.url}' if live else ''}.")


@click.command()
@click.argument("model")
@reason_option
@json_option
@debug_option
def retire(model: str, reason: str, as_json: bool) -> None:
    """Retire MODEL (NAME:VERSION): it can no longer be promoted.

    Its record stays.
    """
    name, version = parse_version(model)
    with open_ledger() as ledger:
        release = moves.retire(ledger, name, version, reason=reason)
    _tell_state(release, as_json)


@click.command()
@click.argument("model")
@reason_option
@json_option
@debug_option
def revoke(model: str, reason: str, as_json: bool) -> None:
    """Revoke MODEL (NAME:VERSION): it never goes live again.

    No rollback chooses it either.
    """
    name, version = parse_version(model)
    with open_ledger() as ledger:
        release = ledger.withdraw(name, version, "revoke", reason=reason)
    _tell_state(release, as_json)


@click.command()
@click.argument("name")
@click.option("--mirror", "addresses", multiple=True, help="Such as mlflow:https://mlflow.example")
@click.option("--apply", is_flag=True, help="Add what is missing there, and move its aliases.")
@json_option
@debug_option
def reconcile(name: str, addresses: tuple[str, ...], apply: bool, as_json: bool) -> None:
    """Compare the store with other registries.

    The store is the truth. Exit code 1 if they differ. Without --mirror, those that WHERRY_MIRRORS
    names.
    """
    found = []
    with open_ledger() as ledger:
        check_released(ledger, name)
        for address in addresses or _mirrors():
            registry = open_mirror(address)
            compare = reconcile_mirror if apply else differences
            found += [(registry.kind, one) for one in compare(ledger, registry, name)]
    if as_json:
        print(json.dumps([{"mirror": kind, **asdict(one)} for kind, one in found], indent=2))
    for kind, one in () if as_json else found:
        done = ", mended" if one.mended else ""
        print(
            f"{kind}: {one.what} {one.key} is {one.mirror or 'not there'}, "
            f"the store has {one.store or 'none'}{done}"
        )
    if not found and not as_json:
        print(f"{name}: no difference")
    if any(not one.mended for _, one in found):
        raise SystemExit(1)


def _mirrors() -> tuple[str, ...]:
    """Gives the registries that are mirrored to; compared with none, nothing would ever differ."""
    if named := mirrors():
        return named
    raise SettingsError(
        "no registry was named to compare with.",
        remedy=f"Name one: --mirror mlflow:https://mlflow.example, or set {MIRRORS_VARIABLE}.",
    )


def _waits(ledger: Ledger, name: str, version: int) -> str:
    """Says why a version does not go live though every approval is there; empty if it does."""
    live, release = ledger.release_at_alias(name, CHAMPION), ledger.find(name, version)
    judged = ledger.blessing_of(name, version).champion_digest
    if live and live.digest == release.digest:
        return "It is champion already."
    if judged != (live.digest if live else None):
        return "It waits: the gate compared it with another champion. Run the pipeline again."
    try:
        ledger.check_role("promote")
        ledger.check_role("deploy")
    except RoleError as error:
        return f"It waits for somebody who may promote it: {error.message}"
    return ""


def _followed(name: str, alias: str) -> Deployment | None:
    """Lets the local server follow the champion, if one was deployed here."""
    if alias != CHAMPION:
        return None
    from wherry.deploy.run import follow

    return follow(name)


def _tell_state(release: Release, as_json: bool) -> None:
    print(release.to_json() if as_json else f"{release.name} v{release.version} is {release.state}")


def _tell(
    release: Release, alias: str, generation: int, live: Deployment | None, as_json: bool
) -> None:
    if as_json:
        found: dict[str, Any] = {"release": json.loads(release.to_json())}
        found |= {"alias": alias, "generation": generation}
        found["deployment"] = json.loads(live.to_json()) if live else None
        print(json.dumps(found, indent=2))
        return
    where = f", served at {live.url}" if live else ""
    print(f"{alias} of {release.name} is version {release.version}{where}")
