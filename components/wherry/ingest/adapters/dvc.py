"""Reads a pinned version of data with DVC: from its store alone, privately and without locks."""

import asyncio
import getpass
import io
import netrc
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, urlsplit

import msgspec
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import Git
from dvc_data.index import ObjectStorage
from dvc_objects.errors import ObjectFormatError
from dvc_objects.fs.errors import RemoteMissingDepsError
from fsspec.asyn import sync

from wherry.contracts import Source
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    ExtraMissingError,
    FileAccessError,
    FormatError,
    MissingError,
    WherryError,
)
from wherry.ingest.addresses import is_bare, redacted, repository
from wherry.ingest.faults import causes, is_corrupt, is_denied, shown
from wherry.ingest.patience import Patience
from wherry.ingest.step import TrackedFile, restore

_BROKEN: Final = (ObjectFormatError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a listing raises that is not one."""
_NO_CLIENT: Final = (RemoteMissingDepsError, ImportError)
"""What DVC raises when the plug-in of a store, or a library of it, is not installed."""
_STREAMED: Final[Mapping[str, Mapping[str, int]]] = {
    "s3": {},
    "http": {"size": 0},
    "https": {"size": 0},
}
"""How a file of a remote of this protocol is opened as one answer; its size is not asked for."""
_RANGED: Final = {"block_size": 8 << 20}
"""And how of any other, but for a folder's, as many ranges."""
_MAX_LISTING_BYTES: Final = 1 << 30
"""A folder's listing takes about 100 bytes a file; a larger one is not believed."""


class _Listed(msgspec.Struct):
    """One line of DVC's listing of a folder."""

    md5: str
    relpath: str
    size: int | None = None


@contextmanager
def open_store(repo: str, revision: str, path: str) -> Iterator["DvcStore"]:
    """Opens one version of a DVC output for as long as the block lasts.

    A local checkout is read in place, an address or a bare repository through a private clone.
    Everything that DVC keeps lies in a folder of its own, so that tasks side by side never meet
    on a lock. Objects come from the store alone, never from this machine's cache: what a run was
    made from can be had again elsewhere.

    The store's credentials come from the environment (``AWS_*``,
    ``GOOGLE_APPLICATION_CREDENTIALS``), as its own client reads them; those of an https
    repository from ``~/.netrc``, or the file that ``NETRC`` names, and a private authority's
    certificate from ``SSL_CERT_FILE``.

    Args:
        repo: a folder inside a checkout, a bare repository, or the address of a git repository.
        revision: a branch, tag or commit; empty for the working tree, or for the
            default branch of an address.
        path: the DVC output, a folder or a file, relative to the repository's root.

    Raises:
        UriError: on an address of another scheme.
        MissingError: if there is no such repository or revision.
    """
    place = repository(repo)
    if is_bare(Path(place)):
        place = Path(place).resolve().as_uri()
    with _private_folder() as private, closing(_opened(place, revision, private)) as fs:
        commit = fs.repo.get_rev() if revision or not Path(place).is_dir() else ""
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
            FormatError: if the output is not pinned by DVC 3.
            ConflictError: if the working copy differs from what is pinned.
        """
        checksum, revision = self._pinned, self._asked.revision
        if not revision:
            self._refuse_changed_copy()
            revision = self._head_with(checksum)
        return Source(self._asked.uri, revision, self._path, checksum)

    def files(self) -> Sequence[TrackedFile]:
        """Lists the files of the output from DVC's own listing; an output may be one file.

        Raises:
            MissingError: if the store does not give the listing.
            FileAccessError: if it refuses this user.
            DigestError: if what it gives is no listing.
        """
        return self._listing

    def expected(self, file: TrackedFile) -> str:
        """Gives the listed hash."""
        return file.hash

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens the store's copy of a file; DVC does not check its bytes."""
        return self._object(file.hash)

    def explain(self, error: Exception, file: TrackedFile) -> WherryError:
        """Says what went wrong in the words of this stage."""
        return self._not_given(self._name(file), error, file.hash.removeprefix("md5:"))

    @property
    def _data(self) -> Any:
        """The repository's outputs as DVC's own file system."""
        return self._fs.repo.datafs

    @cached_property
    def _objects(self) -> Any:
        """The store that holds objects by their hash."""
        storages = self._data.fs.index.storage_map[self._entry.key]
        # Without a remote the repository's cache is the store, as DVC has it.
        storage = storages.remote or storages.cache
        if isinstance(storage, ObjectStorage):
            return storage.odb
        raise FormatError(
            f"{self._path} is not kept by its hashes: it was imported with DVC, or its store is "
            "cloud-versioned.",
            remedy="Name the repository that it was imported from, or push it to a plain remote.",
        )

    def _object(self, checksum: str) -> BinaryIO:
        store = self._objects
        protocol = store.fs.protocol
        place = store.oid_to_path(checksum.removeprefix("md5:"))
        if protocol in _STREAMED:
            return cast(BinaryIO, _Streamed(store.fs.fs, place, _STREAMED[protocol]))
        options = {} if protocol == "local" else _RANGED
        return cast(BinaryIO, store.fs.open(place, "rb", **options))

    @cached_property
    def _entry(self) -> Any:
        """What DVC pins at the path, or None."""
        try:
            return self._data.info(self._path)["entry"]
        except (AttributeError, FileNotFoundError):
            return None
        except DvcException as error:
            raise FormatError(
                f"DVC cannot read what the repository pins: {redacted(str(error))}.",
                remedy="Correct the file; `dvc status` in the checkout shows the same error.",
            ) from shown(error)
        except _NO_CLIENT as error:
            raise self._extra_missing() from error

    @cached_property
    def _listing(self) -> list[TrackedFile]:
        try:
            return Patience()(self._listed)
        except Exception as error:  # DVC passes on whatever the file system below it raises
            raise self._not_given(f"the listing of {self._path}", error) from shown(error)

    def _listed(self) -> list[TrackedFile]:
        if not self._pinned.endswith(".dir"):
            name = PurePosixPath(self._path).name
            return [TrackedFile(name, self._pinned, self._entry.meta.size)]
        with self._object(self._pinned) as listing:
            rows = msgspec.json.decode(listing.read(_MAX_LISTING_BYTES), type=list[_Listed])
        return [TrackedFile(row.relpath, f"md5:{row.md5}", row.size) for row in rows]

    def _name(self, file: TrackedFile) -> str:
        return f"{self._path}/{file.path}" if self._pinned.endswith(".dir") else self._path

    @cached_property
    def _pinned(self) -> str:
        checksum = _checksum(self._entry)
        if not checksum:
            tracked = ", ".join(sorted(str(out) for out in self._fs.repo.index.outs)[:8])
            raise MissingError(
                f"{self._path!r} is no DVC output of {self._asked.uri}"
                f"{_at(self._asked.revision)}, which tracks: {tracked or 'nothing'}.",
                remedy=f"Run dvc add {self._path}, or correct `path` in the settings of ingest.",
            )
        if not checksum.startswith("md5:"):
            raise FormatError(
                f"{self._path} is pinned as {checksum}, expected an output pinned by DVC 3.",
                remedy="For data of DVC 2 run dvc cache migrate --dvc-files.",
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
            pinned = _checksum(head.repo.datafs.info(self._path)["entry"])
            return str(head.repo.get_rev()) if pinned == checksum else ""
        except Exception:  # no git, no commit yet, or a HEAD without DVC
            return ""

    def _not_given(self, what: str, error: Exception, md5: str = "") -> WherryError:
        if isinstance(error, WherryError):
            return error
        if any(isinstance(each, _NO_CLIENT) for each in causes(error)):
            return self._extra_missing()
        cause = error.__cause__ or error
        if isinstance(cause, _BROKEN) or is_corrupt(error):
            return DigestError(
                f"The DVC store {self._address()} gives a broken object for {what}: "
                f"{type(cause).__name__}.",
                remedy=restore(self._pinned, md5),
            )
        if is_denied(error):
            return FileAccessError(
                f"The DVC store {self._address()} refuses {what}: {type(cause).__name__}.",
                remedy="Give the run credentials by the environment: AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS.",
            )
        return MissingError(
            f"The DVC store {self._address()} does not give {what}: {type(cause).__name__}.",
            remedy=restore(self._pinned, md5)
            if md5
            else "Check that the store is there and may be read; if it is empty, run dvc push "
            "where the data is whole, or git checkout where git keeps the store.",
        )

    def _extra_missing(self) -> WherryError:
        scheme = self._address().partition("(")[2].partition(":")[0]
        return ExtraMissingError(
            f"The DVC store {self._address()} needs the package dvc-{scheme}, which is not "
            "installed.",
            remedy=f'Run: pip install "wherry[{scheme}]"'
            if scheme in ("s3", "gs")
            else f"Run: pip install dvc-{scheme}",
        )

    def _address(self) -> str:
        config = self._fs.repo.config
        name = config["core"].get("remote", "")
        return f"{name!r} ({redacted(str(config['remote'].get(name, {}).get('url', '?')))})"


class _Streamed(io.RawIOBase):
    """An object of S3 or an HTTP server, read as one answer.

    s3fs itself opens an object as many ranges, each asked for only when the one before it is
    used up: every 8 MB would wait for the store once more. fsspec reads HTTP in pieces as small
    as the network gives them, and goes from thread to thread for each.

    Args:
        fs: s3fs's or fsspec's file system.
        path: the bucket and the key, or the address.
        options: of its `open_async`.
    """

    def __init__(self, fs: Any, path: str, options: Mapping[str, Any]) -> None:
        self._loop = fs.loop
        self._file = sync(self._loop, fs.open_async, path, **options)
        self._ahead: Future[bytes] | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Gives the next bytes, as many as are asked for but at the end.

        As many more are then asked for ahead: they come while the caller works on these.
        """
        found = (self._ahead or self._asked_for(size)).result()
        self._ahead = self._asked_for(size) if 0 < size == len(found) else None  # fewer: the end
        return found

    def close(self) -> None:
        """Gives the connection back; s3fs's own close would leave it to the collector."""
        if not self.closed:
            if self._ahead:
                self._ahead.cancel()
            if self._file.r is not None:
                self._loop.call_soon_threadsafe(self._file.r.close)
        # Else the collector would close it, by a coroutine that nobody awaits.
        self._file.closed = True
        super().close()

    def _asked_for(self, size: int) -> "Future[bytes]":
        return asyncio.run_coroutine_threadsafe(self._gathered(size), self._loop)

    async def _gathered(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size and (piece := await self._file.read(size)):
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)


def _opened(repo: str, revision: str, private: Path) -> DVCFileSystem:
    config = {"cache": {"dir": str(private / "cache")}}
    try:
        if Path(repo).is_dir():
            fs = DVCFileSystem(repo, rev=revision or None, config=config)
        else:
            fs = DVCFileSystem(_patiently_cloned(repo, revision, private), config=config)
        fs.repo  # noqa: B018 - opens it
        return fs
    except (OSError, WherryError):
        raise  # a full disk, a refused connection: the system's own words are the better ones
    except Exception as error:  # git, dulwich and DVC each have their own
        raise _not_opened(f"{redacted(repo)}{_at(revision)}", error) from shown(error)


def _not_opened(what: str, error: Exception) -> WherryError:
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes(error)):
        return FileAccessError(
            f"Cannot open {what}: nobody vouches for the server's certificate.",
            remedy="Name the authority's certificate by SSL_CERT_FILE, as a PEM file.",
        )
    if is_denied(error):
        return FileAccessError(
            f"Cannot open {what}: this user may not read it.",
            remedy="Put the user and a token for the host into ~/.netrc, or a file that NETRC "
            "names: machine HOST login USER password TOKEN.",
        )
    return MissingError(
        f"Cannot open {what}: {redacted(str(error))}.",
        remedy="Check that the repository and the revision exist and that you may read them.",
    )


def _patiently_cloned(address: str, revision: str, private: Path) -> str:
    return Patience()(
        lambda: _cloned(address, revision, Path(tempfile.mkdtemp(dir=private)) / "clone")
    )


def _cloned(address: str, revision: str, folder: Path) -> str:
    git = Git.clone(_with_netrc(address), str(folder))
    try:
        if revision:
            git.checkout(git.resolve_rev(revision))
    finally:
        git.close()
    return str(folder)


def _with_netrc(address: str) -> str:
    """Adds the user and the password that a netrc file has for the host, as git itself does.

    There may be no git program, and so none of its helpers, to ask for them.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" or "@" in parts.netloc:
        return address
    # Not Path.home(): it raises where a user id has no home.
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")  # noqa: PTH111 - see above
    try:
        found = netrc.netrc(path).authenticators(parts.hostname or "")
    except FileNotFoundError:
        return address
    except (netrc.NetrcParseError, UnicodeDecodeError):
        raise FormatError(  # not the library's words: they may hold a password
            f"{path} is no netrc file, so there are no credentials for {parts.hostname}.",
            remedy="Correct it: machine HOST login USER password TOKEN.",
        ) from None
    if not found:
        return address
    user, _, password = (quote(part or "", safe="") for part in found)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl()


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


def _checksum(entry: Any) -> str:
    found = entry.hash_info if entry is not None else None
    return f"{found.name}:{found.value}" if found else ""


def _at(revision: str) -> str:
    return f" at {revision}" if revision else ""
