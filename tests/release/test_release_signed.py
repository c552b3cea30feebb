"""What no trusted key signed is not released, whatever it says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, RunFiles, blessing, run_files
from wherry.contracts import Blessing, Scores
from wherry.contracts.errors import (
    ApprovalError,
    SignatureError,
    SigningKeyError,
    WherryError,
)
from wherry.ledger import Ledger
from wherry.release.run import run
from wherry.signing import BLESSING, WAIVER, KeyFolder, stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFiles:
    """The files of a first run."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    return run_files(tmp_path / "run")


def release(files: RunFiles, settings: str = "") -> Path:
    out = files.blessing.with_name("release.json")
    run(
        *(files.gguf, files.blessing, files.dataset, files.scores_quantized, files.scores_tuned),
        *(files.base, files.adapter, out, NAME, settings),
    )
    return out


def unsigned(files: RunFiles) -> None:
    replace(Blessing.read(files.blessing), envelope="").write(files.blessing)


def edited(files: RunFiles) -> None:
    replace(Blessing.read(files.blessing), judged="2030-01-01T00:00:00Z").write(files.blessing)


def of_another_type(files: RunFiles) -> None:
    made = blessing(Scores.read(files.scores_quantized))
    stamp(made, WAIVER, files.keys.signer()).write(files.blessing)


def of_a_stranger(files: RunFiles) -> None:
    stranger = KeyFolder(files.blessing.parent / "stranger")
    stranger.init("mallory", NOW)
    made = blessing(Scores.read(files.scores_quantized))
    stamp(made, BLESSING, stranger.signer()).write(files.blessing)


def of_a_revoked_key(files: RunFiles) -> None:
    files.keys.revoke(files.keys.keyring().current, "lost", NOW)


def without_keys(files: RunFiles) -> None:
    files.keys.path.unlink()


def waiting(files: RunFiles) -> None:
    made = blessing(Scores.read(files.scores_quantized))
    files.sign(replace(made, required_approvals=("clinical safety",)))


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (unsigned, SignatureError, "is not signed"),
        (edited, SignatureError, "was changed after it was signed"),
        (of_another_type, SignatureError, "expected 'application/vnd.wherry.blessing"),
        (of_a_stranger, SigningKeyError, "not trusted here"),
        (of_a_revoked_key, SigningKeyError, "was revoked"),
        (without_keys, SigningKeyError, "There is no key"),
        (waiting, ApprovalError, "an approval as clinical safety"),
    ],
)
def test_a_blessing_that_is_not_good_releases_nothing(
    files: RunFiles,
    tmp_path: Path,
    spoil: Callable[[RunFiles], None],
    error: type[WherryError],
    told: str,
) -> None:
    spoil(files)
    with pytest.raises(error, match=told):
        release(files)
    assert not files.blessing.with_name("release.json").exists()
    assert not (tmp_path / ".wherry" / "artifacts").exists()
    with Ledger.open(tmp_path / ".wherry") as ledger:
        assert ledger.releases() == ()


def test_a_version_that_waits_for_its_approval_is_registered_and_not_promoted(
    files: RunFiles, tmp_path: Path
) -> None:
    waiting(files)
    release(files, '{"promote": false}')
    with Ledger.open(tmp_path / ".wherry") as ledger:
        (made,) = ledger.releases()
        assert made.aliases == ()
        assert ledger.blessing_of(NAME, 1).required_approvals == ("clinical safety",)
