"""Keeps artifacts in a folder: stage, fsync, rename."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from wherry.contracts import Digest, digest_file
from wherry.contracts.errors import DigestError, MissingError
from wherry.contracts.files import staged_file, sync_folder
from wherry.ledger.shelves.stored import RESTORE, Stored, check_digest


class FolderShelf:
    """A folder of this machine, or of one that is mounted here.

    Args:
        root: made when the first file is put there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, key: str) -> Path:
        """Gives where a file lies, or would lie."""
        return self._root / key

    def put(self, source: Path, key: str, digest: Digest) -> int:
        """Copies a file to its key; one that is there whole already is kept.

        Returns:
            Its size in bytes.

        Raises:
            DigestError: if the source's bytes have another digest. Nothing is kept then.
        """
        path = self.path(key)
        if path.is_file() and digest_file(path) == digest:
            # It is wanted again, so it is young again. In vain if another user owns it.
            with suppress(OSError):
                os.utime(path)
        else:
            with staged_file(path) as staged:
                shutil.copyfile(source, staged)
                check_digest(digest_file(staged), digest, str(source))
            path.chmod(0o444)
            self._sync_parents(path)
        return path.stat().st_size

    def verified(self, key: str, digest: Digest, size: int) -> Path:
        """Gives the path of a file after re-hashing it.

        Raises:
            MissingError: if it is not there.
            DigestError: if its size or its bytes changed.
        """
        path = self.path(key)
        if self.size(key) != size:
            raise DigestError(
                f"{path} has {path.stat().st_size} bytes, expected {size}.", remedy=RESTORE
            )
        check_digest(digest_file(path), digest, str(path))
        return path

    def size(self, key: str) -> int:
        """Gives a file's size in bytes.

        Raises:
            MissingError: if it is not there.
        """
        path = self.path(key)
        if not path.is_file():
            raise MissingError(f"{path} is not in the artifact store.", remedy=RESTORE)
        return path.stat().st_size

    def mark(self, key: str) -> None:
        """Leaves an empty file."""
        path = self.path(key)
        if not path.exists():
            with staged_file(path):
                pass
            self._sync_parents(path)

    def stored(self) -> Iterator[Stored]:
        """Yields every file, also those that were not finished."""
        for folder, _, names in os.walk(self._root):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # finished or removed meanwhile
                    found = path.stat()
                    yield Stored(
                        key=path.relative_to(self._root).as_posix(),
                        size=found.st_size,
                        modified=datetime.fromtimestamp(found.st_mtime, UTC),
                    )

    def remove(self, key: str) -> None:
        """Removes a file, and its folders if nothing else is in them."""
        path = self.path(key)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def _sync_parents(self, path: Path) -> None:
        # A new folder's name is durable only once its parent is synced, up to the root's own.
        for folder in path.parent.parents:
            sync_folder(folder)
            if folder == self._root.parent:
                break
