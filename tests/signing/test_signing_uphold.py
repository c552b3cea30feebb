"""What a revoked key signed may be good all the same: one statement, by its name, for a reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes.people import LONG_AGO
from tests.fakes.releases import blessing, scores
from wherry.contracts import Blessing, digest_bytes
from wherry.contracts.errors import SignatureError, SigningKeyError
from wherry.signing import BLESSING, KeyFolder, check_stamp, stamp, verify
from wherry.signing.keyring import Upheld

NOW = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    """A folder with one key."""
    folder = KeyFolder(tmp_path / "keys")
    folder.init("gate", LONG_AGO)
    return folder


def blessed(keys: KeyFolder, content: bytes) -> Blessing:
    return stamp(blessing(scores(model=digest_bytes(content))), BLESSING, keys.signer())


def uphold(keys: KeyFolder, one: Blessing, reason: str = "released in March") -> None:
    keys.uphold(one, BLESSING, "the blessing of icd10-triage v1", reason, NOW, came=LONG_AGO)


def test_of_a_revoked_key_only_what_is_upheld_is_good(keys: KeyFolder) -> None:
    kept, other = blessed(keys, b"1"), blessed(keys, b"2")
    key = keys.revoke(keys.keyring().current, "the laptop was lost", NOW)
    with pytest.raises(SigningKeyError, match="laptop was lost") as caught:
        check_stamp(kept, BLESSING, keys.keyring())
    assert "wherry keys uphold NAME:VERSION" in caught.value.remedy
    uphold(keys, kept)
    assert check_stamp(kept, BLESSING, keys.keyring()).id == key.id
    with pytest.raises(SigningKeyError, match="laptop was lost"):
        check_stamp(other, BLESSING, keys.keyring())
    (said,) = keys.keyring().named(key.id).upheld
    assert (said.what, said.reason) == ("the blessing of icd10-triage v1", "released in March")
    uphold(keys, kept, "again")
    assert keys.keyring().named(key.id).upheld == (said,)
    with pytest.raises(SigningKeyError, match="No key of this keyring signs"):
        keys.signer()


def test_what_was_not_signed_so_is_not_upheld(keys: KeyFolder, tmp_path: Path) -> None:
    one = blessed(keys, b"1")
    with pytest.raises(SigningKeyError, match="is active: what it signed is good already"):
        uphold(keys, one)
    keys.revoke(keys.keyring().current, "lost", NOW)
    with pytest.raises(SignatureError, match="was changed after it was signed"):
        uphold(keys, replace(one, judged="2030-01-01T00:00:00Z"))
    with pytest.raises(SignatureError, match="is not signed"):
        uphold(keys, replace(one, envelope=""))
    stranger = KeyFolder(tmp_path / "stranger")
    stranger.init("mallory", LONG_AGO)
    with pytest.raises(SigningKeyError, match="not trusted here"):
        uphold(keys, blessed(stranger, b"1"))
    with pytest.raises(SigningKeyError, match="No reason was given to uphold"):
        uphold(keys, one, "  ")
    with pytest.raises(SigningKeyError, match="The blessing of v1 came in at .* was revoked at"):
        keys.uphold(one, BLESSING, "the blessing of v1", "mine", NOW, came=NOW)
    assert not any(key.upheld for key in keys.keyring().keys)


def test_a_key_that_is_trusted_brings_along_nothing_upheld(keys: KeyFolder, tmp_path: Path) -> None:
    one = blessed(keys, b"1")
    said = Upheld(digest_bytes(verify(one.envelope, BLESSING, keys.keyring())), "v1", "mine", "now")
    here = KeyFolder(tmp_path / "here")
    key = here.trust(replace(keys.keyring().signing(), upheld=(said,)))
    here.revoke(key.id, "stolen", NOW)
    with pytest.raises(SigningKeyError, match="stolen"):
        check_stamp(one, BLESSING, here.keyring())
