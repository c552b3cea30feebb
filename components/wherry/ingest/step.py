"""Turns the files that a store lists into files of this machine, trusting none of their bytes."""

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol

from wherry.contracts import Source
from wherry.contracts.dataset import DATASET_NAME, QUARANTINE_NAME
from wherry.contracts.digest import MANIFEST_NAME, Digest, digest_bytes
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FormatError,
    MissingError,
    WherryError,
)
from wherry.ingest.addresses import redacted, refuse_odd_name, repository
from wherry.ingest.faults import shown
from wherry.ingest.hashes import Beside, Running, digits, running
from wherry.ingest.patience import Patience
from wherry.progress import Report

__all__ = [
    "Fetched",
    "Store",
    "TrackedFile",
    "listing_checksum",
    "listing_digest",
    "materialise",
    "redacted",
    "repository",
    "restore",
]

CHUNK: Final = 1 << 20
"""Bytes that are read, hashed and written at a time. From a disk 256 KiB to 2 MiB cost the same;
over HTTP every piece goes from one thread to another: 256 KiB took 1.2 times as long as these."""
THREADS: Final = 8
"""Files fetched side by side: a remote store is waited for, not worked for."""
RESERVED: Final = frozenset({DATASET_NAME, MANIFEST_NAME, QUARANTINE_NAME})
"""Names of our own records, which no data file may have."""


@dataclass(frozen=True)
class TrackedFile:
    """One file of a version, as the store's own listing has it."""

    path: str
    """Relative to the output, with forward slashes."""
    hash: str
    """Such as ``md5:…``; the kinds are those of `wherry.ingest.hashes`."""
    size: int | None = None
    """In bytes, or None if the listing does not say."""
    version: str = ""
    """What the store calls this version of the file: a version id or a generation."""


@dataclass(frozen=True)
class Fetched:
    """One file that was fetched whole and found to be what the store listed."""

    path: str
    """Relative to the folder that it was fetched into, with forward slashes."""
    size: int
    """In bytes."""
    sha256: Digest
    """Taken while it was written."""


class Store(Protocol):
    """One version of data in a store."""

    def resolve(self) -> Source:
        """Gives the exact version: its commit and its content hash."""

    def files(self) -> Sequence[TrackedFile]:
        """Lists the version's files, always the same."""

    def expected(self, file: TrackedFile) -> str:
        """Gives the hash that a file's bytes must have, which a listing may not tell exactly."""

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens exactly this version of a file; its bytes are not checked."""

    def explain(self, error: Exception, file: TrackedFile) -> WherryError:
        """Says what a person should read when a file could not be read."""


def materialise(
    store: Store,
    folder: Path,
    inside: str,
    checksum: str,
    report: Report,
    patience: Patience = Patience(),  # noqa: B008 - frozen
    choose: Callable[[Collection[str]], Collection[str]] = lambda names: names,
) -> tuple[Source, tuple[Fetched, ...]]:
    """Copies a version's files into an empty folder, each hashed while it is written.

    Args:
        store: the version to take.
        folder: an empty folder; gets the data files, nothing else.
        inside: the folder of the version that is taken, or one file of it; empty for all.
        checksum: the content hash that the version must have, such as ``md5:….dir``,
            or empty to take what the store resolves.
        report: told how many bytes are done, or how many files if sizes are not known.
        patience: how often a store is asked again after a fault that passes.
        choose: told the names of all files, gives those that are wanted; the others stay where
            they are.

    Returns:
        The exact version, and its files in the order of their paths.

    Raises:
        ConflictError: if the version has another checksum, or changes meanwhile.
        DigestError: if the listing or a file does not have the hash it is listed with.
        MissingError: if the version has no such folder, or the store does not give a file.
        FileAccessError: if the store refuses to give a file to this user.
        FormatError: if a file has a name that no data file may have.
    """
    source = store.resolve()
    _agree(source, checksum)
    files = _chosen(_listed(store, source), inside, choose)
    folder.mkdir(parents=True, exist_ok=True)
    _make_folders(folder, files)
    return source, _Fetching(store, folder, source, report, patience, files).all()


def listing_checksum(files: Sequence[TrackedFile]) -> str:
    """Gives the content hash that DVC gives a folder with these files.

    It is the MD5 of the listing's JSON, sorted by path: `Tree.as_bytes` in
    https://github.com/treeverse/dvc-data/blob/main/src/dvc_data/hashfile/tree.py.
    """
    rows = [{"md5": digits(file.hash), "relpath": file.path} for file in files]
    text = json.dumps(sorted(rows, key=lambda row: row["relpath"]), sort_keys=True)
    return f"md5:{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"


def listing_digest(files: Sequence[TrackedFile]) -> str:
    """Gives the content hash of a listing outside DVC: the SHA-256 of its canonical JSON.

    The JSON is a list of ``[path, size, hash, version]``, sorted, without spaces.
    """
    rows = sorted([file.path, file.size or 0, file.hash, file.version] for file in files)
    return digest_bytes(json.dumps(rows, separators=(",", ":")).encode())


def restore(checksum: str, md5: str = "") -> str:
    """Says how a bad or lost object of a version in DVC comes back.

    Args:
        checksum: the version's content hash, such as ``md5:….dir``: its listing's name.
        md5: the bad object's hash, or empty if it is the listing itself.
    """
    # `dvc push` looks at the listing alone: while that is there, it sends nothing.
    names = dict.fromkeys([md5, checksum.removeprefix("md5:")])
    objects = " and ".join(f"files/md5/{name[:2]}/{name[2:]}" for name in names if name)
    return (
        f"Delete {objects} from the store, then run dvc push where the data is whole; "
        "where git keeps the store, git checkout brings it back."
    )


def _agree(source: Source, checksum: str) -> None:
    if checksum and source.checksum != checksum:
        raise ConflictError(
            f"{source.path or 'The data'} in {source.uri} is now {source.checksum}, "
            f"expected {checksum}.",
            remedy="Somebody changed the data meanwhile: start the run again.",
        )


def _listed(store: Store, source: Source) -> Sequence[TrackedFile]:
    files = store.files()
    if source.checksum.endswith(".dir"):
        found = listing_checksum(files)
    elif source.checksum.startswith("md5:") and len(files) == 1:
        found = files[0].hash  # one file: it has no listing
    else:
        found = listing_digest(files)
    if found != source.checksum:
        raise DigestError(
            f"The listing of {source.path} in the {_name(source)} has checksum {found}, "
            f"expected {source.checksum}.",
            remedy=_remedy(source),
        )
    return files


def _name(source: Source) -> str:
    return "DVC store" if source.uri.startswith("dvc:") else f"store {source.uri}"


def _remedy(source: Source, hash_: str = "") -> str:
    if source.uri.startswith("dvc:"):
        return restore(source.checksum, digits(hash_))
    return "Put the file there again, then start the run again."


def _chosen(
    files: Sequence[TrackedFile],
    folder: str,
    choose: Callable[[Collection[str]], Collection[str]],
) -> dict[str, TrackedFile]:
    """Gives what is wanted of the files below a folder, or of the one file, by its new name."""
    prefix = "".join(f"{part}/" for part in PurePosixPath(folder).parts)
    chosen = {
        file.path.removeprefix(prefix): file for file in files if file.path.startswith(prefix)
    } or {PurePosixPath(folder).name: file for file in files if f"{file.path}/" == prefix}
    if not chosen:
        there = ", ".join(sorted({file.path.partition("/")[0] for file in files})[:8])
        raise MissingError(
            f"The data has no folder {folder!r}, only: {there[:200] or 'nothing'}.",
            remedy="Correct `folder` in the settings of ingest.",
        )
    wanted = sorted(choose(chosen))
    for name in wanted:
        refuse_odd_name(name, RESERVED)
    return {name: chosen[name] for name in wanted}


def _make_folders(folder: Path, files: dict[str, TrackedFile]) -> None:
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    if clash := sorted(parents & files.keys()):
        raise FormatError(
            f"The data holds both a file and a folder {clash[0]!a}.",
            remedy="Rename one of them at the source and run again.",
        )
    for parent in sorted(parents):
        (folder / parent).mkdir(exist_ok=True)


class _ReadError(Exception):
    """Reading failed, not writing: its cause is the store's own exception."""


class _CutError(ConnectionError):
    """An answer ended early, which not every client notices: asking again may help."""


class _StoppedError(Exception):
    """Another file failed, so this one is not wanted any more."""


@dataclass
class _Fetching:
    """Fetches files side by side, until all are there or one fails."""

    store: Store
    folder: Path
    source: Source
    report: Report
    patience: Patience
    files: dict[str, TrackedFile]
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _total: int | None = None
    _bytes: int = 0
    _count: int = 0

    def __post_init__(self) -> None:
        sizes = [file.size for file in self.files.values()]
        self._total = None if None in sizes else sum(size or 0 for size in sizes)

    def all(self) -> tuple[Fetched, ...]:
        todo = iter(self.files.items())
        threads = min(THREADS, len(self.files))
        with ThreadPoolExecutor(threads, thread_name_prefix="fetch") as pool:
            running = [pool.submit(self._some, todo) for _ in range(threads)]
            try:
                done, _ = wait(running, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()  # on an error or Ctrl-C the other threads end at their next piece
        for future in done:
            future.result()
        found = [fetched for future in running for fetched in future.result()]
        return tuple(sorted(found, key=lambda fetched: fetched.path))

    def _some(self, todo: Iterator[tuple[str, TrackedFile]]) -> list[Fetched]:
        """Fetches whatever nobody else has begun."""
        mine: list[Fetched] = []
        while True:
            with self._lock:
                name, file = next(todo, ("", None))
            if file is None:
                return mine
            mine.append(self._whole(name, file))
            self._tell(0, done=1)

    def _whole(self, name: str, file: TrackedFile) -> Fetched:
        try:
            try:
                return self._patiently(name, file)
            except DigestError:
                # Once more: a proxy between may have been at fault. The store itself stays bad.
                return self._patiently(name, file)
        except _CutError as cut:
            raise self._mismatch(file, str(cut)) from cut
        except _ReadError as failed:
            cause = failed.__cause__
            assert isinstance(cause, Exception)  # noqa: S101 - `_pieces` raises it so
            error = self.store.explain(cause, file)
            error.message += self.patience.told(cause)
            raise error from shown(cause)

    def _patiently(self, name: str, file: TrackedFile) -> Fetched:
        return self.patience(lambda: self._once(name, file))

    def _once(self, name: str, file: TrackedFile) -> Fetched:
        expected = self._expected(file)
        ours = hashlib.sha256()
        size = 0
        try:
            with (self.folder / name).open("wb") as copy, self._check(expected, file) as check:
                for piece in self._pieces(file):
                    if check:
                        check.update(piece)
                    copy.write(piece)
                    ours.update(piece)
                    size += len(piece)
                    self._tell(len(piece))
                same = expected.startswith("sha256:")
                self._compare(file, size, expected, ours if same else check)
        except BaseException:
            self._tell(-size)
            raise
        return Fetched(name, size, f"sha256:{ours.hexdigest()}")

    def _check(self, expected: str, file: TrackedFile) -> AbstractContextManager[Running | None]:
        """Gives the hash to compare with, unless it is the SHA-256 that is taken anyway."""
        check = None if expected.startswith("sha256:") else running(expected, file.size)
        # A small file is one piece: a thread would only cost.
        small = file.size is not None and file.size <= CHUNK
        return Beside(check) if check and not small else nullcontext(check)

    def _expected(self, file: TrackedFile) -> str:
        try:
            return self.store.expected(file)
        except Exception as error:
            raise _ReadError from error

    def _pieces(self, file: TrackedFile) -> Iterator[bytes]:
        try:
            with self.store.open(file) as origin:
                while piece := origin.read(CHUNK):
                    if self._stop.is_set():
                        raise _StoppedError
                    yield piece
        except (_StoppedError, WherryError):
            raise
        except Exception as error:
            raise _ReadError from error

    def _compare(self, file: TrackedFile, size: int, expected: str, found: Running | None) -> None:
        if file.size is not None and size < file.size:
            raise _CutError(f"{size} bytes, expected {file.size}")
        if file.size is not None and size > file.size:
            raise self._mismatch(file, f"{size} bytes, expected {file.size}")
        if found is not None and found.hexdigest() != digits(expected):
            kind = expected.partition(":")[0]
            told = f"{kind} {found.hexdigest()}, expected {digits(expected)}"
            raise self._mismatch(file, told)

    def _mismatch(self, file: TrackedFile, told: str) -> DigestError:
        return DigestError(
            f"{file.path} from the {_name(self.source)} has {told}.",
            remedy=_remedy(self.source, file.hash),
        )

    def _tell(self, size: int, done: int = 0) -> None:
        with self._lock:
            self._bytes += size
            self._count += done
            if self._stop.is_set():
                return
            note = f"{self._bytes / 1e6:,.1f} MB"
            if self._total is None:
                self.report.progress(self._count, len(self.files), note)
            else:
                self.report.progress(self._bytes, self._total, note)
