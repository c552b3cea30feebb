"""Keeps what a killed run goes on from: whole checkpoints of the same run, nothing else."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from wherry.contracts import Digest, Manifest
from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import DivergedError, WherryError
from wherry.contracts.files import staged_folder
from wherry.contracts.record import Record
from wherry.tune.step import Checkpoints, Learner, NoCheckpoints, Progress

_PROGRESS: Final = "progress.json"
_STEP: Final = "step-"
_KEPT: Final = 2
"""Checkpoints kept: the last, and the one before in case the disk lost bytes of it."""


@dataclass(frozen=True)
class Saved(Record):
    """A `Progress` on disk, with the run that it belongs to."""

    run: Digest
    """Of settings, data and base model: another run never goes on from it."""
    step: int
    tokens: int
    seconds: float
    learning: float
    points: tuple[CurvePoint, ...]
    recent: tuple[tuple[float, int], ...]
    first: tuple[float, ...]
    last: tuple[float, ...]
    best: float | None
    best_step: int
    waited: int
    schema: Literal["wherry.checkpoint/1"] = "wherry.checkpoint/1"

    @classmethod
    def of(cls, progress: Progress, run: Digest) -> "Saved":
        """Puts a progress in the form that is stored."""
        return cls(run=run, **vars(progress))

    @property
    def progress(self) -> Progress:
        """The progress itself."""
        fields = {name: value for name, value in vars(self).items() if name not in _OURS}
        return Progress(**fields)


_OURS: Final = frozenset({"run", "schema"})


class Mirror(Protocol):
    """A place that outlives this machine, such as a bucket."""

    def pull(self, folder: Path) -> None:
        """Fetches the whole checkpoints that are there into a folder."""

    def push(self, checkpoint: Path) -> None:
        """Copies one checkpoint there, its manifest last; removes those before the last two."""

    def clear(self) -> None:
        """Removes all of them."""


class FolderCheckpoints:
    """Checkpoints in a folder, each sealed; see `open_checkpoints`.

    Args:
        folder: for this run alone.
        run: the run's identity.
        mirror: where copies go, or None.
        wanted_back: whether the machine is, by now; asked after every step.
    """

    def __init__(
        self,
        folder: Path,
        run: Digest,
        mirror: Mirror | None = None,
        wanted_back: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder = folder
        self._run = run
        self._mirror = mirror
        self._wanted_back = wanted_back
        self.taken: Path | None = None
        """The checkpoint that the run went on from."""

    def resume(self, learner: Learner) -> Progress | None:
        """Brings the learner to the last whole checkpoint of the same run, if there is one."""
        if self._mirror and not self._steps():
            self._mirror.pull(self._folder)
        for step in self._steps():
            if (found := self._opened(step)) is not None:
                learner.load_state(step)
                self.taken = step
                return found
        return None

    def save(self, progress: Progress, learner: Learner) -> None:
        """Keeps a checkpoint, whole or not at all; drops those before the last two."""
        place = self._folder / f"{_STEP}{progress.step:08}"
        with staged_folder(place) as staged:
            learner.save_state(staged)
            Saved.of(progress, self._run).write(staged / _PROGRESS)
            Manifest.seal(staged)
        for old in self._steps()[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        if self._mirror:
            self._mirror.push(place)

    def leaving(self) -> bool:
        """Whether the machine is wanted back."""
        return self._wanted_back()

    def clear(self) -> None:
        """Removes them all: the run is done."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._mirror:
            self._mirror.clear()

    def _steps(self) -> list[Path]:
        return sorted(self._folder.glob(f"{_STEP}*"), reverse=True)

    def _opened(self, step: Path) -> Progress | None:
        try:
            Manifest.verified(step)
            saved = Saved.read(step / _PROGRESS)
        except (WherryError, OSError):
            return None  # half of it was lost: the one before will do
        return saved.progress if saved.run == self._run else None


@contextmanager
def open_checkpoints(
    folder: Path,
    run: Digest,
    mirror: Mirror | None = None,
    wanted_back: Callable[[], bool] = lambda: False,
) -> Iterator[Checkpoints]:
    """Gives a run's checkpoints, and removes them when the block ends well, or has diverged.

    The same run would diverge again from them, and one with another recipe is another run.
    A second run of the same identity on this machine at the same time goes without: two
    would tread on each other's files.

    Args:
        folder: where the checkpoints of all runs lie.
        run: this run's identity.
        mirror: where copies go, or None.
        wanted_back: whether the machine is, by now; asked after every step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = run.removeprefix("sha256:")[:16]
    with (folder / f"{name}.lock").open("w") as lock:
        if not _locked(lock.fileno()):
            yield NoCheckpoints()
            return
        own = FolderCheckpoints(folder / name, run, mirror, wanted_back)
        try:
            yield own
        except DivergedError:
            with suppress(WherryError):  # why it diverged is what a person should read
                _done(own, Path(lock.name))
            raise
        _done(own, Path(lock.name))


def _done(own: FolderCheckpoints, lock: Path) -> None:
    own.clear()
    lock.unlink(missing_ok=True)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(handle).st_nlink > 0  # not one that its owner removed meanwhile
