"""Signs and checks bytes by securesystemslib; its import costs what boto3 does, so load it late."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error, UnsupportedLibraryError
from securesystemslib.signer import (  # type: ignore[attr-defined] # it has no __all__
    AWSSigner,
    CryptoSigner,
    GCPSigner,
    Signature,
    SSlibKey,
)
from securesystemslib.signer import Signer as LibrarySigner  # type: ignore[attr-defined] # nor here

from wherry.contracts.errors import ExtraMissingError, SignatureError, SigningKeyError
from wherry.signing.envelope import Signer
from wherry.signing.keyring import TrustedKey

SERVICES: Final[dict[str, Callable[[str], tuple[str, Any]]]] = {
    "awskms": AWSSigner.import_,
    "gcpkms": GCPSigner.import_,
}
"""Key management services: the scheme of their URIs, which is also the name of the extra that
installs their client → what reads a key's public half from them."""

_TRIAL: Final = "application/vnd.wherry.trial"
"""Of what a key signs to show that it can; nothing takes it for a statement."""


@dataclass(frozen=True)
class Decoded:
    """An envelope whose signatures were not looked at yet."""

    payload: bytes
    payload_type: str
    signed_by: tuple[str, ...]
    """Ids of the keys that it says signed it."""
    envelope: Envelope


class LoadedSigner:
    """A key that signs, through securesystemslib."""

    def __init__(self, key: TrustedKey, library: LibrarySigner) -> None:
        self.key = key
        self._library = library

    def sign(self, message: bytes) -> bytes:
        """Gives the signature of a message."""
        try:
            return bytes.fromhex(self._library.sign(message).signature)
        except Exception as error:  # each cloud's client has exceptions of its own
            raise SigningKeyError(
                f"The key {self.key.short} ({self.key.uri}) could not sign: "
                f"{type(error).__name__}: {error}.",
                remedy="Check that this process may use the key: credentials, region, permissions.",
            ) from error


def encode(payload: bytes, payload_type: str, signer: Signer) -> dict[str, Any]:
    """Gives the envelope of a payload; what a service signed is checked before it is used."""
    envelope = Envelope(payload, payload_type, {})
    signature = Signature(signer.key.id, signer.sign(envelope.pae()).hex())
    envelope.signatures[signature.keyid] = signature
    made: dict[str, Any] = envelope.to_dict()
    if not holds(decode(made), signer.key):
        raise SigningKeyError(
            f"What the key {signer.key.short} signed does not fit its public half.",
            remedy="The service signs with another key than the keyring names, or with one of a "
            "kind that is not known here: see `wherry keys list`.",
        )
    return made


def decode(envelope: dict[str, Any]) -> Decoded:
    """Reads an envelope without trusting it.

    Raises:
        SignatureError: if it is none.
    """
    try:
        # It writes into what it is given.
        signatures = [dict(one) for one in envelope["signatures"]]
        read = Envelope.from_dict({**envelope, "signatures": signatures})
        if not isinstance(read.payload_type, str):
            raise TypeError("payloadType is no text")
    except (KeyError, TypeError, ValueError, AttributeError, Error) as error:
        raise SignatureError(
            f"It is no signed envelope: {type(error).__name__}: {error}.",
            remedy="Make the statement again.",
        ) from error
    return Decoded(read.payload, read.payload_type, tuple(read.signatures), read)


def holds(found: Decoded, key: TrustedKey) -> bool:
    """Says whether this key signed these very bytes."""
    try:
        public = _public(key)
        public.verify_signature(found.envelope.signatures[key.id], found.envelope.pae())
    except (Error, KeyError, ValueError, TypeError):
        return False
    return True


def generate() -> tuple[SSlibKey, bytes]:
    """Makes an Ed25519 key; gives its public half, and its private half as PEM."""
    made = CryptoSigner.generate_ed25519()
    return made.public_key, made.private_bytes


def from_file(key: TrustedKey, pem: bytes) -> LoadedSigner:
    """Loads a private key from PEM.

    Raises:
        SigningKeyError: if it is none, or not the one that the keyring names.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return LoadedSigner(key, CryptoSigner(load_pem_private_key(pem, None), _public(key)))
    except (Error, ValueError, TypeError) as error:
        raise SigningKeyError(
            f"{key.uri} is not the private half of the key {key.short}: {type(error).__name__}.",
            remedy="Restore the file, or run `wherry keys rotate`.",
        ) from error


def from_service(key: TrustedKey) -> LoadedSigner:
    """Gives a signer whose private key never leaves its service.

    Raises:
        ExtraMissingError: if the service's client is not installed.
        SigningKeyError: if the service refuses.
    """
    with _service(key.uri):
        return LoadedSigner(key, LibrarySigner.from_priv_key_uri(key.uri, _public(key)))


def prove(key: TrustedKey) -> None:
    """Lets a key of a service sign a trial, and verifies that.

    Raises:
        ExtraMissingError: if the service's client is not installed.
        SigningKeyError: if this process may not sign with it, or it is of a kind that nobody here
            can verify.
    """
    encode(b"", _TRIAL, from_service(key))


def public_of_service(uri: str) -> SSlibKey:
    """Reads the public half of a key from its service; as `from_service`."""
    scheme, _, path = uri.partition(":")
    with _service(uri):
        public: SSlibKey = SERVICES[scheme](path)[1]
    return public


@contextmanager
def _service(uri: str) -> Iterator[None]:
    """Turns whatever a service's client raises into an error that says what to do."""
    scheme, _, path = uri.partition(":")
    if scheme not in SERVICES or not path:
        raise SigningKeyError(
            f"{uri!r} names no key: expected " + ", ".join(f"{name}:…" for name in SERVICES) + ".",
            remedy="Write the key's URI, such as awskms:alias/wherry.",
        )
    try:
        yield
    except UnsupportedLibraryError as error:
        raise ExtraMissingError(
            f"{uri} needs the client of its service, which is not installed.",
            remedy=f'Run: pip install "wherry[{scheme}]"',
        ) from error
    except Exception as error:  # each cloud's client has exceptions of its own
        raise SigningKeyError(
            f"{uri} could not be used: {type(error).__name__}: {error}.",
            remedy="Check the name, the region, and that this process may use the key.",
        ) from error


def _public(key: TrustedKey) -> SSlibKey:
    return SSlibKey(key.id, key.type, key.scheme, {"public": key.public})
