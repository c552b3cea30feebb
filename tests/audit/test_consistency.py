"""Python alone verifies that a signed log only grew."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.logs import keys, lengthen, open_log
from wherry.contracts.errors import MissingError, StoreError
from wherry.ledger.checkpoints import Signed
from wherry.ledger.places import Folder
from wherry.signing import KeyFolder

SCRIPT = Path("docs/audit/consistency.py")
SIZES = (1, 2, 3, 7, 8, 255, 256, 257, 300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose log was signed again and again."""
    path = tmp_path_factory.mktemp("log")
    keys(path)
    return path


@pytest.fixture(scope="module")
def kept(folder: Path) -> dict[int, Signed]:
    """Its checkpoints by their sizes."""
    key, made, rows = KeyFolder(folder / ".wherry" / "keys"), {}, 0
    for size in SIZES:
        lengthen(folder, size - rows)
        rows = size
        with open_log(folder) as ledger:
            made[size] = ledger.log.keep([Folder(folder / "outside")], key.signer(), key.keyring())
    return made


def proof_of(folder: Path, old: Signed, new: Signed) -> Any:
    with open_log(folder) as ledger:
        return json.loads(ledger.log.consistency(old, new).to_json())


def checked(proof: Any, *public: str) -> "subprocess.CompletedProcess[str]":
    """Runs the script as somebody who has nothing but Python: no packages, no path."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), *public],
        input=json.dumps(proof),
        capture_output=True,
        text=True,
    )


def public(folder: Path) -> str:
    return KeyFolder(folder / ".wherry" / "keys").keyring().keys[0].public


@pytest.mark.parametrize(
    ("old", "new"), [(1, 2), (1, 300), (2, 3), (3, 7), (7, 8), (8, 300), (255, 257), (256, 300)]
)
def test_the_script_accepts_that_a_log_grew(
    folder: Path, kept: dict[int, Signed], old: int, new: int
) -> None:
    done = checked(proof_of(folder, kept[old], kept[new]), public(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"the {old} rows of 2026-03-01")
    assert f"are the first of the {new} of 2026-03-01" in done.stdout


@pytest.mark.parametrize("old", [7, 8])
@pytest.mark.parametrize(
    "change", ["path", "short path", "no path", "long path", "earlier", "later", "swapped", "key"]
)
def test_the_script_refuses_everything_else(
    folder: Path, kept: dict[int, Signed], old: int, change: str
) -> None:
    proof, key = proof_of(folder, kept[old], kept[300]), public(folder)
    if change == "path":
        proof["path"][-1] = 64 * "0"
    elif change == "short path":
        proof["path"].pop()
    elif change == "no path":
        proof["path"] = []
    elif change == "long path":
        proof["path"].append(64 * "0")
    elif change in ("earlier", "later"):
        envelope = proof["earlier" if change == "earlier" else "checkpoint"]
        text = base64.b64decode(envelope["payload"]).replace(b"2026", b"2025")
        envelope["payload"] = base64.b64encode(text).decode()
    elif change == "swapped":
        proof["earlier"], proof["checkpoint"] = proof["checkpoint"], proof["earlier"]
    else:
        key = key[:-2] + ("00" if key[-2:] != "00" else "01")
    done = checked(proof, key)
    assert done.returncode == 1
    assert "NOT PROVED" in done.stderr


def test_a_log_that_was_rewritten_and_signed_again_is_no_later_one(
    folder: Path, kept: dict[int, Signed], tmp_path: Path
) -> None:
    """The forger has the key and hands over a proof of their own log."""
    lengthen(tmp_path, 9)
    key = KeyFolder(folder / ".wherry" / "keys")
    with open_log(tmp_path) as ledger:
        forged = ledger.log.keep([Folder(tmp_path / "out")], key.signer(), key.keyring())
        with pytest.raises(StoreError, match="no longer those"):
            ledger.log.consistency(kept[7], forged)
    proof = proof_of(folder, kept[7], kept[300])
    proof["checkpoint"] = json.loads(forged.envelope)
    done = checked(proof, public(folder))
    assert done.returncode == 1
    assert "does not begin as signed" in done.stderr


def test_the_later_checkpoint_may_have_another_key(
    folder: Path, kept: dict[int, Signed], tmp_path: Path
) -> None:
    other = keys(tmp_path / "other", "bob")
    with open_log(folder) as ledger:
        later = ledger.log.keep([Folder(tmp_path / "out")], other.signer(), other.keyring())
    proof = proof_of(folder, kept[3], later)
    assert checked(proof, public(folder), public(tmp_path / "other")).returncode == 0
    assert checked(proof, public(folder)).returncode == 1


def test_only_a_later_log_is_proved(folder: Path, kept: dict[int, Signed]) -> None:
    with open_log(folder) as ledger:
        for old, new in ((7, 7), (8, 7)):
            with pytest.raises(MissingError, match=f"covers {new} rows, not more than the {old}"):
                ledger.log.consistency(kept[old], kept[new])


def test_both_scripts_check_signatures_alike() -> None:
    """The same curve stands in both, so that each needs Python alone."""
    curve = [
        text[text.index("P, Q = ") : text.index("def _check")]
        for text in (SCRIPT.read_text(), SCRIPT.with_name("verify.py").read_text())
    ]
    assert curve[0] == curve[1]
    assert len(SCRIPT.read_text().splitlines()) <= 80
