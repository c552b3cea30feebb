"""Turns one version into a folder of records that stands on its own."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from wherry.contracts import ArtifactRef, Digest, Manifest
from wherry.contracts.digest import FileEntry
from wherry.contracts.errors import MissingError, SettingsError
from wherry.contracts.files import staged_folder
from wherry.contracts.record import Record
from wherry.ledger.checkpoints import Signed
from wherry.ledger.export.bill import bill
from wherry.ledger.export.documents import data_sheet, model_card
from wherry.ledger.export.facts import Facts
from wherry.ledger.export.index import readme
from wherry.ledger.export.model_signing import sign_folder
from wherry.ledger.export.provenance import provenance, statement, subject
from wherry.ledger.places import Place
from wherry.ledger.records import AuditRow, Run
from wherry.ledger.store import Ledger
from wherry.signing import Keyring, Signer, sign
from wherry.signing.payloads import STATEMENT

SCRIPTS: Final = ("verify.py", "check_case.py")
"""What checks a case without Wherry."""
CASE: Final = "https://github.com/wherry-ml/wherry/blob/main/docs/audit/README.md#case"


@dataclass(frozen=True)
class Case(Record):
    """What was exported."""

    name: str
    version: int
    digest: Digest
    files: tuple[FileEntry, ...]
    schema: Literal["wherry.case/1"] = "wherry.case/1"


def version_of_run(ledger: Ledger, run: str) -> tuple[str, int]:
    """Gives the version that a run released.

    Raises:
        MissingError: if it released none.
    """
    for row in ledger.audit():
        if row.action == "register" and row.run and row.run.id == run:
            return row.model.name, row.model.version
    raise MissingError(
        f"the run {run!r} released no version.",
        remedy="Name NAME:VERSION instead: `wherry models` lists them.",
    )


def export_case(
    ledger: Ledger,
    name: str,
    version: int,
    destination: Path,
    *,
    places: Sequence[Place],
    signer: Signer,
    keyring: Keyring,
) -> Case:
    """Writes all that is recorded of a version into a folder; needs no network.

    Args:
        ledger: the store.
        name: the model's name.
        version: which one.
        destination: the folder; it must not be there yet.
        places: where the checkpoint that the proofs rest on is kept.
        signer: whose key signs.
        keyring: the keys that are trusted; goes into the folder.

    Raises:
        MissingError: if there is no such version, or its file is gone.
        DigestError: if its file changed.
        StoreError: if the store does not hold together, or its log is no longer the one that was
            signed before.
        SettingsError: if the destination is there.
    """
    if destination.exists():
        raise SettingsError(
            f"{destination} is there already.", remedy="Name a folder that is not there yet."
        )
    facts = gathered(ledger, name, version)
    ledger.verify().check()
    release = facts.release
    ref = ArtifactRef(release.uri, release.digest, release.size)
    # A retention policy may have given the file up; its records are asked for all the same.
    model = None if release.expired else ledger.artifacts.verified(ref)
    under = ledger.log.keep(places, signer, keyring)
    with staged_folder(destination) as folder:
        _write_records(folder, ledger, facts, under)
        if model:
            _write_model(folder, facts, model)
        _write_evidence(folder, facts)
        keyring.write(folder / "keyring.json")
        signed = sign(_json(provenance(facts)), STATEMENT, signer)
        (folder / "provenance.dsse.json").write_bytes(signed + b"\n")
        files = _seal(folder, facts, signer)
    return Case(name, version, release.digest, files)


def gathered(ledger: Ledger, name: str, version: int) -> Facts:
    """Gives all that the store knows of a version.

    Raises:
        MissingError: if there is no such version.
    """
    release = ledger.find(name, version)
    rows = [row for row in ledger.audit() if row.stage or _is_about(row, name, version)]
    run = next((row.run for row in rows if row.action == "register"), None)
    return Facts(
        release=release,
        evidence=ledger.evidence(name, version),
        rows=tuple(row for row in rows if not row.stage or _is_of(row, run)),
        approvals=ledger.approvals(name, version),
        deployments=tuple(one for one in ledger.deployments(name) if one.version == version),
    )


def _is_about(row: AuditRow, name: str, version: int) -> bool:
    """Says whether a row is about a version: as what it moved to, or as what it moved from."""
    if row.model.name != name:
        return False
    named = {row.model.version, *(move.version for move in row.moves)}
    return version in named or (row.previous is not None and row.previous.version == version)


def _is_of(stage: AuditRow, run: Run | None) -> bool:
    """Says whether a stage's row is of the run that made the version."""
    return bool(run and run.id and stage.run and stage.run.id == run.id)


def _write_records(folder: Path, ledger: Ledger, facts: Facts, under: Signed) -> None:
    texts = "".join(f"{ledger.log.text(row.seq)}\n" for row in facts.rows)
    (folder / "records.jsonl").write_text(texts, encoding="utf-8")
    (folder / "checkpoint.json").write_bytes(under.envelope)
    (folder / "proofs").mkdir()
    for row in facts.rows:
        ledger.log.prove(row.seq, under).write(folder / "proofs" / f"{row.seq:06}.json")
    for name in SCRIPTS:
        script = resources.files("wherry.ledger.export").joinpath(name).read_text("utf-8")
        (folder / name).write_text(script, encoding="utf-8")


def _write_model(folder: Path, facts: Facts, model: Path) -> None:
    inside = folder / "model"
    inside.mkdir()
    shutil.copyfile(model, inside / facts.file_name)
    sign_folder(inside, folder / "model.sig", folder / "model.pub")


def _write_evidence(folder: Path, facts: Facts) -> None:
    (folder / "model-card.md").write_text(model_card(facts), encoding="utf-8")
    (folder / "data-sheet.md").write_text(data_sheet(facts), encoding="utf-8")
    facts.evidence.blessing.write(folder / "blessing.json")
    for scores in facts.evidence.scores:
        scores.write(folder / "scores" / f"{scores.subject}.json")
    for name, value in (
        ("bom.cdx.json", bill(facts)),
        ("policy.json", facts.policy),
        ("settings.json", facts.settings),
        ("approvals.json", [asdict(one) for one in facts.approvals]),
        ("deployments.json", [asdict(one) for one in facts.deployments]),
    ):
        if value:
            (folder / name).write_bytes(_json(value))


def _seal(folder: Path, facts: Facts, signer: Signer) -> tuple[FileEntry, ...]:
    """Writes the page to begin with, then signs the list of all files."""
    # The list itself is named on the page, and the page stands in the list.
    there = {file.path for file in Manifest.of_folder(folder).files} | {"case.dsse.json"}
    (folder / "README.md").write_text(readme(facts, there | {"README.md"}), encoding="utf-8")
    files = Manifest.of_folder(folder).files
    subjects = [subject(file.path, file.sha256) for file in files]
    about = {"name": facts.release.name, "version": facts.release.version}
    signed = sign(_json(statement(subjects, CASE, about)), STATEMENT, signer)
    (folder / "case.dsse.json").write_bytes(signed + b"\n")
    return Manifest.of_folder(folder).files


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
