"""What no trusted key signed is not released, whatever it says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.people import LONG_AGO
from tests.fakes.releases import NAME, RunFiles, blessing, run_files
from wherry.contracts import Blessing, ModelRef, Scores
from wherry.contracts.errors import (
    ApprovalError,
    GateRefusedError,
    SignatureError,
    SigningKeyError,
    WherryError,
)
from wherry.contracts.model import MODEL_NAME
from wherry.ledger import CHAMPION, Actor, Ledger
from wherry.release import moves
from wherry.release.run import run
from wherry.signing import BLESSING, WAIVER, KeyFolder, stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFiles:
    """The files of a first run."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    return run_files(tmp_path / "run")


def release(files: RunFiles, settings: str = "") -> bool:
    out = files.blessing.with_name("release.json")
    return run(
        *(files.gguf, files.blessing, files.dataset, files.scores_quantized, files.scores_tuned),
        *(files.base, files.adapter, out, NAME, settings),
    )


def approve(ledger: Ledger, keys: KeyFolder) -> None:
    """Bo approves the first version, with a key of his own that is trusted here."""
    keys.rotate(datetime.now(UTC), owner="bo")
    moves.approve(
        *(ledger, NAME, 1),
        meaning="reviewed",
        role="",
        signer=keys.signer(),
        keyring=keys.keyring(),
    )


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


def test_a_version_waits_for_its_approval_and_the_next_run_promotes_it(
    files: RunFiles, tmp_path: Path
) -> None:
    waiting(files)
    assert release(files) is False
    with Ledger.open(tmp_path / ".wherry", actor=Actor("bo", "human", "os-user")) as ledger:
        (made,) = ledger.releases()
        assert made.aliases == ()
        assert "clinical safety" in ledger.missing_approval(NAME, 1)
        approve(ledger, files.keys)
    assert release(files) is True
    with Ledger.open(tmp_path / ".wherry") as ledger:
        (made,) = ledger.releases()
        assert made.aliases == (CHAMPION,)
        assert ledger.verify().ok


def test_an_approval_after_its_time_is_refused(files: RunFiles, tmp_path: Path) -> None:
    made = blessing(Scores.read(files.scores_quantized))
    asked = ("clinical safety",)
    files.sign(replace(made, required_approvals=asked, approve_until="2026-01-01T00:00:00Z"))
    assert release(files) is False
    with (
        Ledger.open(tmp_path / ".wherry", actor=Actor("bo", "human", "os-user")) as ledger,
        pytest.raises(ApprovalError, match="was to be approved until 2026-01-01"),
    ):
        approve(ledger, files.keys)


def test_a_blessing_of_another_name_releases_nothing(files: RunFiles, tmp_path: Path) -> None:
    made = blessing(Scores.read(files.scores_quantized))
    files.sign(replace(made, name="other-model"))
    with pytest.raises(GateRefusedError, match="of the model 'other-model'"):
        release(files)
    with Ledger.open(tmp_path / ".wherry") as ledger:
        assert ledger.releases() == ()


def test_a_file_whose_first_blessing_is_no_longer_good_goes_live_by_no_new_one(
    files: RunFiles, tmp_path: Path
) -> None:
    release(files)
    other = run_files(tmp_path / "other", b"other bytes")
    first, second = (ModelRef.read(one.gguf / MODEL_NAME).digest for one in (files, other))
    other.bless(champion=first)
    release(other)
    gate = files.keys.keyring().current
    files.keys.revoke(gate, "stolen", datetime.now(UTC))
    files.keys.rotate(datetime.now(UTC))
    files.bless(champion=second)
    with pytest.raises(SigningKeyError, match=f"this file is {NAME} v1 already: .* stolen") as told:
        release(files)
    assert "wherry keys uphold" in told.value.remedy
    with Ledger.open(tmp_path / ".wherry") as ledger:
        assert ledger.find(NAME, 2).aliases == (CHAMPION,)
        recorded = ledger.blessing_of(NAME, 1)
    files.keys.uphold(
        recorded, BLESSING, "the blessing of v1", "of March", datetime.now(UTC), came=LONG_AGO
    )
    assert release(files) is True
