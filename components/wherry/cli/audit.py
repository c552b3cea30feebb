"""wherry audit: whether the record of what happened still holds, and proofs of it."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Final, get_args

import click
import msgspec
from rich.console import Console

from wherry.cli.failure import printable
from wherry.cli.moves import open_ledger, parse_version
from wherry.cli.options import debug_option, json_option
from wherry.cli.versions import read_moment
from wherry.contracts.errors import EXIT_FAILED, MissingError
from wherry.ledger import AuditRow, Ledger, Verification
from wherry.ledger.checkpoints import Signed, is_revoked, opened, size_of
from wherry.ledger.files import Files
from wherry.ledger.log import Consistency, Proof, Wanted
from wherry.ledger.places import places
from wherry.ledger.records import Action
from wherry.ledger.signatures import Signatures
from wherry.signing import (
    KeyFolder,
    Keyring,
    TrustedKey,
    keys_folder,
    load_keyring,
    load_signer,
)
from wherry.workspace import state

_FILE = click.Path(path_type=Path, dir_okay=False)
_ACTION: Final = click.Choice(get_args(Action))
key_option = click.option(
    "--key",
    "keys",
    multiple=True,
    type=_FILE,
    help="A keyring whose keys are trusted, such as one kept elsewhere.  [default: the project's]",
)


@click.group()
def audit() -> None:
    """Verify the audit trail, and prove and export what it holds."""


@audit.command()
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    type=_FILE,
    help="A checkpoint that was kept elsewhere.  [default: those of WHERRY_CHECKPOINTS]",
)
@key_option
@click.option("--files", "hashed", is_flag=True, help="Hash the files of all versions again, too.")
@json_option
@debug_option
def verify(files: tuple[Path, ...], keys: tuple[Path, ...], hashed: bool, as_json: bool) -> None:
    """Check every row, the tables beside them, and all signatures.

    Those are of checkpoints, blessings, waivers and approvals. Exit code 1 if anything does not
    hold; the first bad row is named.
    """
    with open_ledger() as ledger:
        held, distrusted = _checkpoints(files, keys)
        found, ring = ledger.verify(held), _keyring_if_any(keys)
        signatures = ledger.log.signatures(ring, held) if ring and found.ok else None
        kept = ledger.check_files() if hashed and found.ok else None
    for more in (kept, signatures):
        if more and more.reason:
            found = replace(found, ok=False, first_bad=more.first_bad, reason=more.reason)
    if as_json:
        told = {"distrusted": distrusted, "signatures": signatures and asdict(signatures)}
        print(json.dumps({**asdict(found), **told, "files": kept and asdict(kept)}, indent=2))
    else:
        _tell(found, signatures, kept, distrusted)
    if not found.ok:
        sys.exit(EXIT_FAILED)


@audit.command()
@json_option
@debug_option
def checkpoint(as_json: bool) -> None:
    """Sign the log as it stands.

    The checkpoint is kept in the places that WHERRY_CHECKPOINTS names.
    """
    with open_ledger() as ledger:
        made = ledger.log.keep(places(state()), load_signer(), load_keyring())
    if as_json:
        print(made.checkpoint.to_json())
        return
    print(f"Signed {made.checkpoint.size} rows with the key {made.key[:8]}: {made.name}")


@audit.command()
@click.argument("seq", type=click.IntRange(min=1), required=False)
@click.option(
    "--from",
    "earlier",
    metavar="ROWS|FILE",
    help="Prove that the log as it was signed at so many rows, or in this checkpoint, is the "
    "beginning of what was signed later.",
)
@click.option("--checkpoint", "file", type=_FILE, help="Prove it by this one.  [default: newest]")
@click.option("--output", "-o", type=_FILE, help="Write the proof there.  [default: print it]")
@key_option
@json_option
@debug_option
def prove(
    seq: int | None,
    earlier: str | None,
    file: Path | None,
    output: Path | None,
    keys: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Prove that row SEQ is in the log.

    The proof is for somebody who has neither the log nor Wherry. Or, with --from, that the log only
    grew: no row that was signed then was changed since. docs/audit/verify.py and consistency.py
    check such proofs with Python alone.
    """
    if (seq is None) == (earlier is None):
        raise click.UsageError("Name either the row SEQ or the checkpoint --from.")
    with open_ledger() as ledger:
        proof: Proof | Consistency
        if seq is not None:
            under, what = _covering(ledger, seq, file, keys), f"row {seq}"
            proof = ledger.log.prove(seq, under)
        else:
            begin = _kept(earlier or "", keys)
            size = begin.checkpoint.size
            under, what = _covering(ledger, size + 1, file, keys), f"the first {size} rows"
            proof = ledger.log.consistency(begin, under)
    if output is None:
        print(proof.to_json())
        return
    proof.write(output)
    if as_json:
        signed = {"size": under.checkpoint.size, "signed": under.checkpoint.ts}
        print(json.dumps({"output": str(output), **signed}, indent=2))
        return
    print(f"{output}: {what} of {under.checkpoint.size}, signed {under.checkpoint.ts[:16]}")


@audit.command()
@click.option("--model", default="", help="Rows of this model.")
@click.option("--version", type=click.IntRange(1), help="Rows of this version of it.")
@click.option("--action", type=_ACTION, help="Rows of this kind.")
@click.option("--actor", default="", help="What this person or service did.")
@click.option("--since", default="", help="Such as 2026-03-01T12:00Z.")
@click.option("--until", default="", help="Likewise; without a zone it is UTC.")
@json_option
@debug_option
def log(
    model: str,
    version: int | None,
    action: str | None,
    actor: str,
    since: str,
    until: str,
    as_json: bool,
) -> None:
    """List the rows, one a line; as JSON Lines with --json."""
    wanted = Wanted(model, version, action or "", actor, _moment(since), _moment(until))
    found = False
    with open_ledger() as ledger:
        for row in ledger.log.rows(wanted):
            found = True
            print(msgspec.json.encode(row).decode() if as_json else line_of(row))
    if not found and not as_json:
        print("No row is among those.")


@audit.command()
@click.option("--case", "case", required=True, help="NAME:VERSION, or the id of a run.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="The folder.")
@key_option
@json_option
@debug_option
def export(case: str, output: Path, keys: tuple[Path, ...], as_json: bool) -> None:
    """Write all that an auditor asks about a version to a folder.

    The rows with their proofs, provenance, the signed model, its bill of materials, model card,
    data sheet, policy and blessing, and an index that says which record is evidence for what.
    """
    from wherry.ledger.export.case import export_case, version_of_run

    with open_ledger() as ledger:
        name, version = parse_version(case) if ":" in case else version_of_run(ledger, case)
        made = export_case(
            ledger,
            name,
            version,
            output,
            places=places(state()),
            signer=load_signer(),
            keyring=_keyring(keys),
        )
    if as_json:
        print(made.to_json())
        return
    print(f"{output}: {len(made.files)} files on {name} v{version}; begin with README.md")


def line_of(row: AuditRow) -> str:
    """Gives a row as one line: whatever its texts hold, they cannot begin another one."""
    who = row.actor.id if row.actor else "?"
    told = "; ".join(filter(None, (_about(row), *_what(row))))
    text = f"{row.seq:>6}  {row.ts[:19]}  {who}  {row.action}  {told}"
    return printable(text).replace("\n", "\\n")


def _about(row: AuditRow) -> str:
    if row.stage:
        return f"{row.stage.name} {row.outcome} {row.error_code}".strip()
    return f"{row.model.name} v{row.model.version}"


def _what(row: AuditRow) -> Iterator[str]:
    yield ", ".join(f"{move.alias} → v{move.version}" for move in row.moves)
    if row.deploy:
        yield f"on {row.deploy.target}, {'healthy' if row.deploy.healthy else 'not healthy'}"
    if row.approval:
        yield row.approval.meaning
    yield row.reason


def _tell(
    found: Verification, signatures: Signatures | None, kept: Files | None, distrusted: int
) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not found.ok:
        console.print(f"✗ {printable(found.reason)}")
        if found.first_bad is not None:
            console.print(f"The first bad row is {found.first_bad}; {found.rows} were read.")
        return
    console.print(f"✓ {found.rows} rows: chain, tree, and tables agree. Head {found.head[7:23]}")
    hashed = (f"The files of {kept.good} versions are as they were registered.",) if kept else ()
    for told in (*_signed(signatures), *hashed, *_notes(found, distrusted)):
        console.print(f"  {told}")


def _signed(signatures: Signatures | None) -> Iterator[str]:
    if signatures is None:
        yield (
            "The signatures of blessings, waivers and approvals were not looked at: there is no "
            "keyring. Name one: --key FILE"
        )
        return
    yield f"The signatures of blessings, waivers and approvals hold: {signatures.good}."
    if signatures.revoked_since:
        yield f"{signatures.revoked_since} of them are of keys that were revoked later."


def _notes(found: Verification, distrusted: int) -> Iterator[str]:
    if found.checkpoints:
        many = "" if found.checkpoints == 1 else "s"
        yield f"They agree with {found.checkpoints} signed checkpoint{many}."
        if found.covered < found.rows:
            yield (
                f"None of them covers the rows from {found.covered + 1} on yet. "
                "Run: wherry audit checkpoint"
            )
    else:
        yield (
            "No signed checkpoint was given or found: an end that was cut off would not be seen. "
            "Run: wherry audit checkpoint"
        )
    if distrusted:
        yield f"{distrusted} checkpoints were left out: the key that signed them was revoked."
    if found.skewed:
        rows = ", ".join(map(str, found.skewed))
        yield f"The clock ran backwards before row {rows}; the order of the rows stands."


def _checkpoints(files: tuple[Path, ...], keys: tuple[Path, ...]) -> tuple[list[Signed], int]:
    """Gives the checkpoints to hold the log against, and how many a revoked key signed.

    Those that were named must all be good. Of those that are kept, what a revoked key signed is
    left out, unless it covers more rows than any good one: that is a loss to be told.
    """
    ring = _keyring(keys) if files else None
    if ring:
        return [opened(file.read_bytes(), ring, where=str(file)) for file in files], 0
    held, lost = kept_checkpoints(keys)
    newest = max(lost, default="")
    if newest and size_of(newest) > max((one.checkpoint.size for one in held), default=0):
        opened(lost[newest], _keyring(keys), where=newest)  # says why it counts for nothing
    return held, len(lost)


def kept_checkpoints(keys: tuple[Path, ...] = ()) -> tuple[list[Signed], dict[str, bytes]]:
    """Gives the good checkpoints of WHERRY_CHECKPOINTS, and by name those of revoked keys."""
    ring: Keyring | None = None
    held: list[Signed] = []
    lost: dict[str, bytes] = {}
    for place in places(state()):
        for name in place.names():
            ring = ring or _keyring(keys)
            if is_revoked(envelope := place.read(name), ring):
                lost[name] = envelope
            else:
                held.append(opened(envelope, ring, where=name))
    return held, lost


def _covering(ledger: Ledger, rows: int, file: Path | None, keys: tuple[Path, ...]) -> Signed:
    """Gives the checkpoint that was named, else the newest; a new one if that covers too little."""
    if file:
        return _checkpoints((file,), keys)[0][0]
    held, _ = _checkpoints((), keys)
    newest = max(held, key=lambda one: one.checkpoint.size, default=None)
    if newest and newest.checkpoint.size >= rows:
        return newest
    return ledger.log.keep(places(state()), load_signer(), load_keyring())


def _kept(text: str, keys: tuple[Path, ...]) -> Signed:
    """Gives a checkpoint by its file, or by the rows that it covers from those that are kept.

    Raises:
        MissingError: naming what is kept.
    """
    if not text.isdecimal():
        return _checkpoints((Path(text),), keys)[0][0]
    held, _ = _checkpoints((), keys)
    sizes = sorted({one.checkpoint.size for one in held})
    if int(text) not in sizes:
        raise MissingError(
            f"no checkpoint of {int(text)} rows is kept, only of: {sizes or 'none'}.",
            remedy="Name one of these numbers, or the file of a checkpoint.",
        )
    return next(one for one in held if one.checkpoint.size == int(text))


def _keyring_if_any(files: tuple[Path, ...]) -> Keyring | None:
    """Gives the keyring, or None where there is none: one that cannot be used is an error."""
    return _keyring(files) if files or KeyFolder(keys_folder()).exists() else None


def _keyring(files: tuple[Path, ...]) -> Keyring:
    if not files:
        return load_keyring()
    known: dict[str, TrustedKey] = {}
    for key in (key for file in files for key in Keyring.read(file).keys):
        # Whoever revoked it knew more.
        if key.id not in known or key.revoked_at:
            known[key.id] = key
    return Keyring(keys=tuple(known.values()))


def _moment(text: str) -> datetime | None:
    return read_moment(text) if text else None
