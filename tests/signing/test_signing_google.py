"""Keys of Google's Cloud KMS: the real client over TLS, a server with real keys."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.google_kms import GoogleKms, google_kms
from wherry.signing import BLESSING, KeyFolder, open_envelope

pytest.importorskip("google.cloud.kms")

pytestmark = pytest.mark.local
WHERRY = ("-c", "from wherry.cli import main; main()")
SIGN = (
    "-c",
    "import sys; from wherry.signing import BLESSING, load_signer, sign\n"
    "sys.stdout.buffer.write(sign(b'blessed', BLESSING, load_signer()))",
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleKms]:
    """The service; its clients are other processes, for gRPC reads its authorities once."""
    with google_kms(tmp_path_factory.mktemp("service")) as made:
        yield made


def call(
    service: GoogleKms, keys: Path, *words: str, **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    told = {"WHERRY_KEYS": str(keys), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **service.environment, **told, **environment},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("algorithm", "scheme"),
    [
        ("EC_SIGN_P256_SHA256", "ecdsa-sha2-nistp256"),
        ("EC_SIGN_P384_SHA384", "ecdsa-sha2-nistp384"),
        ("RSA_SIGN_PSS_3072_SHA256", "rsassa-pss-sha256"),
        ("RSA_SIGN_PKCS1_2048_SHA256", "rsa-pkcs1v15-sha256"),
    ],
)
def test_the_service_signs_and_the_keyring_alone_verifies(
    service: GoogleKms, tmp_path: Path, algorithm: str, scheme: str
) -> None:
    uri = f"gcpkms:{service.add(algorithm)}"
    done = call(service, tmp_path, *WHERRY, "keys", "init", "--owner", "ci", "--uri", uri, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["scheme"], made["uri"]) == (scheme, uri)
    assert list(tmp_path.glob("*.pem")) == []
    signed = call(service, tmp_path, *SIGN)
    assert signed.returncode == 0, signed.stderr
    found = open_envelope(signed.stdout, BLESSING, KeyFolder(tmp_path).keyring())
    assert (found.payload, found.key.owner) == (b"blessed", "ci")
    assert all(token.startswith("Bearer ey") for token in service.tokens)


def test_a_key_that_the_service_does_not_have_is_said(service: GoogleKms, tmp_path: Path) -> None:
    uri = f"gcpkms:{service.add('EC_SIGN_P256_SHA256')}0"
    done = call(service, tmp_path, *WHERRY, "keys", "init", "--uri", uri)
    assert done.returncode == 1
    told = " ".join(done.stderr.decode().split())
    assert "E_KEY" in told and "could not be used: NotFound" in told
    assert not KeyFolder(tmp_path).exists()
