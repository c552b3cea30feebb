"""Content hashes: of a file, and of a folder through its manifest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import msgspec

from wherry.contracts.errors import (
    DigestError,
    ManifestError,
    MissingError,
    SettingsError,
    WherryError,
)
from wherry.contracts.record import Record

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
"""``sha256:`` and 64 hexadecimal digits."""

MANIFEST_NAME: Final = "manifest.json"


def digest_bytes(data: bytes) -> Digest:
    """Gives the SHA-256 of `data` as ``sha256:…``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_file(path: Path) -> Digest:
    """Gives the SHA-256 of a file as ``sha256:…``, in constant memory."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def digest_record(record: Record) -> Digest:
    """Gives the SHA-256 of the file that `Record.write` makes of a record."""
    return digest_bytes(record.to_json().encode() + b"\n")


@dataclass(frozen=True)
class ArtifactRef(Record):
    """Where bytes lie and what they must hash to."""

    uri: str
    digest: Digest
    size: int
    """In bytes."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a folder."""

    path: str
    """Relative to the folder, with forward slashes."""
    size: int
    """In bytes."""
    sha256: Digest


@dataclass(frozen=True)
class Manifest(Record):
    """Every file of a folder with its size and hash; its digest is the folder's identity."""

    files: tuple[FileEntry, ...]
    schema: Literal["wherry.manifest/1"] = "wherry.manifest/1"

    @property
    def digest(self) -> Digest:
        """The SHA-256 over the canonical list of paths, sizes and hashes."""
        rows = sorted((f.path, f.size, f.sha256) for f in self.files)
        return digest_bytes(json.dumps(rows, separators=(",", ":")).encode())

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Hashes every file of a folder but its own manifest.

        Raises:
            ManifestError: if the folder is empty or holds a link.
        """
        entries = tuple(_entry(folder, path) for path in _plain_files(folder))
        if not entries:
            raise ManifestError(f"{folder} holds no file.", remedy="Make the artifact again.")
        return cls(files=entries)

    @classmethod
    def seal(cls, folder: Path) -> Self:
        """Writes the manifest of a folder into it and gives it."""
        manifest = cls.of_folder(folder)
        manifest.write(folder / MANIFEST_NAME)
        return manifest

    @classmethod
    def verified(cls, folder: Path) -> Self:
        """Reads a sealed folder's manifest after re-hashing every file.

        Raises:
            MissingError: if there is no such folder.
            ManifestError: if a file is extra, missing or a link, or there is no manifest.
            DigestError: if a file's bytes changed.
        """
        if not folder.is_dir():
            raise MissingError(
                f"{folder} is not there.",
                remedy="Make the artifact again: a cache may name what was deleted since.",
            )
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise ManifestError(
                f"{folder} has no {MANIFEST_NAME}.", remedy="Make the artifact again."
            )
        manifest = cls.read(path)
        manifest.check(folder)
        return manifest

    def check(self, folder: Path) -> None:
        """Compares a folder with this manifest.

        Raises:
            ManifestError: naming the file that is extra or missing.
            DigestError: naming the file whose bytes changed.
        """
        wanted = {entry.path: entry for entry in self.files}
        found = {entry.path: entry for entry in self.of_folder(folder).files}
        if odd := sorted(wanted.keys() ^ found.keys()):
            word = "is not in its manifest" if odd[0] in found else "is missing"
            raise ManifestError(f"{folder / odd[0]} {word}.", remedy="Make the artifact again.")
        for name, entry in wanted.items():
            if found[name] != entry:
                raise DigestError(
                    f"{folder / name} has digest {found[name].sha256}, expected {entry.sha256}.",
                    remedy="Restore the file or make the artifact again.",
                )


def _plain_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise ManifestError(
                f"{path} is not a plain file.", remedy="Replace it by the file itself."
            )
    return [path for path in paths if path != folder / MANIFEST_NAME]


def _entry(folder: Path, path: Path) -> FileEntry:
    return FileEntry(path.relative_to(folder).as_posix(), path.stat().st_size, digest_file(path))


def refuse_foreign(folder: Path, *spare: str) -> None:
    """Sees that what stands where an artifact's folder goes is an artifact, and may be replaced.

    Args:
        folder: where the artifact is to stand; nothing, or an empty folder, is fine.
        spare: names of files that may go as well.

    Raises:
        SettingsError: naming the folder.
    """
    if _is_artifact(folder, set(spare)) if folder.is_dir() else not folder.exists():
        return
    raise SettingsError(
        f"{folder} would be replaced, and is no artifact: it has no {MANIFEST_NAME} of one.",
        remedy="Name a folder that is not there yet.",
    )


def _is_artifact(folder: Path, spare: set[str]) -> bool:
    """Whether a folder is sealed, or holds nothing to lose; web apps have such a file as well."""
    if all(path.name in spare for path in folder.iterdir()):
        return True
    try:
        Manifest.read(folder / MANIFEST_NAME)
    except (WherryError, OSError):
        return False
    return True
