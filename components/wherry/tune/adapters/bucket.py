"""Keeps sealed folders in a bucket or on a shared volume, through fsspec."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fsspec.core import url_to_fs

from wherry.contracts import Digest, Manifest, parse_uri
from wherry.contracts.digest import MANIFEST_NAME
from wherry.contracts.errors import (
    ExtraMissingError,
    FileAccessError,
    ManifestError,
    MissingError,
    UriError,
    WherryError,
)
from wherry.contracts.files import staged_folder
from wherry.workspace import workspace

_SCHEMES: Final = ("s3", "gs", "file")
_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs"}
_KEPT: Final = 2
"""Checkpoints kept."""


class Bucket:
    """A folder that several machines reach.

    A folder in it counts once its manifest is there, which is written last and removed first.

    Args:
        uri: ``s3://bucket/prefix``, ``gs://bucket/prefix``, or ``file:folder`` below the
            workspace.
    """

    def __init__(self, uri: str) -> None:
        parsed = parse_uri(uri, workspace=workspace())
        if parsed.scheme not in _SCHEMES:
            raise UriError(
                f"{uri} cannot be written to: expected s3://, gs:// or file:.",
                remedy="Name a bucket, or a folder on a shared volume.",
            )
        self.uri = uri.rstrip("/")
        address = parsed.path if parsed.scheme == "file" else f"{parsed.scheme}://{parsed.path}"
        try:
            self._fs, root = url_to_fs(address)
        except ImportError as error:
            package = _PACKAGES.get(parsed.scheme, "fsspec")
            raise ExtraMissingError(
                f"{uri} needs {package}, which is not installed.",
                remedy=f"Run: pip install {package}",
            ) from error
        self._root = root.rstrip("/")
        self._folders = parsed.scheme == "file"

    def push(self, folder: Path, at: str) -> None:
        """Copies a sealed folder there, its manifest last."""
        with self._reached(at):
            self._remove(f"{at}/{MANIFEST_NAME}")
            for entry in Manifest.read(folder / MANIFEST_NAME).files:
                self._put(folder / entry.path, f"{at}/{entry.path}")
            self._put(folder / MANIFEST_NAME, f"{at}/{MANIFEST_NAME}")

    def pull(self, at: str, folder: Path) -> None:
        """Fetches a sealed folder; it appears whole, every byte checked, or not at all.

        Raises:
            MissingError: if there is none.
            ManifestError, DigestError: if bytes of it were lost.
        """
        manifest = self._manifest(at)
        if manifest is None:
            raise MissingError(
                f"{self.uri}/{at} holds no sealed folder.",
                remedy="Run the command that makes it again.",
            )
        with staged_folder(folder) as staged, self._reached(at):
            for entry in manifest.files:
                place = _inside(staged, entry.path)
                place.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(self._path(f"{at}/{entry.path}"), str(place))
            manifest.write(staged / MANIFEST_NAME)
            Manifest.verified(staged)

    def digest(self, at: str) -> Digest | None:
        """Gives the identity of a folder there, or None if it is not whole."""
        manifest = self._manifest(at)
        return manifest.digest if manifest else None

    def folders(self, at: str = "") -> list[str]:
        """Names the whole folders below a place, in order."""
        with self._reached(at):
            self._fs.invalidate_cache()
            found = self._fs.glob(self._path(f"{at}/*/{MANIFEST_NAME}"))
        return sorted(str(path).split("/")[-2] for path in found)

    def remove(self, at: str) -> None:
        """Removes a folder there, its manifest first."""
        with self._reached(at):
            self._remove(f"{at}/{MANIFEST_NAME}")
            with suppress(FileNotFoundError):
                self._fs.rm(self._path(at), recursive=True)

    def read(self, at: str) -> bytes | None:
        """Gives a file's bytes, or None if it is not there."""
        with self._reached(at):
            try:
                self._fs.invalidate_cache()
                return bytes(self._fs.cat_file(self._path(at)))
            except FileNotFoundError:
                return None

    def write(self, at: str, data: bytes) -> None:
        """Writes a small file."""
        with self._reached(at):
            self._made(at)
            self._fs.pipe_file(self._path(at), data)

    def _manifest(self, at: str) -> Manifest | None:
        raw = self.read(f"{at}/{MANIFEST_NAME}")
        where = f"{self.uri}/{at}/{MANIFEST_NAME}"
        return Manifest.from_json(raw, where=where) if raw is not None else None

    def _put(self, file: Path, at: str) -> None:
        self._made(at)
        self._fs.put_file(str(file), self._path(at))

    def _made(self, at: str) -> None:
        """Makes a file's folder, where the place has folders at all."""
        if self._folders:
            self._fs.makedirs(self._path(at).rpartition("/")[0], exist_ok=True)

    def _remove(self, at: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(at))

    def _path(self, at: str) -> str:
        return f"{self._root}/{at}".rstrip("/")

    @contextmanager
    def _reached(self, at: str) -> Iterator[None]:
        """Says which place could not be reached; libraries of buckets raise what they like."""
        try:
            yield
        except WherryError:
            raise
        except Exception as error:
            raise FileAccessError(
                f"{self.uri}/{at} could not be read or written: {type(error).__name__}: {error}.",
                remedy="Check that the place exists and that this task's account may use it.",
            ) from error


class BucketMirror:
    """Checkpoints of one run in a bucket; see `wherry.tune.checkpoints.Mirror`.

    Args:
        bucket: where the checkpoints of all runs lie.
        run: the run's folder there.
    """

    def __init__(self, bucket: Bucket, run: str) -> None:
        self._bucket = bucket
        self._run = run

    def pull(self, folder: Path) -> None:
        """Fetches the last whole checkpoint; the one before, if bytes of it were lost."""
        for step in reversed(self._bucket.folders(self._run)):
            try:
                self._bucket.pull(f"{self._run}/{step}", folder / step)
            except (WherryError, OSError) as error:
                if isinstance(error, FileAccessError):
                    raise  # the bucket is out of reach: to start anew would waste what it holds
                shutil.rmtree(folder / step, ignore_errors=True)
            else:
                return

    def push(self, checkpoint: Path) -> None:
        """Copies one checkpoint there; removes those before the last two."""
        self._bucket.push(checkpoint, f"{self._run}/{checkpoint.name}")
        for old in self._bucket.folders(self._run)[:-_KEPT]:
            self._bucket.remove(f"{self._run}/{old}")

    def clear(self) -> None:
        """Removes all of them."""
        for step in self._bucket.folders(self._run):
            self._bucket.remove(f"{self._run}/{step}")
        self._bucket.remove(self._run)


def _inside(folder: Path, name: str) -> Path:
    """Gives the path of a file of a folder.

    Raises:
        ManifestError: if a manifest from elsewhere names a file outside.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ManifestError(f"{name!r} leaves its folder.", remedy="Make the artifact again.")
    return path
