"""Gives room for what is made on the way, and takes back what killed runs left of it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = ".rungs."


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Gives a folder beside what is made, on the same disk: files are moved, not copied.

    Those of runs that were killed, with whole unquantized models in them, are removed first.
    """
    with ExitStack() as held:
        with _locked(parent, wait=True):  # nobody sweeps a folder that is not locked yet
            _sweep(parent)
            folder = held.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix=_PREFIX))
            held.enter_context(_locked(Path(folder)))
        yield Path(folder)


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{_PREFIX}*"):
        # One that has just been removed by its own run is no fault.
        with suppress(OSError), _locked(left) as is_free:
            if is_free:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Holds a folder's lock, which the system drops however the process ends; False if not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _took(handle, wait)
    finally:
        os.close(handle)


def _took(handle: int, wait: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # it is another's, or a network file system has no locks
        return False
    return True
