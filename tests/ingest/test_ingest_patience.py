"""Which faults are believed at once, and how long the others are waited for."""

import errno
import ssl
import urllib.error
from email.message import Message

import aiohttp
import botocore.exceptions
import httpx
import pytest
import requests
from google.api_core.exceptions import NotFound, ServiceUnavailable, TooManyRequests

from wherry.ingest.faults import is_denied, is_transient, shown
from wherry.ingest.patience import Patience


@pytest.fixture(autouse=True)
def _quick_patience() -> None:
    """Pauses are as long as they are: these tests hand in a sleep of their own."""


def answered(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "https://h/x")
    return httpx.HTTPStatusError("x", request=request, response=httpx.Response(status))


def refused(code: str, status: int) -> botocore.exceptions.ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(answer, "GetObject")


PASSING = [
    ConnectionResetError(),
    ConnectionRefusedError(),
    TimeoutError(),
    OSError(errno.EHOSTUNREACH, "x"),
    answered(429),
    answered(503),
    httpx.ReadTimeout("x"),
    httpx.RemoteProtocolError("x"),
    refused("SlowDown", 503),
    refused("InternalError", 500),
    botocore.exceptions.EndpointConnectionError(endpoint_url="x"),
    botocore.exceptions.ReadTimeoutError(endpoint_url="x"),
    botocore.exceptions.ResponseStreamingError(error="x"),
    ServiceUnavailable("x"),
    TooManyRequests("x"),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientPayloadError(),
    requests.exceptions.ChunkedEncodingError(),
    requests.exceptions.ConnectionError(),
    urllib.error.HTTPError("https://h/x", 502, "x", Message(), None),
]
LASTING = [
    FileNotFoundError(),
    PermissionError(),
    OSError(errno.ENOSPC, "x"),
    ValueError(),
    answered(404),
    answered(403),
    refused("NoSuchKey", 404),
    refused("PreconditionFailed", 412),
    NotFound("x"),
    botocore.exceptions.NoCredentialsError(),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_faults_of_the_network_pass(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_other_faults_last(error: Exception) -> None:
    assert not is_transient(error)


def test_the_cause_counts_too() -> None:
    outer = OSError("from a library")
    outer.__cause__ = ConnectionResetError()
    assert is_transient(outer)


def test_a_bad_certificate_does_not_mend_itself() -> None:
    outer = ConnectionError("x")
    outer.__cause__ = ssl.SSLCertVerificationError("self-signed")
    assert not is_transient(outer)


@pytest.mark.parametrize(
    "error",
    [PermissionError(), answered(401), answered(403), refused("AccessDenied", 403)],
    ids=repr,
)
def test_a_refusal_is_told_apart(error: Exception) -> None:
    assert is_denied(error)
    assert not is_denied(answered(404))


def test_a_traceback_with_a_secret_is_not_shown() -> None:
    secret = FileNotFoundError("https://me:secret@host/x")
    assert shown(secret) is None
    plain = FileNotFoundError("https://host/x")
    assert shown(plain) is plain


class Failing:
    """Fails some times, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_pauses_grow_stay_below_the_longest_and_differ() -> None:
    pauses: list[float] = []
    work = Failing(*[ConnectionResetError()] * 7)
    assert Patience(attempts=8, first=1, longest=8, sleep=pauses.append)(work) == "done"
    for pause, whole in zip(pauses, [1, 2, 4, 8, 8, 8, 8], strict=True):
        assert whole / 2 <= pause <= whole
    assert len(set(pauses)) == 7


def test_it_gives_up_after_the_last_attempt() -> None:
    work = Failing(*[TimeoutError("late")] * 9)
    with pytest.raises(TimeoutError):
        Patience(attempts=3, first=0)(work)
    assert work.calls == 3


def test_what_lasts_is_raised_at_once() -> None:
    work = Failing(FileNotFoundError())
    with pytest.raises(FileNotFoundError):
        Patience(sleep=pytest.fail)(work)
    assert work.calls == 1
