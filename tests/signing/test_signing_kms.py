"""Keys that never leave their service: the real clients, servers with real keys behind them."""

import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aws_kms import aws_kms
from tests.fakes.releases import blessing, scores
from wherry.contracts.errors import SigningKeyError
from wherry.signing import BLESSING, KeyFolder, check_stamp, sign, stamp, verify

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")

pytestmark = pytest.mark.local
NOW = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """AWS KMS, in a process of its own."""
    with aws_kms() as address:
        yield address


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another client of it, for what its administrator does."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    return boto3.client("kms")


def key(aws: Any, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> str:
    """Makes a key in the service and gives its URI."""
    made = aws.create_key(KeyUsage=usage, KeySpec=spec)
    return f"awskms:{made['KeyMetadata']['KeyId']}"


@pytest.mark.parametrize(
    ("spec", "scheme"),
    [
        ("ECC_NIST_P256", "ecdsa-sha2-nistp256"),
        ("ECC_NIST_P384", "ecdsa-sha2-nistp384"),
        ("RSA_2048", "rsassa-pss-sha256"),
        ("RSA_4096", "rsassa-pss-sha256"),
    ],
)
def test_a_blessing_is_signed_by_the_service_and_verified_without_it(
    aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, scheme: str
) -> None:
    folder = KeyFolder(tmp_path / "keys")
    uri = key(aws, spec)
    made = folder.init("release pipeline", NOW, uri=uri)
    assert (made.uri, made.scheme, list(folder.folder.glob("*.pem"))) == (uri, scheme, [])
    blessed = stamp(blessing(scores()), BLESSING, folder.signer())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert check_stamp(blessed, BLESSING, folder.keyring()).owner == "release pipeline"


@pytest.mark.parametrize(
    ("spec", "usage", "told"),
    [
        ("ECC_NIST_P521", "SIGN_VERIFY", "UnsupportedAlgorithmError"),
        ("ECC_SECG_P256K1", "SIGN_VERIFY", "does not fit its public half"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "could not be used"),
    ],
)
def test_a_key_of_another_kind_is_refused_before_it_takes_over(
    aws: Any, tmp_path: Path, spec: str, usage: str, told: str
) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW)
    before = folder.path.read_bytes()
    with pytest.raises(SigningKeyError, match=told):
        folder.rotate(NOW, uri=key(aws, spec, usage))
    assert folder.path.read_bytes() == before
    assert verify(sign(b"x", BLESSING, folder.signer()), BLESSING, folder.keyring()) == b"x"


def test_rotation_goes_from_a_file_to_a_service(aws: Any, tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW)
    old = sign(b"old", BLESSING, folder.signer())
    folder.rotate(NOW, uri=key(aws, "ECC_NIST_P384"))
    assert list(tmp_path.glob("*.pem")) == []
    new = sign(b"new", BLESSING, folder.signer())
    ring = folder.keyring()
    assert (verify(old, BLESSING, ring), verify(new, BLESSING, ring)) == (b"old", b"new")


def test_a_key_that_may_no_longer_sign_takes_nothing_over(aws: Any, tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW)
    uri = key(aws)
    aws.schedule_key_deletion(KeyId=uri.removeprefix("awskms:"))
    with pytest.raises(SigningKeyError, match=r"awskms:.* could not"):
        folder.rotate(NOW, uri=uri)
    assert len(list(tmp_path.glob("*.pem"))) == 1
    folder.signer()


def test_an_alias_that_names_another_key_by_now_is_found_out(aws: Any, tmp_path: Path) -> None:
    one, two = (key(aws).removeprefix("awskms:") for _ in range(2))
    aws.create_alias(AliasName="alias/wherry", TargetKeyId=one)
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW, uri="awskms:alias/wherry")
    assert verify(sign(b"x", BLESSING, folder.signer()), BLESSING, folder.keyring()) == b"x"
    aws.update_alias(AliasName="alias/wherry", TargetKeyId=two)
    with pytest.raises(SigningKeyError, match="does not fit its public half"):
        sign(b"x", BLESSING, folder.signer())


def test_a_key_that_the_service_does_not_have_is_said(aws: Any, tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match=r"awskms:no-such-key could not be used: .*NotFound"):
        KeyFolder(tmp_path).init("ann", NOW, uri="awskms:no-such-key")
    assert not KeyFolder(tmp_path).exists()


def test_a_key_that_is_gone_from_the_service_signs_nothing(
    aws: Any, server: str, tmp_path: Path
) -> None:
    folder = KeyFolder(tmp_path)
    folder.init("ann", NOW, uri=key(aws))
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset", method="POST"))
    with pytest.raises(SigningKeyError, match=r"\(awskms:.*\) could not sign: NotFound"):
        sign(b"x", BLESSING, folder.signer())
