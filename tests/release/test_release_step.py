"""Two runs that release the same file at once both succeed; one that lost to another fails."""

from pathlib import Path

import pytest

from tests.fakes.releases import NAME, candidate
from wherry.contracts.errors import ConflictError, SettingsError
from wherry.ledger import CHAMPION, Ledger
from wherry.release.step import _promote, digest_settings, without_credentials


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty store."""
    return Ledger.open(tmp_path / ".wherry")


def test_a_run_whose_work_another_run_did_succeeds(ledger: Ledger, tmp_path: Path) -> None:
    same = candidate(ledger, tmp_path, b"one")
    first = _promote(ledger, same, 0)
    assert _promote(ledger, same, 0) == first  # it saw generation 0 before the other's switch
    assert ledger.verify().rows == 2


def test_a_run_that_another_file_overtook_fails(ledger: Ledger, tmp_path: Path) -> None:
    _promote(ledger, candidate(ledger, tmp_path, b"one"), 0)
    with pytest.raises(ConflictError):
        _promote(ledger, candidate(ledger, tmp_path, b"two"), 0)
    live = ledger.release_at_alias(NAME, CHAMPION)
    assert live and live.version == 1
    assert len(ledger.releases()) == 1


def test_settings_have_one_digest_however_they_are_written() -> None:
    assert digest_settings('{"a":1,"b":"x"}') == digest_settings('{ "b": "x", "a": 1 }')
    assert digest_settings("") == digest_settings("{}")
    assert digest_settings('{"a":1}') != digest_settings('{"a":2}')
    with pytest.raises(SettingsError, match="run_settings is no JSON"):
        digest_settings("{")


@pytest.mark.parametrize(
    ("uri", "clean"),
    [
        ("https://user:secret@host/x.git", "https://host/x.git"),
        ("dvc:https://token@host/x", "dvc:https://host/x"),
        ("hf://org/name@main", "hf://org/name@main"),
        ("pkg://package/file.gguf", "pkg://package/file.gguf"),
        ("dvc:.", "dvc:."),
    ],
)
def test_credentials_are_taken_out_of_addresses(uri: str, clean: str) -> None:
    assert without_credentials(uri) == clean
