"""Signs a model folder as OpenSSF Model Signing 1.0 does, so that its own tool verifies it.

The form is that of https://github.com/sigstore/model-transparency: a Sigstore bundle around a
DSSE envelope around an in-toto statement that lists every file. That tool verifies elliptic
curve keys alone, while Wherry's are Ed25519: so a key is made for this one signature and thrown
away, and its public half goes into the case, whose index the project's own key signs.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wherry.contracts import Manifest
from wherry.ledger.export.facts import hexadecimal
from wherry.ledger.export.provenance import statement

_BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD: Final = "application/vnd.in-toto+json"
_PREDICATE: Final = "https://model_signing/signature/v1.0"


def sign_folder(folder: Path, signature: Path, public_key: Path) -> None:
    """Signs every file of a folder by a key of its own.

    Args:
        folder: the model.
        signature: where to write the bundle, outside of the folder.
        public_key: where to write the public key, as PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    payload = json.dumps(_statement(folder)).encode()
    signed = key.sign(_message(payload), ec.ECDSA(hashes.SHA256()))
    public_key.write_bytes(pem)
    signature.write_text(json.dumps(_bundle(payload, signed, pem), indent=2), encoding="utf-8")


def _statement(folder: Path) -> dict[str, Any]:
    files = sorted(Manifest.of_folder(folder).files, key=lambda file: file.path)
    digests = [hexadecimal(file.sha256) for file in files]
    whole = hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()
    named = [{"name": folder.name, "digest": {"sha256": whole}}]
    return statement(
        named,
        _PREDICATE,
        {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [],
            },
            "resources": [
                {"name": file.path, "algorithm": "sha256", "digest": digest}
                for file, digest in zip(files, digests, strict=True)
            ],
        },
    )


def _message(payload: bytes) -> bytes:
    """Gives what is signed: DSSE's pre-authentication encoding."""
    kind = _PAYLOAD.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _bundle(payload: bytes, signed: bytes, pem: bytes) -> dict[str, Any]:
    return {
        "mediaType": _BUNDLE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(pem).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }
