"""Reads a pinned version of data with DVC: from its store alone, privately and without locks."""

import getpass
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from dvc.api import DVCFileSystem
from dvc.scm import Git

from wherry.contracts import Source
from wherry.contracts.errors import ConflictError, FormatError, MissingError
from wherry.ingest.step import TrackedFile, redacted


@contextmanager
def open_store(repo: str, revision: str, path: str) -> Iterator["DvcStore"]:
    """Opens one version of a DVC output for as long as the block lasts.

    A local checkout is read in place, an address through a private clone. Everything that
    DVC keeps lies in a folder of its own, so that tasks side by side never meet on a lock.
    Objects come from the store alone, never from this machine's cache: what a run was made
    from can be had again elsewhere.

    Args:
        repo: a folder inside a checkout, or the address of a git repository.
        revision: a branch, tag or commit; empty for the working tree, or for the
            default branch of an address.
        path: the DVC output, relative to the repository's root.

    Raises:
        MissingError: if there is no such repository or revision.
    """
    with tempfile.TemporaryDirectory(prefix="wherry-dvc-", ignore_cleanup_errors=True) as private:
        fs = _opened(repo, revision, Path(private))
        try:
            pinned = bool(revision) or not Path(repo).is_dir()
            commit = str(fs.repo.get_rev()) if pinned else ""
            yield DvcStore(fs, Source(f"dvc:{redacted(repo)}", commit, path.strip("/"), ""))
        finally:
            fs.close()


class DvcStore:
    """One version of one DVC output. Make it with `open_store`.

    Args:
        fs: the repository at that version.
        asked: the address, the commit or empty for the working tree, and the output.
    """

    def __init__(self, fs: DVCFileSystem, asked: Source) -> None:
        self._fs = fs
        self._asked = asked
        self._path = asked.path

    def resolve(self) -> Source:
        """Gives the exact version: its commit and its content hash.

        For the working tree the commit is HEAD if HEAD pins the same content, else empty.

        Raises:
            MissingError: if the repository has no such output.
            FormatError: if the output is not a folder pinned by DVC 3.
            ConflictError: if the working copy differs from what is pinned.
        """
        checksum, revision = self._pinned(), self._asked.revision
        if not revision:
            self._refuse_changed_copy()
            revision = self._head_with(checksum)
        return Source(self._asked.uri, revision, self._path, checksum)

    def files(self) -> Sequence[TrackedFile]:
        """Lists the files of the output from DVC's own listing.

        Raises:
            MissingError: if the store does not give the listing.
        """
        try:
            found = self._fs.repo.datafs.find(self._path, detail=True)
        except Exception as error:  # DVC passes on whatever the file system below it raises
            raise self._not_given(f"the listing of {self._path}", error) from error
        return [
            TrackedFile(name.removeprefix(f"{self._path}/"), info["entry"].hash_info.value)
            for name, info in found.items()
        ]

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens the store's copy of a file; DVC does not check its bytes.

        Raises:
            MissingError: if the store does not hold it.
        """
        name = f"{self._path}/{file.path}"
        try:
            return cast(BinaryIO, self._fs.repo.datafs.open(name))
        except Exception as error:  # as in `files`
            raise self._not_given(f"{name} (md5 {file.md5})", error) from error

    def _pinned(self) -> str:
        checksum = _checksum(self._fs, self._path)
        if not checksum:
            tracked = ", ".join(sorted(str(out) for out in self._fs.repo.index.outs)[:8])
            raise MissingError(
                f"{self._path!r} is no DVC output of {self._asked.uri}"
                f"{_at(self._asked.revision)}, which tracks: {tracked or 'nothing'}.",
                remedy=f"Run dvc add {self._path}, or correct `path` in the settings of ingest.",
            )
        if not (checksum.startswith("md5:") and checksum.endswith(".dir")):
            raise FormatError(
                f"{self._path} is pinned as {checksum}, expected a folder pinned by DVC 3.",
                remedy="Track the folder; for data of DVC 2 run dvc cache migrate --dvc-files.",
            )
        return checksum

    def _refuse_changed_copy(self) -> None:
        # Else a person edits a row, forgets to add it, and wonders why the run did not see it.
        place = os.path.join(self._fs.repo.root_dir, self._path)  # noqa: PTH118 - DVC compares text
        out = next((out for out in self._fs.repo.index.outs if out.fs_path == place), None)
        if out is not None and out.exists and out.changed_checksum():
            raise ConflictError(
                f"{self._path} in the working folder differs from what DVC pins.",
                remedy=f"Keep the change: dvc add {self._path} && dvc push. "
                f"Or drop it: dvc checkout {self._path}.",
            )

    def _head_with(self, checksum: str) -> str:
        repo = self._fs.repo
        try:
            head = DVCFileSystem(repo.root_dir, rev="HEAD", config=_overrides(repo.config))
            same = _checksum(head, self._path) == checksum
            return str(head.repo.get_rev()) if same else ""
        except Exception:  # no git, no commit yet, or a HEAD without DVC
            return ""

    def _not_given(self, what: str, error: Exception) -> MissingError:
        config = self._fs.repo.config
        name = config["core"].get("remote", "")
        address = redacted(str(config["remote"].get(name, {}).get("url", "no address")))
        return MissingError(
            f"The DVC store {name!r} ({address}) does not give {what}: "
            f"{type(error.__cause__ or error).__name__}.",
            remedy="Check that the store is there and may be read; if it lacks the object, "
            "run dvc push where the data lies.",
        )
