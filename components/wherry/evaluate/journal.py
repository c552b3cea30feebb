"""Keeps predictions as they come, so that a killed evaluation goes on where it was."""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from wherry.contracts import Digest
from wherry.evaluate.predictions import Prediction, lines_of

_KEEPS_NOTHING: Final = (
    *(errno.EACCES, errno.EROFS, errno.EAGAIN),
    *(errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
)
"""A pod's file system may be read-only, or a share or a mounted bucket that knows no locks; and
another process may ask the same: two writers in one file may not."""


class Journal(Protocol):
    """Where predictions are kept before all of them are there."""

    @property
    def kept(self) -> Sequence[Prediction]:
        """Those of an earlier, killed run of the very same evaluation, in its order."""

    def keep(self, made: Sequence[Prediction]) -> None:
        """Makes more of them durable."""

    def cut(self, rows: int) -> None:
        """Forgets all but the first `rows`."""

    def clear(self) -> None:
        """Forgets all of them: they are published."""


class NoJournal:
    """Keeps nothing: for library use, and beside another process that answers the same."""

    kept: Sequence[Prediction] = ()

    def keep(self, made: Sequence[Prediction]) -> None:
        """Does nothing."""

    def cut(self, rows: int) -> None:
        """Does nothing."""

    def clear(self) -> None:
        """Does nothing."""


class FileJournal:
    """Predictions as JSON Lines in a file of this evaluation's own; see `open_journal`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = list(_whole_lines(path))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._truncate()

    @property
    def kept(self) -> Sequence[Prediction]:
        """What an earlier run made."""
        return [made for made, _ in self._lines]

    def keep(self, made: Sequence[Prediction]) -> None:
        """Appends, and waits until the disk has it."""
        data = lines_of(made)
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    def cut(self, rows: int) -> None:
        """Forgets all but the first `rows` of what an earlier run made."""
        del self._lines[rows:]
        self._truncate()

    def clear(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets go of the file; what it has stays."""
        os.close(self._file)

    def _truncate(self) -> None:
        end = self._lines[-1][1] if self._lines else 0
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)


@contextmanager
def open_journal(folder: Path, evaluation: Digest) -> Iterator[Journal]:
    """Gives the journal of an evaluation.

    Args:
        folder: where journals lie.
        evaluation: of all that its answers follow from; another evaluation never goes on
            from it.
    """
    path = folder / f"{evaluation.removeprefix('sha256:')[:32]}.jsonl"
    with ExitStack() as opened:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = opened.enter_context(path.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _KEEPS_NOTHING:
                raise
            yield NoJournal()
            return
        journal = FileJournal(path)
        opened.callback(journal.close)
        yield journal


def _whole_lines(path: Path) -> Iterator[tuple[Prediction, int]]:
    """Gives the predictions up to the first line that a kill tore, each with where it ends."""
    if not path.exists():
        return
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            made = msgspec.json.decode(line, type=Prediction)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if not line.endswith(b"\n"):
            return
        end += len(line)
        yield made, end
