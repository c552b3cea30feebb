"""moto's server of AWS KMS, which signs digests as AWS does: python -m tests.fakes.aws_kms PORT.

moto hashes whatever it is handed once more; of a message of the type DIGEST nothing is hashed
(https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html). Its keys are real ones.
"""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.ingest.servers import free_port, process


@contextmanager
def aws_kms() -> Iterator[str]:
    """Runs the server in a process of its own; gives its address."""
    port = free_port()
    with process(sys.executable, "-m", "tests.fakes.aws_kms", str(port), port=port) as address:
        yield address


def sign(self: Any) -> str:
    """Answers `Sign`; stands in for moto's own."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from moto.core.exceptions import JsonRESTError

    asked, algorithm = json.loads(self.body), self._get_param("SigningAlgorithm")
    assert asked["MessageType"] == "DIGEST"
    self._validate_key_id(asked["KeyId"])
    held = self.kms_backend.describe_key(asked["KeyId"])
    assert algorithm in held.signing_algorithms
    if not held.enabled:
        raise JsonRESTError("KMSInvalidStateException", f"{held.arn} is pending deletion.")
    kind = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[algorithm[-3:]]()
    private, digest = held.private_key.private_key, base64.b64decode(asked["Message"])
    if algorithm.startswith("ECDSA"):
        signature = private.sign(digest, ec.ECDSA(Prehashed(kind)))
    elif "PSS" in algorithm:
        pss = padding.PSS(padding.MGF1(kind), padding.PSS.DIGEST_LENGTH)
        signature = private.sign(digest, pss, Prehashed(kind))
    else:
        signature = private.sign(digest, padding.PKCS1v15(), Prehashed(kind))
    told = {"KeyId": held.arn, "SigningAlgorithm": algorithm}
    return json.dumps({**told, "Signature": base64.b64encode(signature).decode()})


if __name__ == "__main__":
    from moto.kms.responses import KmsResponse
    from moto.server import main

    KmsResponse.sign = sign  # type: ignore[method-assign]
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
