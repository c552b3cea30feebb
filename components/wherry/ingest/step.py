"""Turns the files that a version store lists into a data set, trusting none of their bytes."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from wherry.contracts import Dataset, Manifest, Source, Split, digest_file, read_rows
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.digest import MANIFEST_NAME
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FormatError,
    MissingError,
    UriError,
)
from wherry.ingest.settings import IngestSettings
from wherry.progress import Report

_CHUNK: Final = 1 << 20
_RESERVED: Final = frozenset({DATASET_NAME, MANIFEST_NAME})
_SCHEMES: Final = ("https", "ssh")
_SCP_FORM: Final = re.compile(r"^[\w.-]+@[\w.-]+:")
"""Git's short form of an SSH address, such as ``git@github.com:org/data.git``."""


@dataclass(frozen=True)
class TrackedFile:
    """One file of a version, as the store's own listing has it."""

    path: str
    """Relative to the output, with forward slashes."""
    md5: str
    """32 hexadecimal digits."""


class Store(Protocol):
    """One version of data in a version store."""

    def resolve(self) -> Source:
        """Gives the exact version: its commit and its content hash."""

    def files(self) -> Sequence[TrackedFile]:
        """Lists the version's files."""

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens the store's copy of a file; its bytes are not checked."""


def ingest(
    store: Store, folder: Path, settings: IngestSettings, checksum: str, report: Report
) -> Dataset:
    """Copies a version's files into an empty folder and describes them.

    Args:
        store: the version to take.
        folder: an empty folder; gets the data files, nothing else.
        settings: which part of the version is taken, and what it is.
        checksum: the content hash that the version must have, such as ``md5:….dir``,
            or empty to take what the store resolves.
        report: told how many files are done.

    Returns:
        The data set; the labels are those of its train split.

    Raises:
        ConflictError: if the version has another checksum.
        DigestError: if the listing or a file does not have the hash it is listed with.
        MissingError: if the version has no such folder or split.
        DataError: naming file, line and cause, if a row cannot be read.
    """
    source = store.resolve()
    _agree(source, checksum)
    files = _chosen(_listed(store, source), settings.folder)
    for done, (name, file) in enumerate(files.items(), 1):
        _copy(store, file, folder / name, source.checksum)
        report.progress(done, len(files), name)
    return _described(folder, source, settings)


def repository(text: str) -> str:
    """Checks where a repository lies.

    Args:
        text: a local folder, ``https://…``, ``ssh://…`` or ``user@host:path``.

    Returns:
        The same text.

    Raises:
        UriError: on any other scheme.
        MissingError: if the local folder is not there.
    """
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme in _SCHEMES or _SCP_FORM.match(text):
        return text
    if scheme or "::" in text:
        raise UriError(
            f"{redacted(text)!r} is not an allowed repository: expected a folder, https:// "
            "or ssh://.",
            remedy="Write the repository in one of these forms.",
        )
    if not Path(text).is_dir():
        raise MissingError(
            f"There is no folder {text!r} with a repository.",
            remedy="Name a checkout of the repository, or its https:// address.",
        )
    return text


def redacted(url: str) -> str:
    """Gives a URL without the password or token that it may carry."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def listing_checksum(files: Sequence[TrackedFile]) -> str:
    """Gives the content hash that DVC gives a folder with these files.

    It is the MD5 of the listing's JSON, sorted by path: `Tree.as_bytes` in
    https://github.com/treeverse/dvc-data/blob/main/src/dvc_data/hashfile/tree.py.
    """
    rows = [{"md5": file.md5, "relpath": file.path} for file in files]
    text = json.dumps(sorted(rows, key=lambda row: row["relpath"]), sort_keys=True)
    return f"md5:{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"


def restore(checksum: str, md5: str = "") -> str:
    """Says how a bad or lost object of a version comes back.

    Args:
        checksum: the version's content hash, such as ``md5:….dir``: its listing's name.
        md5: the bad object's hash, or empty if it is the listing itself.
    """
    # `dvc push` looks at the listing alone: while that is there, it sends nothing.
    names = [md5, checksum.removeprefix("md5:")]
    objects = " and ".join(f"files/md5/{name[:2]}/{name[2:]}" for name in names if name)
    return (
        f"Delete {objects} from the store, then run dvc push where the data is whole; "
        "where git keeps the store, git checkout brings it back."
    )


def _agree(source: Source, checksum: str) -> None:
    if checksum and source.checksum != checksum:
        raise ConflictError(
            f"{source.path} in {source.uri} is now {source.checksum}, expected {checksum}.",
            remedy="Somebody changed the data meanwhile: start the run again.",
        )


def _listed(store: Store, source: Source) -> Sequence[TrackedFile]:
    files = store.files()
    found = listing_checksum(files)
    if found != source.checksum:
        raise DigestError(
            f"The listing of {source.path} in the DVC store has checksum {found}, "
            f"expected {source.checksum}.",
            remedy=restore(source.checksum),
        )
    return files


def _chosen(files: Sequence[TrackedFile], folder: str) -> dict[str, TrackedFile]:
    inside = PurePosixPath(folder)
    chosen = {
        str(PurePosixPath(file.path).relative_to(inside)): file
        for file in files
        if PurePosixPath(file.path).is_relative_to(inside)
    }
    if not chosen:
        there = ", ".join(sorted({file.path.partition("/")[0] for file in files})[:8])
        raise MissingError(
            f"The data has no folder {folder!r}, only: {there or 'nothing'}.",
            remedy="Correct `folder` in the settings of ingest.",
        )
    for name in chosen:
        _refuse_odd_name(name)
    return chosen


def _refuse_odd_name(name: str) -> None:
    parts = PurePosixPath(name).parts
    if ".." in parts or parts[:1] == ("/",) or "\\" in name or name in _RESERVED:
        raise FormatError(
            f"The data holds a file {name!r}, a name that no data file may have.",
            remedy="Rename it, add the data to DVC again and re-run.",
        )


def _copy(store: Store, file: TrackedFile, target: Path, checksum: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.md5(usedforsecurity=False)
    with store.open(file) as origin, target.open("wb") as copy:
        while chunk := origin.read(_CHUNK):
            hashed.update(chunk)
            copy.write(chunk)
    if hashed.hexdigest() != file.md5:
        raise DigestError(
            f"{file.path} from the DVC store has md5 {hashed.hexdigest()}, expected {file.md5}.",
            remedy=restore(checksum, file.md5),
        )


def _described(folder: Path, source: Source, settings: IngestSettings) -> Dataset:
    labels: set[str] = set()
    splits = []
    for name in settings.splits:
        file = folder / f"{name}.jsonl"
        if not file.is_file():
            raise MissingError(
                f"The data has no {file.name}, expected one file for each of "
                f"{', '.join(settings.splits)}.",
                remedy="Add the file, or correct `folder` and `splits` in the settings of ingest.",
            )
        count, found = _counted(file)
        splits.append(Split(name, file.name, count, digest_file(file)))
        labels |= found if name == "train" else set()
    return Dataset(
        kind=settings.kind,
        splits=tuple(splits),
        digest=Manifest.of_folder(folder).digest,
        source=source,
        labels=tuple(sorted(labels)),
        licence=settings.licence,
    )


def _counted(file: Path) -> tuple[int, set[str]]:
    labels: Counter[str] = Counter(row.label for row in read_rows(file))
    return labels.total(), set(labels) - {""}
