"""Reads a plain folder or file below the workspace: its own SHA-256s are its version."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from wherry.contracts import Source, digest_file, parse_uri
from wherry.contracts.errors import (
    FormatError,
    MissingError,
    UriError,
    WherryError,
    as_wherry_error,
)
from wherry.ingest.addresses import below
from wherry.ingest.step import THREADS, TrackedFile, listing_digest
from wherry.workspace import workspace


@contextmanager
def open_store(repo: str, revision: str, path: str) -> Iterator["FolderStore"]:
    """Opens a folder for as long as the block lasts.

    Args:
        repo: ``file:FOLDER`` or ``file:FILE``, relative to the workspace.
        revision: must be empty.
        path: the folder or file inside it; empty for all.

    Raises:
        UriError: if it leaves the workspace, or a revision is given.
        MissingError: if there is no such folder or file.
    """
    root = Path(parse_uri(repo, workspace=workspace()).path)
    if revision:
        raise UriError(
            f"A folder has no revisions, got {revision!r} for {repo}.",
            remedy="Leave the revision empty, or keep the data in DVC.",
        )
    place = root / below("", path)
    if not place.exists():
        raise MissingError(f"There is nothing at {place}.", remedy="Correct the data's address.")
    yield FolderStore(place, Source(repo, "", below("", path), ""))


class FolderStore:
    """The files below one folder, or one file. Make it with `open_store`.

    Args:
        place: the folder or file.
        asked: the address and the path in it.
    """

    def __init__(self, place: Path, asked: Source) -> None:
        self._place = place
        self._asked = asked
        self._root = place if place.is_dir() else place.parent

    def resolve(self) -> Source:
        """Hashes every file.

        Raises:
            FormatError: on a link that leaves the folder, or a file that is not a plain one.
        """
        return Source(self._asked.uri, "", self._asked.path, listing_digest(self._listing))

    def files(self) -> Sequence[TrackedFile]:
        """Lists the files with their SHA-256 as they were when they were resolved."""
        return self._listing

    def expected(self, file: TrackedFile) -> str:
        """Gives the listed hash."""
        return file.hash

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens the file itself."""
        return self._real(file.path).open("rb")

    def explain(self, error: Exception, file: TrackedFile) -> WherryError:
        """Gives the operating system's own words."""
        if isinstance(error, FileNotFoundError):
            return MissingError(
                f"{file.path} in {self._asked.uri} is gone.", remedy="Start the run again."
            )
        return as_wherry_error(error)

    @cached_property
    def _listing(self) -> list[TrackedFile]:
        names = sorted(self._names())
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self._tracked, names))

    def _names(self) -> Iterator[str]:
        if self._place.is_file():
            yield self._place.name
            return
        for folder, folders, names in os.walk(self._place, onerror=_raise):
            here = Path(folder)
            for name in names + [each for each in folders if (here / each).is_symlink()]:
                yield (here / name).relative_to(self._root).as_posix()

    def _tracked(self, name: str) -> TrackedFile:
        real = self._real(name)
        return TrackedFile(name, digest_file(real), real.stat().st_size)

    def _real(self, name: str) -> Path:
        real = (self._root / name).resolve()
        if not real.is_relative_to(self._root.resolve()) or not real.is_file():
            raise FormatError(
                f"{name!a} in {self._asked.uri} is not a plain file of this folder.",
                remedy="Replace a link by the file itself, and remove what is no file.",
            )
        return real


def _raise(error: OSError) -> None:
    raise error
