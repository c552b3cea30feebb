"""Tells a fault of the network that passes from one that lasts, whichever library raised it.

DVC, botocore, google-cloud-storage, aiohttp, httpx and requests each have their own exceptions
for the same events, and an adapter meets those of whatever its library stands on. So they are
told apart by the HTTP status that they carry and by the names of their classes: nothing here
imports any of them.
"""

import errno
import ssl
from collections.abc import Iterator
from typing import Final

from wherry.ingest.addresses import redacted

_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_DENIED: Final = frozenset({401, 403})
_PASSING_ERRNO: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,  # s3fs writes "SlowDown" so
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EREMOTEIO,  # and "InternalError" so
        errno.ETIMEDOUT,
    }
)
_PASSING_NAMES: Final = frozenset(
    {
        "ChunkedEncodingError",  # requests
        "ClientConnectionError",  # aiohttp
        "ClientPayloadError",
        "ConnectionError",  # requests has its own
        "HTTPClientError",  # botocore: closed, refused, timed out
        "IncompleteRead",  # http.client
        "IncompleteReadError",  # asyncio, botocore
        "ProtocolError",  # urllib3
        "ProxyError",  # what gcsfs makes of a 502
        "ResponseStreamingError",  # botocore
        "Timeout",  # requests
        "TimeoutError",
        "TransportError",  # httpx, google-auth
    }
)
_DENIED_NAMES: Final = frozenset(
    {
        "DefaultCredentialsError",
        "HTTPUnauthorized",  # dulwich
        "NoCredentialsError",
        "PartialCredentialsError",
        "RefreshError",
    }
)
_CORRUPT_NAMES: Final = frozenset({"ChecksumError", "FlexibleChecksumError"})  # gcsfs, botocore


def is_transient(error: BaseException) -> bool:
    """Says whether asking again may help: a lost connection, a timeout, a 429 or a 5xx."""
    chain = list(causes(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        return False
    return any(_passes(each) for each in chain)


def is_denied(error: BaseException) -> bool:
    """Says whether the source refused because of who asked: a 401 or 403, no credentials."""
    return any(
        isinstance(each, PermissionError)
        or status_of(each) in _DENIED
        or bool(_DENIED_NAMES & _names(each))
        or str(each).startswith("Forbidden")  # gcsfs makes a plain OSError of a 403
        for each in causes(error)
    )


def is_corrupt(error: BaseException) -> bool:
    """Says whether a client itself found that bytes do not have the hash sent with them."""
    return any(_CORRUPT_NAMES & _names(each) for each in causes(error))


def status_of(error: BaseException) -> int:
    """Gives the HTTP status that an exception carries, or 0."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    else:
        found = getattr(response, "status_code", None) or next(
            (
                getattr(error, name)
                for name in ("status", "status_code", "code")
                if hasattr(error, name)
            ),
            0,
        )
    return int(found) if str(found).isdigit() else 0


def causes(error: BaseException) -> Iterator[BaseException]:
    """Gives an exception and those that led to it, the outermost first."""
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        yield step
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)


def shown(error: BaseException) -> BaseException | None:
    """Gives an exception to raise from, or None if a traceback would show a secret by it."""
    texts = [str(each) for each in causes(error)]
    return error if all(redacted(text) == text for text in texts) else None


def _passes(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING_ERRNO:
        return True
    return status_of(error) in _BUSY or bool(_PASSING_NAMES & _names(error))


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
