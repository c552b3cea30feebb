"""A reader that was written from the docs alone agrees with Wherry, on good logs and bad ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.logs import fill, forge, keys, open_log, rewrite
from tests.fakes.releases import NAME
from wherry.ledger import CHAMPION
from wherry.ledger.places import Folder

READER = Path(__file__).parent / "second_reader.py"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Eleven rows with a rollback and an approval, signed at nine."""
    key = keys(tmp_path)
    path = fill(tmp_path, 3)
    with open_log(tmp_path) as ledger:
        ledger.log.keep([Folder(tmp_path / "outside")], key.signer(), key.keyring())
        for version in (1, 3):
            at = ledger.alias(NAME, CHAMPION)
            assert at
            ledger.switch(
                *(CHAMPION, NAME, version),
                expected_generation=at.generation,
                reason="zurück – ❤ 🚣",
                action="rollback",
            )
    return path


def read(path: Path, *, checkpoint: bool = True) -> str:
    """What the second reader says."""
    outside = next((path.parents[1] / "outside").iterdir())
    extra = [str(outside), str(path.parent / "keys" / "keyring.json")] if checkpoint else []
    command = [sys.executable, "-I", str(READER), str(path), *extra]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return (done.stdout or done.stderr).strip()


def test_it_accepts_what_wherry_wrote(log: Path) -> None:
    assert read(log) == "11 rows hold"


EDIT = "UPDATE audit SET record = replace(record, 'try 2', 'bribe') WHERE seq = 5"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (EDIT, "row 5: hash"),
        ("DELETE FROM audit WHERE seq = 4", "row 4: number"),
        ("DELETE FROM audit WHERE seq > 6", "aliases"),
        ("UPDATE aliases SET version = 1 WHERE alias = 'champion'", "aliases"),
    ],
)
def test_both_find_the_same_tampering(log: Path, statement: str, told: str) -> None:
    rewrite(log, statement)
    assert told in read(log)
    with open_log(log.parents[1]) as ledger:
        assert not ledger.verify().ok


def test_both_find_a_forged_log_by_the_checkpoint_alone(log: Path) -> None:
    forge(log, lambda row: row["actor"].update(id="eve"), since=4)
    assert read(log, checkpoint=False) == "11 rows hold"
    assert read(log) == "rows 1 to 9: not those that were signed"


def test_it_imports_nothing_of_ours() -> None:
    imports = [line for line in READER.read_text().splitlines() if "import" in line]
    assert not any("wherry" in line.split() for line in imports if not line.startswith('"'))
    assert "from wherry" not in READER.read_text()
