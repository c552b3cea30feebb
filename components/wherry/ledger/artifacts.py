"""Keeps the files that ship under their own hashes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from wherry.contracts import ArtifactRef, Digest, parse_uri
from wherry.contracts.errors import MissingError, SettingsError, UriError
from wherry.ledger.shelves.folder import FolderShelf
from wherry.ledger.shelves.stored import Stored

ARTIFACTS_VARIABLE: Final = "WHERRY_ARTIFACTS"
FOLDER_NAME: Final = "artifacts"
_BUCKETS: Final = ("s3", "gs")
_OWNERS: Final = "owners"

_KEY: Final = re.compile(r"sha256/(?P<two>[0-9a-f]{2})/(?P<digest>(?P=two)[0-9a-f]{62})/[^/]+")


class Shelf(Protocol):
    """A place that holds files by key, each whole or not at all."""

    def put(self, source: Path, key: str, digest: Digest) -> int:
        """Copies a file to its key; one that is there whole already is kept; gives its size."""

    def verified(self, key: str, digest: Digest, size: int) -> Path:
        """Gives the path of a file on this machine after hashing it."""

    def size(self, key: str) -> int:
        """Gives a file's size in bytes; raises `MissingError` if it is not there."""

    def mark(self, key: str) -> None:
        """Leaves an empty file."""

    def stored(self) -> Iterator[Stored]:
        """Yields every file, also those that were not finished."""

    def remove(self, key: str) -> None:
        """Removes a file."""


class Artifacts:
    """Files by digest, ``sha256/ab/abcdef…/NAME.gguf``, in a folder or a bucket.

    Args:
        shelf: where new files go.
        address: what their URIs begin with.
        workspace: the folder that other ``file:`` URIs are relative to.
        owner: the store that they belong to; empty for none.

    Example::

        artifacts = Artifacts.open(state())
        ref = artifacts.publish(Path("model.gguf"), digest, "icd10-triage.gguf")
        path = artifacts.verified(ref)
    """

    def __init__(self, shelf: Shelf, address: str, workspace: Path, owner: str = "") -> None:
        self._shelf = shelf
        self._address = address
        self._workspace = workspace
        self._owner = owner

    @classmethod
    def open(cls, state: Path, owner: str = "") -> "Artifacts":
        """Opens the store that ``WHERRY_ARTIFACTS`` names, or ``.wherry/artifacts``.

        Args:
            state: the folder ``.wherry``.
            owner: the id of the release store that they belong to; empty for none.

        Raises:
            SettingsError: if ``WHERRY_ARTIFACTS`` is no folder or bucket.
            ExtraMissingError: if the bucket's client is not installed.
        """
        named = os.environ.get(ARTIFACTS_VARIABLE, "").rstrip("/")
        scheme, _, rest = named.partition(":")
        if scheme in _BUCKETS and re.fullmatch(r"//[^/\s@]+(/[^/\s@]+)*", rest):
            from wherry.ledger.shelves.bucket import BucketShelf

            shelf = BucketShelf(named, state / "cache" / FOLDER_NAME)
            return cls(shelf, named, state.parent, owner)
        if named and not (scheme == "file" and re.fullmatch(r"(//)?/[^/].*", rest)):
            raise SettingsError(
                # The address itself may hold a key: only its scheme is shown.
                f"{ARTIFACTS_VARIABLE} is a {scheme!r} address, expected file:///FOLDER, "
                "s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.",
                remedy=f"Correct {ARTIFACTS_VARIABLE}, or unset it.",
            )
        root = Path("/" + rest.lstrip("/")) if named else state / FOLDER_NAME
        return cls(FolderShelf(root), _file_uri(root, state.parent), state.parent, owner)

    def publish(self, source: Path, digest: Digest, name: str) -> ArtifactRef:
        """Copies a file into the store; one that is there whole already is kept.

        Args:
            source: the file.
            digest: what its bytes must hash to.
            name: its file name in the store.

        Raises:
            DigestError: if the source's bytes have another digest. Nothing is stored then.
            UriError: if the name is a path.
        """
        if name in ("", "..") or name.startswith(".") or Path(name).name != name:
            raise UriError(f"{name!r} is no file name.", remedy="Leave out its folders.")
        key = f"sha256/{digest[7:9]}/{digest[7:]}/{name}"
        size = self._shelf.put(source, key, digest)
        if self._owner:
            self._shelf.mark(f"{_OWNERS}/{self._owner}")
        return ArtifactRef(uri=f"{self._address}/{key}", digest=digest, size=size)

    def verified(self, ref: ArtifactRef) -> Path:
        """Gives the path of a stored file on this machine after re-hashing it.

        Raises:
            MissingError: if it is not there.
            DigestError: if its size or its bytes changed.
            UriError: if it lies elsewhere.
        """
        shelf, key = self._place(ref.uri)
        return shelf.verified(key, ref.digest, ref.size)

    def find(self, digest: Digest, name: str) -> ArtifactRef | None:
        """Gives a published file by what it is, or None if it is not there."""
        key = f"sha256/{digest[7:9]}/{digest[7:]}/{name}"
        try:
            size = self._shelf.size(key)
        except MissingError:
            return None
        return ArtifactRef(uri=f"{self._address}/{key}", digest=digest, size=size)

    def check_there(self, ref: ArtifactRef) -> None:
        """Asks whether a stored file is there, without hashing it.

        Raises:
            MissingError: if it is not.
        """
        shelf, key = self._place(ref.uri)
        shelf.size(key)

    def stored(self) -> Iterator[Stored]:
        """Yields every file by digest, also those that were not finished; no stranger's."""
        return (one for one in self._shelf.stored() if _KEY.fullmatch(one.key))

    def owners(self) -> set[str]:
        """Gives the release stores that have published here."""
        keys = (one.key for one in self._shelf.stored())
        return {key.removeprefix(f"{_OWNERS}/") for key in keys if key.startswith(f"{_OWNERS}/")}

    def remove(self, stored: Stored) -> None:
        """Removes a file of the store."""
        self._shelf.remove(stored.key)

    def _place(self, uri: str) -> tuple[Shelf, str]:
        if uri.startswith(f"{self._address}/sha256/"):
            key = uri.removeprefix(f"{self._address}/")
            if not _KEY.fullmatch(key):
                raise UriError(f"{uri!r} is malformed.", remedy="Publish the file again.")
            return self._shelf, key
        if not uri.startswith("file:"):
            raise UriError(
                f"{uri!r} lies outside the artifact store {self._address}.",
                remedy=f"Set {ARTIFACTS_VARIABLE} to the store that it was published in.",
            )
        # Of a time when the store was a folder of this workspace.
        path = Path(parse_uri(uri, workspace=self._workspace).path)
        root = self._workspace.resolve()
        return FolderShelf(root), path.relative_to(root).as_posix()


def digest_of(stored: Stored) -> Digest | None:
    """Gives the digest that a stored file's key says; None for one that was not finished."""
    found = _KEY.fullmatch(stored.key)
    hidden = stored.key.rpartition("/")[2].startswith(".")
    return f"sha256:{found['digest']}" if found and not hidden else None


def _file_uri(folder: Path, workspace: Path) -> str:
    if folder.is_relative_to(workspace):
        return f"file:{folder.relative_to(workspace).as_posix()}"
    return f"file://{folder}"
