"""Reads a pinned version of data with DVC: from its store alone, privately and without locks."""

import getpass
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import Git
from dvc_objects.errors import ObjectFormatError

from wherry.contracts import Source
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FormatError,
    MissingError,
    WherryError,
)
from wherry.ingest.step import TrackedFile, redacted, restore

_BROKEN: Final = (
    ObjectFormatError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What DVC's parser of listings raises on one that is not a listing."""


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
    with _private_folder() as private, closing(_opened(repo, revision, private)) as fs:
        commit = fs.repo.get_rev() if revision or not Path(repo).is_dir() else ""
        yield DvcStore(fs, Source(f"dvc:{redacted(repo)}", commit, path.strip("/"), ""))


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
            DigestError: if what it gives is no listing.
        """
        try:
            return [self._tracked(name) for name in self._fs.repo.datafs.find(self._path)]
        except Exception as error:  # DVC passes on whatever the file system below it raises
            raise self._not_given(f"the listing of {self._path}", error) from error

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens the store's copy of a file; DVC does not check its bytes.

        Raises:
            MissingError: if the store does not hold it.
        """
        name = f"{self._path}/{file.path}"
        try:
            return cast(BinaryIO, self._fs.repo.datafs.open(name, "rb"))
        except Exception as error:  # as in `files`
            raise self._not_given(name, error, file.md5) from error

    def _tracked(self, name: str) -> TrackedFile:
        entry = self._fs.repo.datafs.info(name)["entry"]
        return TrackedFile(name.removeprefix(f"{self._path}/"), entry.hash_info.value)

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
            head = DVCFileSystem(repo.root_dir, rev="HEAD", config={"cache": repo.config["cache"]})
            return str(head.repo.get_rev()) if _checksum(head, self._path) == checksum else ""
        except Exception:  # no git, no commit yet, or a HEAD without DVC
            return ""

    def _not_given(self, what: str, error: Exception, md5: str = "") -> WherryError:
        cause = error.__cause__ or error
        if isinstance(cause, _BROKEN):
            return DigestError(
                f"The DVC store {self._address()} gives a broken object for {what}: "
                f"{type(cause).__name__}.",
                remedy=restore(self._pinned()),
            )
        return MissingError(
            f"The DVC store {self._address()} does not give {what}: {type(cause).__name__}.",
            remedy=restore(self._pinned(), md5)
            if md5
            else "Check that the store is there and may be read; if it is empty, run dvc push "
            "where the data is whole, or git checkout where git keeps the store.",
        )

    def _address(self) -> str:
        config = self._fs.repo.config
        name = config["core"].get("remote", "")
        return f"{name!r} ({redacted(str(config['remote'].get(name, {}).get('url', '?')))})"


def _opened(repo: str, revision: str, private: Path) -> DVCFileSystem:
    config = {"cache": {"dir": str(private / "cache")}}
    try:
        if Path(repo).is_dir():
            fs = DVCFileSystem(repo, rev=revision or None, config=config)
        else:
            fs = DVCFileSystem(_cloned(repo, revision, private / "clone"), config=config)
        fs.repo  # noqa: B018 - opens it
        return fs
    except OSError:
        raise  # a full disk, a refused connection: the system's own words are the better ones
    except Exception as error:  # git, dulwich and DVC each have their own
        reason = str(error).replace(repo, redacted(repo))
        raise MissingError(
            f"Cannot open {redacted(repo)}{_at(revision)}: {reason}.",
            remedy="Check that the repository and the revision exist and that you may read them.",
        ) from error


def _cloned(address: str, revision: str, folder: Path) -> str:
    git = Git.clone(address, str(folder))
    try:
        if revision:
            git.checkout(git.resolve_rev(revision))
    finally:
        git.close()
    return str(folder)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Gives a folder that all of DVC's own state goes to, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="wherry-dvc-", ignore_cleanup_errors=True) as name:
        # By the environment: DVC opens a checkout twice, the first time without our configuration.
        ours = {"DVC_SITE_CACHE_DIR": f"{name}/site", "DVC_NO_ANALYTICS": "1", "LOGNAME": _user()}
        before = {variable: os.environ.get(variable) for variable in ours}
        os.environ.update(ours)
        try:
            yield Path(name)
        finally:
            for variable, value in before.items():
                os.environ.pop(variable)
                os.environ.update({variable: value} if value is not None else {})


def _user() -> str:
    # DVC asks for the user's name, which a pod with an arbitrary user id does not have.
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "wherry"


def _checksum(fs: DVCFileSystem, path: str) -> str:
    try:
        found = fs.repo.datafs.info(path)["entry"].hash_info
    except (AttributeError, FileNotFoundError):
        return ""
    except DvcException as error:
        raise FormatError(
            f"DVC cannot read what the repository pins: {error}.",
            remedy="Correct the file; `dvc status` in the checkout shows the same error.",
        ) from error
    return f"{found.name}:{found.value}" if found else ""


def _at(revision: str) -> str:
    return f" at {revision}" if revision else ""
