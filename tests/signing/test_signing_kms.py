"""A key that never leaves its service: AWS KMS by moto's own server code, the real client."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from wherry.contracts.errors import SigningKeyError
from wherry.signing import BLESSING, KeyFolder, sign, verify

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

NOW = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with moto.mock_aws():
        yield


@pytest.fixture
def _signs_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs what is handed over as a digest, as AWS does; moto would hash it once more."""
    from moto.kms import utils

    def ecdsa(self: Any, message: bytes, _algorithm: str) -> bytes:
        held = {32: hashes.SHA256(), 48: hashes.SHA384()}[len(message)]
        signature: bytes = self.private_key.sign(message, ec.ECDSA(Prehashed(held)))
        return signature

    def rsa(self: Any, message: bytes, _algorithm: str) -> bytes:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        signature: bytes = self.private_key.sign(message, pss, Prehashed(hashes.SHA256()))
        return signature

    monkeypatch.setattr(utils.ECDSAPrivateKey, "sign", ecdsa)
    monkeypatch.setattr(utils.RSAPrivateKey, "sign", rsa)


def key(spec: str) -> str:
    """Makes a key in the service and gives its URI."""
    made = boto3.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)
    return f"awskms:{made['KeyMetadata']['KeyId']}"


@pytest.mark.usefixtures("_signs_digests")
@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_3072"])
def test_the_service_signs_and_nothing_private_lies_here(tmp_path: Path, spec: str) -> None:
    folder = KeyFolder(tmp_path / "keys")
    uri = key(spec)
    made = folder.init("release pipeline", NOW, uri=uri)
    assert (made.uri, list(folder.folder.glob("*.pem"))) == (uri, [])
    envelope = sign(b"blessed", BLESSING, folder.signer())
    assert verify(envelope, BLESSING, folder.keyring()) == b"blessed"


@pytest.mark.usefixtures("_signs_digests")
def test_rotation_goes_from_a_file_to_a_service(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW)
    old = sign(b"old", BLESSING, folder.signer())
    folder.rotate(NOW, uri=key("ECC_NIST_P384"))
    assert list(tmp_path.glob("*.pem")) == []
    new = sign(b"new", BLESSING, folder.signer())
    ring = folder.keyring()
    assert (verify(old, BLESSING, ring), verify(new, BLESSING, ring)) == (b"old", b"new")


def test_a_service_that_signs_something_else_is_found_out(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW, uri=key("ECC_NIST_P256"))
    with pytest.raises(SigningKeyError, match="does not fit its public half"):
        sign(b"x", BLESSING, folder.signer())  # moto hashes the digest once more


def test_a_key_that_the_service_does_not_have_is_said(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match=r"awskms:no-such-key could not be used: .*NotFound"):
        KeyFolder(tmp_path).init("ann", NOW, uri="awskms:no-such-key")
    assert not KeyFolder(tmp_path).exists()


def test_a_key_that_is_gone_from_the_service_signs_nothing(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW, uri=key("ECC_NIST_P256"))
    moto.backends.get_backend("kms").reset()
    with pytest.raises(SigningKeyError, match=r"\(awskms:.*\) could not sign: NotFound"):
        sign(b"x", BLESSING, folder.signer())
