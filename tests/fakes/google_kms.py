"""A server of Google's Cloud KMS with real keys, reached by the real client over TLS."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

_SERVICE = "google.cloud.kms.v1.KeyManagementService"
_HASHES = {"SHA256": hashes.SHA256, "SHA384": hashes.SHA384, "SHA512": hashes.SHA512}
_CURVES = {"P256": ec.SECP256R1, "P384": ec.SECP384R1}


@dataclass
class GoogleKms:
    """Holds keys by their names, and says what it was asked."""

    environment: dict[str, str] = field(default_factory=dict)
    """What points the client here: Google calls such a place a universe."""
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Name → the algorithm as the API calls it, and the private key."""
    tokens: list[str] = field(default_factory=list)
    """What each request was authorized by."""

    def add(self, algorithm: str) -> str:
        """Makes a key and gives its full name."""
        ring = "projects/p/locations/europe-west1/keyRings/wherry"
        name = f"{ring}/cryptoKeys/k{len(self.keys)}/cryptoKeyVersions/1"
        kind, _, size = algorithm.partition("_SIGN_")
        if kind == "EC":
            private: Any = ec.generate_private_key(_CURVES[size.partition("_")[0]]())
        else:
            private = rsa.generate_private_key(65537, int(size.split("_")[1]))
        self.keys[name] = (algorithm, private)
        return name

    def public(self, asked: Any, context: Any) -> Any:
        """Answers `GetPublicKey`."""
        from google.cloud.kms_v1.types import CryptoKeyVersion, PublicKey

        algorithm, private = self._find(asked.name, context)
        pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return PublicKey(
            name=asked.name,
            algorithm=CryptoKeyVersion.CryptoKeyVersionAlgorithm[algorithm],
            public_key={"data": pem},
            public_key_format=asked.public_key_format,
        )

    def sign(self, asked: Any, context: Any) -> Any:
        """Answers `AsymmetricSign`."""
        from google.cloud.kms_v1.types import AsymmetricSignResponse

        algorithm, private = self._find(asked.name, context)
        kind = _HASHES[algorithm.rpartition("_")[2]]()
        digest: bytes = getattr(asked.digest, kind.name)
        if algorithm.startswith("EC"):
            signature = private.sign(digest, ec.ECDSA(Prehashed(kind)))
        elif "PSS" in algorithm:
            pss = padding.PSS(padding.MGF1(kind), padding.PSS.DIGEST_LENGTH)
            signature = private.sign(digest, pss, Prehashed(kind))
        else:
            signature = private.sign(digest, padding.PKCS1v15(), Prehashed(kind))
        return AsymmetricSignResponse(signature=signature, name=asked.name)

    def _find(self, name: str, context: Any) -> tuple[str, Any]:
        import grpc

        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))
        if name not in self.keys:
            context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKeyVersion {name} not found.")
        return self.keys[name]


@contextmanager
def google_kms(folder: Path) -> Iterator[GoogleKms]:
    """Serves keys for as long as the block lasts.

    Args:
        folder: takes the authority's certificate and a service account's file.
    """
    import grpc
    from google.cloud.kms_v1.types import (
        AsymmetricSignRequest,
        AsymmetricSignResponse,
        GetPublicKeyRequest,
        PublicKey,
    )

    made = GoogleKms()
    calls = {
        "GetPublicKey": grpc.unary_unary_rpc_method_handler(
            made.public, GetPublicKeyRequest.deserialize, PublicKey.serialize
        ),
        "AsymmetricSign": grpc.unary_unary_rpc_method_handler(
            made.sign, AsymmetricSignRequest.deserialize, AsymmetricSignResponse.serialize
        ),
    }
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued = authority.issue_cert("cloudkms.localhost")
    chain = b"".join(one.bytes() for one in issued.cert_chain_pems)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, calls),))
    secret = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])
    port = server.add_secure_port("127.0.0.1:0", secret)
    server.start()
    universe = f"localhost:{port}"  # the client asks cloudkms.UNIVERSE
    made.environment |= {
        "GOOGLE_CLOUD_UNIVERSE_DOMAIN": universe,
        "GOOGLE_APPLICATION_CREDENTIALS": str(_account(folder, universe)),
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(folder / "authority.pem"),
        "no_grpc_proxy": "localhost",
    }
    try:
        yield made
    finally:
        server.stop(None)


def _account(folder: Path, universe: str) -> Path:
    """Writes a service account's key: the client signs its own tokens with it."""
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "account.json"
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "wherry@p.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.invalid/token",
        "universe_domain": universe,
    }
    path.write_text(json.dumps(account))
    return path
