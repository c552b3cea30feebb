"""Lists and opens what one version of a DVC output is made of."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

import msgspec
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc_data.index import ObjectStorage
from dvc_objects.errors import ObjectFormatError
from dvc_objects.fs.errors import ConfigError, RemoteMissingDepsError

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
from wherry.ingest.adapters.dvc.repository import at, at_version
from wherry.ingest.adapters.dvc.stream import Streamed
from wherry.ingest.addresses import redacted
from wherry.ingest.faults import causes, is_corrupt, is_denied, shown
from wherry.ingest.logins import NETRC_REMEDY
from wherry.ingest.patience import Patience
from wherry.ingest.step import TrackedFile, restore

_BROKEN: Final = (ObjectFormatError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a listing raises that is not one."""
_NO_CLIENT: Final = (RemoteMissingDepsError, ImportError)
"""What DVC raises when the plug-in of a store, or a library of it, is not installed."""
_NO_LOGIN: Final = (ConfigError, NotImplementedError)
"""What DVC raises when it cannot make a login of what its configuration says of a store."""
_CREDENTIALS: Final[Mapping[str, str]] = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give the run a role.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or give the run a service account.",
    "http": NETRC_REMEDY,
    "https": NETRC_REMEDY,
}
"""How a run gets the credentials of a store, by its protocol."""
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
            return cast(BinaryIO, Streamed(store.fs.fs, place, _STREAMED[protocol]))
        options = {} if protocol == "local" else _RANGED
        return cast(BinaryIO, store.fs.open(place, "rb", **options))

    @cached_property
    def _entry(self) -> Any:
        """What DVC pins at the path, or None."""
        try:
            self._refuse_part_of_an_output()
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
        except _NO_LOGIN as error:
            raise FileAccessError(
                f"The DVC store {self._address()} cannot be used: {str(error).rstrip('.')}.",
                remedy=self._access(),
            ) from error

    @cached_property
    def _output(self) -> Any:
        """The DVC output that the path names or lies in, or None."""
        outs = self._fs.repo.index.outs
        return next((out for out in outs if self._place.is_relative_to(out.fs_path)), None)

    @property
    def _place(self) -> PurePosixPath:
        return PurePosixPath(self._fs.repo.root_dir, self._path)

    def _refuse_part_of_an_output(self) -> None:
        # DVC finds a part by the store's listing, whose hash it does not check; we check a whole.
        if self._output is None or self._place == PurePosixPath(self._output.fs_path):
            return
        whole = PurePosixPath(self._output.fs_path).relative_to(self._fs.repo.root_dir)
        inside = self._place.relative_to(self._output.fs_path)
        raise MissingError(
            f"{self._path!r} lies in the DVC output '{whole}' and has no pin of its own.",
            remedy=f"Set `path` to {whole} and `folder` to {inside} in the settings of ingest.",
        )

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
                f"{at(self._asked.revision)}, which tracks: {tracked or 'nothing'}.",
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
        out = self._output
        if out is not None and out.exists and out.changed_checksum():
            raise ConflictError(
                f"{self._path} in the working folder differs from what DVC pins.",
                remedy=f"Keep the change: dvc add {self._path} && dvc push. "
                f"Or drop it: dvc checkout {self._path}.",
            )

    def _head_with(self, checksum: str) -> str:
        repo = self._fs.repo
        try:
            head = at_version(repo.root_dir, "HEAD", {"cache": repo.config["cache"]})
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
                remedy=self._access(),
            )
        return MissingError(
            f"The DVC store {self._address()} does not give {what}: {type(cause).__name__}.",
            remedy=restore(self._pinned, md5)
            if md5
            else "Check that the store is there and may be read; if it is empty, run dvc push "
            "where the data is whole, or git checkout where git keeps the store.",
        )

    def _extra_missing(self) -> WherryError:
        scheme = self._scheme()
        return ExtraMissingError(
            f"The DVC store {self._address()} needs the package dvc-{scheme}, which is not "
            "installed.",
            remedy=f'Run: pip install "wherry[{scheme}]"'
            if scheme in ("s3", "gs")
            else f"Run: pip install dvc-{scheme}",
        )

    def _access(self) -> str:
        return _CREDENTIALS.get(self._scheme(), "Set the variables that the store's client reads.")

    def _scheme(self) -> str:
        return urlsplit(self._remote()[1]).scheme

    def _address(self) -> str:
        name, url = self._remote()
        return f"{name!r} ({redacted(url or '?')})"

    def _remote(self) -> tuple[str, str]:
        """Gives the name and the address of the store: the output's own, or the default one."""
        config = self._fs.repo.config
        name = getattr(self._output, "remote", None) or config["core"].get("remote", "")
        return name, str(config["remote"].get(name, {}).get("url", ""))


def _checksum(entry: Any) -> str:
    found = entry.hash_info if entry is not None else None
    return f"{found.name}:{found.value}" if found else ""
