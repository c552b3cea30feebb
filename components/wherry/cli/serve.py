"""wherry serve: one released version in the foreground."""

import json
from functools import partial

import click

from wherry.cli.options import debug_option, json_option
from wherry.contracts import ArtifactRef, Release, read_settings
from wherry.contracts.errors import MissingError, SettingsError
from wherry.ledger import CHAMPION, Ledger
from wherry.ledger.standing import check_fit, check_kept
from wherry.release.vouched import check_vouched
from wherry.serve.settings import ServeSettings
from wherry.signing import load_keyring
from wherry.workspace import state


@click.command()
@click.argument("model")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--threads", default=0, show_default="all", type=click.IntRange(0))
@click.option("--unblessed", is_flag=True, help="Also what may not go live; on 127.0.0.1 alone.")
@json_option
@debug_option
def serve(model: str, port: int, host: str, threads: int, unblessed: bool, as_json: bool) -> None:
    """Serve a released version until Ctrl-C.

    What is deployed stays as it is. MODEL is NAME for the champion, NAME@ALIAS or NAME:VERSION.
    """
    _check_version(model)
    if not Ledger.exists(state()):
        raise MissingError(
            f"Nothing is released in {state()}.",
            remedy="See `wherry models`, or release a version with `wherry run`.",
        )
    _check_unblessed(host, unblessed=unblessed)
    with Ledger.open(state()) as ledger:
        release = _find(ledger, model)
        check_kept(release)
        if not unblessed:
            check_fit(release)
            check_vouched(ledger, release.name, release.version, load_keyring())
        path = ledger.artifacts.verified(ArtifactRef(release.uri, release.digest, release.size))
    from wherry.serve.run import serve as serve_file

    settings = read_settings(
        ServeSettings,
        {
            "name": release.name,
            "host": host,
            "port": port,
            "threads": threads,
            "expect_digest": release.digest,
            "expect_template": release.lineage.template_digest,
        },
        where="the options",
    )
    told = partial(_tell, release, settings.url, as_json=as_json)
    serve_file(path, settings, announce=told)


def _tell(release: Release, url: str, *, as_json: bool) -> None:
    """Says what is served, once it is."""
    if as_json:
        what = {"name": release.name, "version": release.version, "digest": release.digest}
        print(json.dumps({**what, "url": url}), flush=True)
    else:
        told = f"{release.name} version {release.version} at {url}; Ctrl-C ends it"
        print(told, flush=True)


def _check_unblessed(host: str, *, unblessed: bool) -> None:
    if unblessed and host != "127.0.0.1":
        raise SettingsError(
            f"--unblessed serves on 127.0.0.1 alone, not on {host}.",
            remedy="Approve and release the version, or leave --host out.",
        )


def _check_version(model: str) -> None:
    name, colon, version = model.partition(":")
    if colon and not (version.isdecimal() and len(version) <= 9):
        raise SettingsError(
            f"version {version!r} of {name} is no whole number.",
            remedy="See `wherry models` for the versions.",
        )


def _find(ledger: Ledger, model: str) -> Release:
    name, colon, version = model.partition(":")
    if colon:
        return ledger.find(name, int(version))
    name, _, alias = model.partition("@")
    release = ledger.release_at_alias(name, alias or CHAMPION)
    if release is None:
        raise MissingError(
            f"{name!r} has no alias {alias or CHAMPION!r} in {state()}.",
            remedy="See `wherry models`, or release a version with `wherry run`.",
        )
    return release
