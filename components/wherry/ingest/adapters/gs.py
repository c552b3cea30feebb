"""Reads objects of Google Cloud Storage, each at the generation that was listed.

Google's own client rather than gcsfs: its reader takes the generation and gives the bytes as
they are stored, which for an object with ``Content-Encoding: gzip`` are those that the listed
MD5 is of.
"""

import base64
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from operator import attrgetter
from typing import Any, BinaryIO, Final, cast

from google.auth.exceptions import DefaultCredentialsError
from google.cloud.storage import Client

from wherry.contracts import Source
from wherry.contracts.errors import FileAccessError, MissingError, WherryError
from wherry.ingest.addresses import redacted
from wherry.ingest.buckets import asked, listed, nothing_at
from wherry.ingest.faults import is_denied, shown, status_of
from wherry.ingest.patience import Patience
from wherry.ingest.step import TrackedFile, listing_digest

_RANGE: Final = 8 << 20
"""Bytes that one request asks for; each thread holds one such piece."""
_TIMEOUT: Final = (10, 60)
"""Seconds to connect, and between two pieces of an answer."""
_REMEDY: Final = (
    "Give the run credentials that may list and get there, by GOOGLE_APPLICATION_CREDENTIALS "
    "or the pod's service account."
)


@contextmanager
def open_store(repo: str, revision: str, path: str) -> Iterator["GsStore"]:
    """Opens a prefix of a bucket for as long as the block lasts.

    Credentials come from the environment: ``GOOGLE_APPLICATION_CREDENTIALS`` or the service
    account that the machine runs as. ``STORAGE_EMULATOR_HOST`` names another server.

    Args:
        repo: ``gs://BUCKET/PREFIX``.
        revision: must be empty.
        path: the folder or object below the prefix; empty for all.

    Raises:
        UriError: if a revision is given.
        FileAccessError: if there are no credentials.
    """
    source = asked(repo, revision, path)
    try:
        client = Client(project="none")  # a project is needed for billing alone, not to read
    except DefaultCredentialsError as error:
        raise FileAccessError(f"There are no credentials for {repo}.", remedy=_REMEDY) from error
    with closing(client):
        yield GsStore(client, source)


class GsStore:
    """The live objects below a prefix. Make it with `open_store`.

    Args:
        client: Google's client.
        asked: the bucket's address and the prefix, or the name of one object.
    """

    def __init__(self, client: Client, asked: Source) -> None:
        self._asked = asked
        self._bucket = client.bucket(asked.uri.removeprefix("gs://"))
        self._prefix = ""
        """What the names of the listing begin with; set by it."""

    def resolve(self) -> Source:
        """Lists the prefix; the checksum is the listing's.

        Raises:
            MissingError: if there is no object, or the bucket cannot be reached.
            FileAccessError: if the bucket may not be listed.
        """
        return Source(self._asked.uri, "", self._asked.path, listing_digest(self._listing))

    def files(self) -> Sequence[TrackedFile]:
        """Lists the objects as they were when they were resolved."""
        return self._listing

    def expected(self, file: TrackedFile) -> str:
        """Gives the listed hash: an MD5, or the CRC32C of a composite object."""
        return file.hash

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens exactly the listed generation."""
        blob = self._bucket.blob(self._prefix + file.path, generation=int(file.version))
        # Its own retries are off: `Patience` asks again.
        stream = blob.open("rb", chunk_size=_RANGE, raw_download=True, timeout=_TIMEOUT, retry=None)
        return cast(BinaryIO, stream)

    def explain(self, error: Exception, file: TrackedFile) -> WherryError:
        """Says what went wrong in the words of this stage."""
        return self._not_given(f"{self._asked.uri}/{self._prefix}{file.path}", error)

    @cached_property
    def _listing(self) -> list[TrackedFile]:
        try:
            found = Patience()(self._found)
        except Exception as error:
            raise self._not_given(f"{self._asked.uri}/{self._asked.path}", error) from shown(error)
        if not found:
            raise nothing_at(self._asked)
        return sorted(found, key=lambda file: file.path)

    def _found(self) -> list[TrackedFile]:
        self._prefix, blobs = listed(self._asked.path, attrgetter("name"), self._beginning)
        return [self._tracked(blob) for blob in blobs]

    def _beginning(self, prefix: str) -> Iterator[Any]:
        return iter(self._bucket.list_blobs(prefix=prefix, timeout=_TIMEOUT, retry=None))

    def _tracked(self, blob: Any) -> TrackedFile:
        return TrackedFile(
            path=blob.name.removeprefix(self._prefix),
            hash=_hash(blob),
            size=blob.size,
            version=str(blob.generation),
        )

    def _not_given(self, what: str, error: Exception) -> WherryError:
        reason = redacted(str(error)).partition("\n")[0].strip().rstrip(".")
        if is_denied(error):
            return FileAccessError(f"{what} may not be read: {reason}.", remedy=_REMEDY)
        if status_of(error) == 404:
            reason = "there is no such bucket or object at this generation"
        return MissingError(
            f"The store does not give {what}: {reason}.",
            remedy="Check the bucket's name and the network; if somebody changed the data "
            "meanwhile, start the run again.",
        )


def _hash(blob: Any) -> str:
    if blob.md5_hash:
        return f"md5:{base64.b64decode(blob.md5_hash).hex()}"
    return f"crc32c:{base64.b64decode(blob.crc32c).hex()}" if blob.crc32c else f"etag:{blob.etag}"
