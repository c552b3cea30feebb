"""Nothing is started that the gate did not bless, with a signature that is trusted here."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, blessing, candidate, judged, scores, unsigned
from wherry.contracts import Blessing, Release, digest_bytes
from wherry.contracts.errors import (
    ApprovalError,
    DigestError,
    GateRefusedError,
    MissingError,
    RoleError,
    SignatureError,
    SigningKeyError,
    WherryError,
)
from wherry.deploy.blessed import check_blessed
from wherry.deploy.run import run
from wherry.ledger import CHAMPION, Ledger
from wherry.signing import BLESSING, KeyFolder, stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    """A workspace with a key."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    folder = KeyFolder(tmp_path / ".wherry" / "keys")
    folder.init("ann", NOW)
    return folder


@pytest.fixture
def release(tmp_path: Path, keys: KeyFolder) -> Release:
    """A version in the ledger whose blessing was never signed."""
    with Ledger.open(tmp_path / ".wherry") as ledger:
        made = unsigned(candidate(ledger, tmp_path, b"gguf bytes"))
        return ledger.register_and_switch(made, CHAMPION, expected_generation=0, reason="first")


def given(
    tmp_path: Path,
    release: Release,
    keys: KeyFolder,
    change: Callable[[Blessing], Blessing] = lambda made: made,
) -> Path:
    """Writes the run's blessing, changed before it was signed."""
    made = change(blessing(scores(model=release.digest)))
    stamp(made, BLESSING, keys.signer()).write(tmp_path / "blessing.json")
    return tmp_path / "blessing.json"


def test_a_signed_blessing_of_this_file_lets_it_through(
    tmp_path: Path, release: Release, keys: KeyFolder
) -> None:
    check_blessed(release, given(tmp_path, release, keys))


def test_without_one_the_ledgers_counts_and_it_must_be_signed(
    tmp_path: Path, release: Release, keys: KeyFolder
) -> None:
    with pytest.raises(SignatureError, match="is not signed"):
        check_blessed(release, None)
    with Ledger.open(tmp_path / ".wherry") as ledger:
        made = candidate(ledger, tmp_path, b"other bytes")
        version = ledger.register(judged(made, keys.signer()))
    check_blessed(version, None)
    with pytest.raises(MissingError):
        check_blessed(replace(release, version=7), None)


def test_without_a_ledger_and_a_blessing_nothing_is_deployed(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(GateRefusedError, match=f"no blessing for {NAME} version 1"):
        check_blessed(release, None)


def refused(made: Blessing) -> Blessing:
    return replace(made, passed=False, checks=(replace(made.checks[0], passed=False),))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda made: replace(made, model_digest=digest_bytes(b"other")), DigestError),
        (lambda made: replace(made, checks=()), GateRefusedError),
        (lambda made: replace(refused(made), passed=True), GateRefusedError),
        (refused, GateRefusedError),
        (lambda made: replace(made, required_approvals=("safety",)), ApprovalError),
    ],
)
def test_a_signed_blessing_that_does_not_bless_this_file_is_refused(
    tmp_path: Path,
    release: Release,
    keys: KeyFolder,
    change: Callable[[Blessing], Blessing],
    error: type[WherryError],
) -> None:
    with pytest.raises(error):
        check_blessed(release, given(tmp_path, release, keys, change))


def test_one_that_was_edited_is_refused(tmp_path: Path, release: Release, keys: KeyFolder) -> None:
    path = given(tmp_path, release, keys, lambda made: replace(made, required_approvals=("x",)))
    replace(Blessing.read(path), required_approvals=()).write(path)
    with pytest.raises(SignatureError, match="changed after it was signed"):
        check_blessed(release, path)


def test_one_of_a_stranger_or_of_a_revoked_key_is_refused(
    tmp_path: Path, release: Release, keys: KeyFolder
) -> None:
    stranger = KeyFolder(tmp_path / "stranger")
    stranger.init("mallory", NOW)
    with pytest.raises(SigningKeyError, match="not trusted here"):
        check_blessed(release, given(tmp_path, release, stranger))
    path = given(tmp_path, release, keys)
    keys.rotate(NOW)
    check_blessed(release, path)
    keys.revoke(keys.keyring().keys[0].id, "the laptop was lost", NOW)
    with pytest.raises(SigningKeyError, match="revoked"):
        check_blessed(release, path)


def test_the_stage_refuses_before_it_looks_at_anything_else(
    tmp_path: Path, release: Release
) -> None:
    release.write(tmp_path / "release.json")
    with pytest.raises(SignatureError):
        run(tmp_path / "release.json", tmp_path / "no-data", tmp_path / "out.json")
    assert not (tmp_path / ".wherry" / "deployments").exists()
    assert not (tmp_path / "out.json").exists()


def test_who_may_not_deploy_is_refused_before_a_server_is_touched(
    tmp_path: Path, release: Release
) -> None:
    everybody = "\n".join(
        f"{change}: ['*']"
        for change in ("register", "approve", "promote", "rollback", "retire", "revoke", "waive")
    )
    (tmp_path / ".wherry" / "roles.yaml").write_text(f"{everybody}\ndeploy: [ci]\n")
    release.write(tmp_path / "release.json")
    with pytest.raises(RoleError, match="may not deploy: the roles policy names ci"):
        run(tmp_path / "release.json", tmp_path / "no-data", tmp_path / "out.json")
    assert not (tmp_path / ".wherry" / "deployments").exists()
    with Ledger.open(tmp_path / ".wherry") as ledger:
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live and live.version == release.version
