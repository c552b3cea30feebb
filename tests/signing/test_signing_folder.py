"""Private keys stay private, changes are whole, and what is missing is said."""

import multiprocessing
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wherry.contracts.errors import ConflictError, ExtraMissingError, SigningKeyError
from wherry.signing import BLESSING, KeyFolder, load_keyring, load_signer, sign, verify
from wherry.signing.folder import _open_to_others

NOW = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder with one key."""
    folder = KeyFolder(tmp_path / ".wherry" / "keys")
    folder.init("ann", NOW)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_can_read_a_private_key(keys: KeyFolder) -> None:
    (private,) = keys.folder.glob("*.pem")
    assert (mode(private), mode(keys.folder), mode(keys.path)) == (0o600, 0o700, 0o644)
    assert b"PRIVATE KEY" in private.read_bytes()
    assert (keys.folder / ".gitignore").read_text() == "*.pem\n"
    assert "PRIVATE" not in keys.path.read_text()


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o606, 0o660])
def test_a_private_key_that_others_can_read_is_not_used(keys: KeyFolder, open_to: int) -> None:
    (private,) = keys.folder.glob("*.pem")
    private.chmod(open_to)
    with pytest.raises(SigningKeyError, match="can be read by others") as caught:
        keys.signer()
    assert "chmod 600" in caught.value.remedy


@pytest.mark.parametrize(
    ("mode", "mine", "refused"),
    [(0o440, False, False), (0o440, True, True), (0o444, False, True), (0o600, True, False)],
)
def test_a_secret_that_a_cluster_mounts_for_the_pods_group_is_used(
    mode: int, mine: bool, refused: bool
) -> None:
    owner = os.getuid() + (0 if mine else 1)
    found = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    assert _open_to_others(found) is refused


@pytest.mark.parametrize("open_to", [0o664, 0o646])
def test_a_keyring_that_others_can_write_is_not_trusted(keys: KeyFolder, open_to: int) -> None:
    keys.path.chmod(open_to)
    with pytest.raises(SigningKeyError, match="can be written by others"):
        keys.keyring()


def test_no_key_is_said_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHERRY_KEYS", raising=False)
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    for load in (load_signer, load_keyring):
        with pytest.raises(SigningKeyError, match=f"no key in {tmp_path}") as caught:
            load()
        assert caught.value.code == "E_KEY"
        assert "wherry keys init" in caught.value.remedy


def test_a_second_first_key_is_a_conflict(keys: KeyFolder) -> None:
    with pytest.raises(ConflictError, match="signs here already"):
        keys.init("bob", NOW)


def test_rotation_destroys_the_old_private_half(keys: KeyFolder) -> None:
    before = keys.keyring().current
    made = keys.rotate(NOW)
    assert made.owner == "ann"
    assert [path.stem for path in keys.folder.glob("*.pem")] == [made.id]
    assert keys.signer().key == made
    with pytest.raises(SigningKeyError, match="was retired"):
        keys.signer(before)


def test_revocation_leaves_nothing_to_sign_with_until_rotation(keys: KeyFolder) -> None:
    gone = keys.revoke(keys.keyring().current[:8], "lost", NOW)
    assert gone.state == "revoked"
    assert list(keys.folder.glob("*.pem")) == []
    with pytest.raises(SigningKeyError, match="No key of this keyring signs"):
        keys.signer()
    made = keys.rotate(NOW)
    assert (keys.signer().key, made.owner) == (made, "ann")


def test_a_missing_or_foreign_private_half_is_said(keys: KeyFolder, tmp_path: Path) -> None:
    (private,) = keys.folder.glob("*.pem")
    other = KeyFolder(tmp_path / "other")
    other.init("bob", NOW)
    (foreign,) = other.folder.glob("*.pem")
    private.write_bytes(foreign.read_bytes())
    with pytest.raises(SigningKeyError, match="is not the private half"):
        keys.signer()
    private.write_bytes(b"no key")
    with pytest.raises(SigningKeyError, match="is not the private half"):
        keys.signer()
    private.unlink()
    with pytest.raises(SigningKeyError, match="is not at"):
        keys.signer()


def test_a_keyring_cannot_lead_out_of_its_folder(keys: KeyFolder, tmp_path: Path) -> None:
    (private,) = keys.folder.glob("*.pem")
    outside = tmp_path / "outside.pem"
    outside.write_bytes(private.read_bytes())
    outside.chmod(0o600)
    text = keys.path.read_text().replace(f"file:{private.name}", "file:../../outside.pem")
    keys.path.write_text(text)
    with pytest.raises(SigningKeyError, match="is not at"):
        keys.signer()


def test_a_public_key_alone_verifies_and_signs_nothing(keys: KeyFolder, tmp_path: Path) -> None:
    verifier = KeyFolder(tmp_path / "deployer")
    verifier.trust(keys.keyring().signing())
    envelope = sign(b"x", BLESSING, keys.signer())
    assert verify(envelope, BLESSING, verifier.keyring()) == b"x"
    with pytest.raises(SigningKeyError, match="No key of this keyring signs"):
        verifier.signer()
    with pytest.raises(SigningKeyError, match="no private half here"):
        verifier.signer(keys.keyring().current)


def _ensure(folder: Path) -> bool:
    return KeyFolder(folder).ensure("ann", NOW) is not None


def test_eight_first_starts_make_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        made = pool.map(_ensure, [tmp_path / "keys"] * 8)
    assert made.count(True) == 1
    assert len(list((tmp_path / "keys").glob("*.pem"))) == 1
    assert len(load_keyring(tmp_path / "keys").keys) == 1


def test_a_kill_between_key_and_keyring_is_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    folder = KeyFolder(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(KeyFolder, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.init("ann", NOW)
    assert not folder.exists()
    made = folder.init("ann", NOW)
    assert folder.signer().key == made
    assert len(list(tmp_path.glob("*.pem"))) == 2
    assert [path.stem for path in tmp_path.glob("*.pem")] != [folder.rotate(NOW).id]
    assert [path.stem for path in tmp_path.glob("*.pem")] == [folder.keyring().current]


@pytest.mark.parametrize("uri", ["vault:x", "awskms:", "file:../key.pem", "http://x"])
def test_a_uri_of_no_known_service_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(SigningKeyError, match="names no key: expected awskms:…, gcpkms:…"):
        KeyFolder(tmp_path).init("ann", NOW, uri=uri)
    assert not KeyFolder(tmp_path).exists()


def test_a_service_whose_client_is_missing_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from securesystemslib.signer import _gcp_signer

    monkeypatch.setattr(_gcp_signer, "GCP_IMPORT_ERROR", "not installed")
    uri = "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
    with pytest.raises(ExtraMissingError, match="not installed") as caught:
        KeyFolder(tmp_path).init("ann", NOW, uri=uri)
    assert 'pip install "wherry[gcpkms]"' in caught.value.remedy
