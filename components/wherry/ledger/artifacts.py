"""Keeps the files that ship under their own hashes."""

import os
import shutil
from pathlib import Path
from typing import Final

from wherry.contracts import ArtifactRef, Digest, digest_file, parse_uri
from wherry.contracts.errors import DigestError, MissingError, StoreError, UriError
from wherry.contracts.files import staged_file, sync_folder

ARTIFACTS_VARIABLE: Final = "WHERRY_ARTIFACTS"


class Artifacts:
    """A folder of files by digest: ``sha256/ab/abcdef…/NAME.gguf``.

    Example::

        artifacts = Artifacts.open(state())
        ref = artifacts.publish(Path("model.gguf"), digest, "icd10-triage.gguf")
        path = artifacts.verified(ref)
    """

    def __init__(self, root: Path, workspace: Path) -> None:
        self._root = root
        self._workspace = workspace

    @classmethod
    def open(cls, state: Path) -> "Artifacts":
        """Opens the store below the state folder, ``.wherry/artifacts``.

        Raises:
            StoreError: if ``WHERRY_ARTIFACTS`` asks for another place.
        """
        if os.environ.get(ARTIFACTS_VARIABLE):
            raise StoreError(
                f"{ARTIFACTS_VARIABLE} is set, but this version keeps its artifacts in {state}.",
                remedy=f"Unset {ARTIFACTS_VARIABLE}.",
            )
        return cls(state / "artifacts", state.parent)

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
        if name in ("", "..") or Path(name).name != name:
            raise UriError(f"{name!r} is no file name.", remedy="Leave out its folders.")
        path = self._root / "sha256" / digest[7:9] / digest[7:] / name
        if not (path.is_file() and digest_file(path) == digest):
            with staged_file(path) as staged:
                shutil.copyfile(source, staged)
                _check(staged, digest)
            path.chmod(0o444)
            self._sync_parents(path)
        uri = f"file:{path.relative_to(self._workspace).as_posix()}"
        return ArtifactRef(uri=uri, digest=digest, size=path.stat().st_size)

    def verified(self, ref: ArtifactRef) -> Path:
        """Gives the path of a stored file after re-hashing it.

        Raises:
            MissingError: if it is not there.
            DigestError: if its size or its bytes changed.
        """
        path = Path(parse_uri(ref.uri, workspace=self._workspace).path)
        if not path.is_file():
            raise MissingError(
                f"{path} is not in the artifact store.",
                remedy="Restore it from a backup, or run the pipeline again to publish it.",
            )
        if path.stat().st_size != ref.size:
            raise DigestError(
                f"{path} has {path.stat().st_size} bytes, expected {ref.size}.",
                remedy="Restore it from a backup, or run the pipeline again to publish it.",
            )
        _check(path, ref.digest)
        return path

    def _sync_parents(self, path: Path) -> None:
        # A new folder's name is durable only once its parent is synced, up to the root's own.
        for folder in path.parent.parents:
            sync_folder(folder)
            if folder == self._root.parent:
                break


def _check(path: Path, digest: Digest) -> None:
    found = digest_file(path)
    if found != digest:
        raise DigestError(
            f"{path} has digest {found}, expected {digest}.",
            remedy="Restore it from a backup, or make the file again.",
        )
