"""Publishes files and folders whole or not at all: stage, fsync, rename."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to `path`; a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(staged).chmod(0o644)  # mkstemp's 0600 would hide it from another user's pod
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def staged_folder(destination: Path) -> Iterator[Path]:
    """Gives an empty folder that becomes `destination` when the block ends well.

    What stood at `destination` is replaced. On an error nothing remains of the
    staged folder and the destination is as it was.

    Example::

        with staged_folder(out) as folder:
            (folder / "model.safetensors").write_bytes(weights)
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}."))
    try:
        yield staged
        _sync_tree(staged)
        staged.chmod(0o755)
        _replace_folder(staged, destination)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def staged_file(destination: Path) -> Iterator[Path]:
    """Gives a path to write to that becomes `destination` when the block ends well."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name}.")
    os.close(handle)
    staged = Path(name)
    try:
        yield staged
        sync_file(staged)
        staged.chmod(0o644)
        staged.replace(destination)
        sync_folder(destination.parent)
    finally:
        staged.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace_folder(staged: Path, destination: Path) -> None:
    if destination.exists():
        # rename(2) replaces only an empty folder: move the old one out of the way first.
        old = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.old."))
        destination.replace(old)
        staged.replace(destination)
        shutil.rmtree(old, ignore_errors=True)
    else:
        staged.replace(destination)
    sync_folder(destination.parent)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(root, name))
        sync_folder(Path(root))


def sync_file(path: Path) -> None:
    """Makes the bytes of a file durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
