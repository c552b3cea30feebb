"""Keeps artifacts in a bucket: each object is put whole or not at all, and never over another.

A copy on this machine saves reading an object twice: beside it stands which object was hashed,
by the bucket's own mark of its bytes (ETag or generation). An object with another mark is read
and hashed again.
"""

import errno
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import fsspec

from wherry.contracts import Digest, digest_file
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    ExtraMissingError,
    FileAccessError,
    MissingError,
    WherryError,
)
from wherry.contracts.files import staged_file, write_atomic
from wherry.ledger.redaction import redact_text
from wherry.ledger.shelves.folder import FolderShelf
from wherry.ledger.shelves.stored import RESTORE, Stored, check_digest

_PIECE: Final = 8 << 20
"""Bytes of an object that are in memory at once."""
_MARKS: Final = ("generation", "VersionId", "ETag", "etag")
"""What says of an object that its bytes are the same, best first."""
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    # s3fs asks again by itself: botocore need not, too.
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 60,
            "retries": {"mode": "standard", "total_max_attempts": 1},
        }
    },
    "gs": {"requests_timeout": 60},
}


class BucketShelf:
    """A bucket of S3 or Google Cloud Storage, or a part of one.

    Credentials, region and endpoint come from the environment and what the clouds' own tools
    read: ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``, a pod's role.

    Args:
        address: such as ``s3://models/icd10``.
        cache: the folder of the copies on this machine.

    Raises:
        ExtraMissingError: without the cloud's client.
    """

    def __init__(self, address: str, cache: Path) -> None:
        self._address = address
        self._cache = FolderShelf(cache)
        self._seen = cache / "seen"
        scheme, _, self._root = address.partition("://")
        try:
            self._files: Any = fsspec.filesystem(
                scheme, use_listings_cache=False, skip_instance_cache=True, **_OPTIONS[scheme]
            )
        except ImportError as error:
            raise ExtraMissingError(
                f"{address} needs a client that is not installed: {error.name}.",
                remedy=f'Run: pip install "wherry[{scheme}]"',
            ) from error

    def put(self, source: Path, key: str, digest: Digest) -> int:
        """Copies a file to its key; one that is there whole already is kept.

        What is uploaded is a copy of our own, so that nobody changes it meanwhile; what arrived
        is read back.

        Returns:
            Its size in bytes.

        Raises:
            DigestError: if the source's bytes have another digest. Nothing is kept then.
        """
        size = self._cache.put(source, key, digest)
        with self._in_our_words(key):
            if not self._is_whole(key, digest):
                self._upload(key, digest)
        return size

    def verified(self, key: str, digest: Digest, size: int) -> Path:
        """Gives the path of a copy on this machine after hashing it and the object.

        A bucket that does not answer holds up nobody who has a good copy of an object that was
        hashed before: a rollback needs no network.

        Raises:
            MissingError: if the object is not there.
            DigestError: if its size or its bytes changed.
        """
        with self._in_our_words(key):
            try:
                self._verify(key, digest, size)
            except (FileNotFoundError, WherryError):
                raise
            except Exception:
                if not (self._known(key) and self._has_copy(key, digest)):
                    raise
        return self._cache.verified(key, digest, size)

    def size(self, key: str) -> int:
        """Gives an object's size in bytes.

        Raises:
            MissingError: if it is not there.
        """
        with self._in_our_words(key):
            return int(self._info(key)["size"])

    def mark(self, key: str) -> None:
        """Leaves an object that says no more than that it is there."""
        with self._in_our_words(key):
            if not self._files.exists(self._at(key)):
                self._files.pipe_file(self._at(key), b"\n")

    def stored(self) -> Iterator[Stored]:
        """Yields every object."""
        with self._in_our_words(""):
            found = self._files.find(self._root, detail=True)
        for path, info in found.items():
            key = path.removeprefix(self._root).lstrip("/")
            yield Stored(key=key, size=int(info["size"]), modified=_modified(info))

    def remove(self, key: str) -> None:
        """Removes an object and its copy on this machine."""
        with self._in_our_words(key):
            self._files.rm_file(self._at(key))
        self._cache.remove(key)
        self._stamp(key).unlink(missing_ok=True)

    def _verify(self, key: str, digest: Digest, size: int) -> None:
        found = self._info(key)
        if found["size"] != size:
            raise DigestError(
                f"{self._address}/{key} has {found['size']} bytes, expected {size}.",
                remedy=RESTORE,
            )
        if not self._has_copy(key, digest):
            self._download(key, digest)
        elif not self._is_known(key, found):
            check_digest(self._digest(key), digest, f"{self._address}/{key}")
        self._remember(key, found)

    def _upload(self, key: str, digest: Digest) -> None:
        copy = str(self._cache.path(key))
        try:
            # If-None-Match on S3, ifGenerationMatch on Google's: two who publish at once
            # cannot replace each other's object.
            self._files.put_file(copy, self._at(key), mode="create")
        except OSError:
            # Somebody was faster, or what is there is damaged; servers tell it in many ways.
            if not self._files.exists(self._at(key)):
                raise
            if not self._is_whole(key, digest):
                self._files.put_file(copy, self._at(key))
        if not self._is_whole(key, digest):
            raise ConflictError(
                f"{self._address}/{key} is not what was put there.",
                remedy="Somebody else writes there: find out who, and publish again.",
            )

    def _is_whole(self, key: str, digest: Digest) -> bool:
        try:
            found = self._info(key)
        except FileNotFoundError:
            return False
        if not self._is_known(key, found) and self._digest(key) != digest:
            return False
        self._remember(key, found)
        return True

    def _download(self, key: str, digest: Digest) -> None:
        with staged_file(self._cache.path(key)) as staged:
            with staged.open("wb") as file, self._files.open(self._at(key), "rb") as object:
                shutil.copyfileobj(object, file, _PIECE)
            check_digest(digest_file(staged), digest, f"{self._address}/{key}")

    def _digest(self, key: str) -> Digest:
        found = hashlib.sha256()
        with self._files.open(self._at(key), "rb", block_size=_PIECE) as file:
            while piece := file.read(_PIECE):
                found.update(piece)
        return f"sha256:{found.hexdigest()}"

    def _has_copy(self, key: str, digest: Digest) -> bool:
        path = self._cache.path(key)
        return path.is_file() and digest_file(path) == digest

    def _info(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self._files.info(self._at(key), refresh=True)
        if found["type"] != "file":
            raise FileNotFoundError(key)
        return found

    def _known(self, key: str) -> str:
        stamp = self._stamp(key)
        return stamp.read_text(encoding="utf-8") if stamp.is_file() else ""

    def _is_known(self, key: str, found: dict[str, Any]) -> bool:
        return bool(_mark(found)) and self._known(key) == _mark(found)

    def _remember(self, key: str, found: dict[str, Any]) -> None:
        if not self._is_known(key, found):
            write_atomic(self._stamp(key), _mark(found).encode())

    def _stamp(self, key: str) -> Path:
        # The bucket's name too: a copy of one must not vouch for another.
        name = hashlib.sha256(f"{self._address}\n{key}".encode()).hexdigest()
        return self._seen / name

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def _in_our_words(self, key: str) -> Iterator[None]:
        try:
            yield
        except WherryError:
            raise
        except FileNotFoundError as error:
            raise MissingError(
                f"{self._address}/{key} is not in the artifact store.", remedy=RESTORE
            ) from error
        except Exception as error:
            if getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
                raise  # of this machine's disk
            # The clients of the clouds share no base class.
            raise self._not_given(key, error) from error

    def _not_given(self, key: str, error: Exception) -> WherryError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return FileAccessError(
            f"{self._address}/{key} cannot be read or written: {redact_text(reason):.300}.",
            remedy="Check the bucket's name, the network, and that the credentials of this "
            "process may get, put and list there.",
        )


def _mark(found: dict[str, Any]) -> str:
    """Gives what says that an object's bytes are the same: its mark in the bucket and its size."""
    mark = next((str(found[name]) for name in _MARKS if found.get(name)), "")
    return json.dumps([mark, found["size"]]) if mark else ""


def _modified(found: dict[str, Any]) -> datetime:
    when = found.get("LastModified") or found.get("updated") or found.get("mtime")
    if isinstance(when, str):
        when = datetime.fromisoformat(when.replace("Z", "+00:00"))
    # One of an unknown age is never old enough to be collected.
    return when if isinstance(when, datetime) else datetime.now(UTC)
