"""Reads objects of S3, or of a server that speaks its protocol, exactly as they were listed.

botocore itself rather than s3fs: an object is read under its version id and ``If-Match``, so a
change between listing and reading is refused by the server, and s3fs sends neither unless it
is told to with private arguments.
"""

import base64
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from importlib.util import find_spec
from operator import itemgetter
from typing import Any, BinaryIO, Final, cast

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from wherry.contracts import Source
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FileAccessError,
    MissingError,
    WherryError,
)
from wherry.ingest.addresses import redacted
from wherry.ingest.buckets import asked, listed, nothing_at
from wherry.ingest.faults import is_corrupt, is_denied, shown, status_of
from wherry.ingest.hashes import digits
from wherry.ingest.patience import Patience
from wherry.ingest.step import THREADS, TrackedFile, listing_digest

_CONFIG: Final = Config(
    connect_timeout=10,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 1},  # `Patience` asks again
    max_pool_connections=2 * THREADS,
)
_STRONG: Final = {"ChecksumSHA256": "sha256", "ChecksumSHA1": "sha1"}
_WEAK: Final = {"ChecksumCRC32C": "crc32c", "ChecksumCRC32": "crc32"}
"""What S3 may keep beside an object, better and worse than an ETag made of MD5s."""


@contextmanager
def open_store(repo: str, revision: str, path: str) -> Iterator["S3Store"]:
    """Opens a prefix of a bucket for as long as the block lasts.

    Credentials, region and endpoint come from the environment and what AWS's own tools read:
    ``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, a pod's role.

    Args:
        repo: ``s3://BUCKET/PREFIX``.
        revision: must be empty.
        path: the folder or object below the prefix; empty for all.

    Raises:
        UriError: if a revision is given.
    """
    source = asked(repo, revision, path)
    try:
        client = botocore.session.get_session().create_client("s3", config=_CONFIG)
    except BotoCoreError as error:  # no region, half a pair of keys
        raise FileAccessError(
            f"The client of {source.uri} cannot be set up: {error}.",
            remedy="Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION.",
        ) from error
    with closing(client):
        yield S3Store(client, source)


class S3Store:
    """The newest versions of the objects below a prefix. Make it with `open_store`.

    Args:
        client: botocore's client.
        asked: the bucket's address and the prefix, or the key of one object.
    """

    def __init__(self, client: Any, asked: Source) -> None:
        self._client = client
        self._asked = asked
        self._bucket = asked.uri.removeprefix("s3://")
        self._prefix = ""
        """What the keys of the listing begin with; set by it."""

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
        """Gives the best hash that S3 keeps of an object.

        That is a SHA of the whole object, or its ETag where that is an MD5 or made of the parts'
        MD5s, or a CRC. Under SSE-KMS and SSE-C an ETag says nothing of the bytes: without a
        checksum there is nothing to compare with.
        """
        head = self._head(file, ChecksumMode="ENABLED")
        return (
            _from_checksum(head, _STRONG)
            or _from_etag(file, head, lambda: self._first_part(file))
            or _from_checksum(head, _WEAK)
            or file.hash
        )

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens exactly the listed version."""
        return cast(BinaryIO, self._client.get_object(**self._exactly(file))["Body"])

    def explain(self, error: Exception, file: TrackedFile) -> WherryError:
        """Says what went wrong in the words of this stage."""
        what = f"{self._asked.uri}/{self._prefix}{file.path}"
        if is_corrupt(error):
            return DigestError(
                f"{what} does not have the checksum that S3 keeps of it.",
                remedy="Put the file there again, then start the run again.",
            )
        if status_of(error) == 412:
            return ConflictError(
                f"{what} has changed since it was listed.",
                remedy="Somebody changed the data meanwhile: start the run again.",
            )
        return self._not_given(what, error)

    @cached_property
    def _listing(self) -> list[TrackedFile]:
        try:
            found = Patience()(self._versions)
        except Exception as error:
            raise self._not_given(f"{self._asked.uri}/{self._asked.path}", error) from shown(error)
        if not found:
            raise nothing_at(self._asked)
        return sorted(found, key=lambda file: file.path)

    def _versions(self) -> list[TrackedFile]:
        try:
            return self._found("list_object_versions", "Versions")
        except ClientError as error:
            # A reader may lack s3:ListBucketVersions, and a lesser server the call.
            if status_of(error) not in (400, 403, 404, 405, 501):
                raise
        return self._found("list_objects_v2", "Contents")

    def _found(self, call: str, key: str) -> list[TrackedFile]:
        def beginning(prefix: str) -> Iterator[dict[str, Any]]:
            pages = self._client.get_paginator(call).paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                yield from (item for item in page.get(key, ()) if item.get("IsLatest", True))

        self._prefix, items = listed(self._asked.path, itemgetter("Key"), beginning)
        return [self._tracked(item) for item in items]

    def _tracked(self, item: dict[str, Any]) -> TrackedFile:
        version = item.get("VersionId") or ""
        return TrackedFile(
            path=item["Key"].removeprefix(self._prefix),
            hash=f"etag:{_bare(item['ETag'])}",
            size=item["Size"],
            version="" if version == "null" else version,
        )

    def _head(self, file: TrackedFile, **more: Any) -> dict[str, Any]:
        return cast(dict[str, Any], self._client.head_object(**self._exactly(file), **more))

    def _first_part(self, file: TrackedFile) -> int:
        # Without If-Match: some servers compare it with the part's ETag. Reading is still guarded.
        asked = {name: value for name, value in self._exactly(file).items() if name != "IfMatch"}
        return int(self._client.head_object(**asked, PartNumber=1)["ContentLength"])

    def _exactly(self, file: TrackedFile) -> dict[str, str]:
        key = self._prefix + file.path
        version = {"VersionId": file.version} if file.version else {}
        return {"Bucket": self._bucket, "Key": key, "IfMatch": f'"{digits(file.hash)}"', **version}

    def _not_given(self, what: str, error: Exception) -> WherryError:
        reason = _reason(error)
        if is_denied(error):
            return FileAccessError(
                f"{what} may not be read: {reason}.",
                remedy="Give the run credentials by the environment (AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role) that may list and get there.",
            )
        return MissingError(
            f"The store does not give {what}: {reason}.",
            remedy="Check the bucket's name, AWS_REGION, AWS_ENDPOINT_URL and the network.",
        )


def _from_checksum(head: dict[str, Any], kinds: dict[str, str]) -> str:
    # A checksum of parts shows by its type or its "-N"; lesser servers tell neither.
    parts = "COMPOSITE" if "-" in head["ETag"] else "FULL_OBJECT"
    if head.get("ChecksumType", parts) != "FULL_OBJECT":
        return ""
    for name, kind in kinds.items():
        if "-" not in head.get(name, "-") and _can(kind):
            return f"{kind}:{base64.b64decode(head[name]).hex()}"
    return ""


def _from_etag(file: TrackedFile, head: dict[str, Any], part_size: Callable[[], int]) -> str:
    etag = _bare(head["ETag"])
    digest, _, parts = etag.partition("-")
    keyed = head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head
    if keyed or not re.fullmatch("[0-9a-f]{32}", digest):
        return ""
    if not parts:
        return f"md5:{etag}"
    size = part_size()
    # Parts of other sizes than the first, which a copy may have, cannot be told from here.
    regular = size > 0 and math.ceil((file.size or 0) / size) == int(parts)
    return f"parts:{size}:{etag}" if regular else ""


def _can(kind: str) -> bool:
    return kind != "crc32c" or find_spec("google_crc32c") is not None


def _bare(etag: str) -> str:
    return etag.strip('"')


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "refused"))
    return redacted(str(error)).strip().rstrip(".")
