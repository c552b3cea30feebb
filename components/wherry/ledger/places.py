"""Finds where checkpoints are kept: folders, buckets, git repositories; none is overwritten there.

``WHERRY_CHECKPOINTS`` names one or several, parted by commas::

    WHERRY_CHECKPOINTS=/mnt/worm/checkpoints
    WHERRY_CHECKPOINTS=s3://audit-trail/icd10,git:/srv/checkpoints
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

from wherry.contracts.errors import ExtraMissingError, FileAccessError, SettingsError
from wherry.contracts.files import sync_folder
from wherry.ledger.checkpoints import SUFFIX, size_of
from wherry.ledger.redaction import redact_text

CHECKPOINTS_VARIABLE: Final = "WHERRY_CHECKPOINTS"
FOLDER_NAME: Final = "checkpoints"
BUCKETS: Final = ("s3", "gs")
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    # Seconds for an object of a kilobyte; s3fs asks five times, botocore need not ask again.
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 15,
            "retries": {"mode": "standard", "total_max_attempts": 1},
        }
    },
    "gs": {"requests_timeout": 15},
}
_GIT: Final = "git:"
# Who commits says nothing here, and nobody is there to type a passphrase: the checkpoint is signed.
_COMMITTER: Final = (
    *("-c", "user.name=wherry"),
    *("-c", "user.email=wherry@localhost"),
    *("-c", "commit.gpgSign=false"),
)
_GIT_TIMEOUT: Final = 120
"""Seconds for a commit of one small file, and for hooks that push it."""


class Place(Protocol):
    """Somewhere that checkpoints are kept."""

    def names(self) -> list[str]:
        """Gives the names of the checkpoints, in the order of the log."""

    def read(self, name: str) -> bytes:
        """Gives one of them."""

    def put(self, name: str, envelope: bytes) -> None:
        """Keeps one; one that is there under its name stays as it is."""


def places(state: Path) -> list[Place]:
    """Gives the places that ``WHERRY_CHECKPOINTS`` names, or the state's own folder.

    The state's own folder lies beside the store: whoever can write the one can write the other.

    Raises:
        SettingsError: if one of them is no folder, bucket or git repository, or if what is set
            names none: checkpoints would be signed and kept nowhere.
    """
    named = os.environ.get(CHECKPOINTS_VARIABLE, "")
    if not named.strip():
        return [Folder(state / FOLDER_NAME)]
    if found := [_place(part.strip()) for part in named.split(",") if part.strip()]:
        return found
    raise SettingsError(
        f"{CHECKPOINTS_VARIABLE} is {named!r}, which names no place.",
        remedy=f"Name one in {CHECKPOINTS_VARIABLE}, or unset it.",
    )


def _place(text: str) -> Place:
    if text.startswith(_GIT):
        return GitFolder(Path(text.removeprefix(_GIT)))
    scheme, parted, _ = text.partition("://")
    if parted and scheme in BUCKETS:
        return Bucket(text)
    if parted:
        raise SettingsError(
            f"{CHECKPOINTS_VARIABLE} names a {scheme!r} address, expected a folder, s3://, gs:// "
            "or git:FOLDER.",
            remedy=f"Correct {CHECKPOINTS_VARIABLE}.",
        )
    return Folder(Path(text.removeprefix("file:")))


class Folder:
    """A folder of this machine, or of one that is mounted here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Gives the names of the checkpoints, in the order of the log."""
        try:
            # Not by glob: it takes a folder that may not be read for an empty one.
            names = sorted(path.name for path in self.folder.iterdir())
        except FileNotFoundError:
            return []
        return [name for name in names if name.endswith(SUFFIX)]

    def read(self, name: str) -> bytes:
        """Gives one of them."""
        return (self.folder / name).read_bytes()

    def put(self, name: str, envelope: bytes) -> None:
        """Keeps one; one that is there under its name stays as it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, staged = tempfile.mkstemp(dir=self.folder, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(envelope)
                file.flush()
                os.fsync(file.fileno())
            Path(staged).chmod(0o444)
            # A link, not a rename: it never takes the place of what is there.
            os.link(staged, self.folder / name)
        except FileExistsError:
            return
        finally:
            with suppress(OSError):  # a write-once mount keeps it, too; nobody reads it there
                Path(staged).unlink()
        sync_folder(self.folder)


class Bucket:
    """A bucket, best with object lock: its owner then cannot take a checkpoint away either.

    Args:
        address: such as ``s3://audit-trail/icd10``.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def names(self) -> list[str]:
        """Gives the names of the checkpoints, in the order of the log."""
        with self._opened() as (files, root):
            try:
                found = files.ls(root, detail=False)
            except FileNotFoundError:
                # A prefix without an object is a place to begin in. A bucket that is not there
                # is not the one that holds the checkpoints: to list it raises.
                with suppress(PermissionError):  # who may list the prefix alone may use it
                    files.ls(root.partition("/")[0], detail=False)
                return []
            return sorted(Path(path).name for path in found if path.endswith(SUFFIX))

    def read(self, name: str) -> bytes:
        """Gives one of them."""
        with self._opened() as (files, root):
            data: bytes = files.cat_file(f"{root}/{name}")
            return data

    def put(self, name: str, envelope: bytes) -> None:
        """Keeps one; one that is there under its name stays as it is."""
        with self._opened() as (files, root):
            try:
                # A conditional put: If-None-Match on S3, ifGenerationMatch=0 on Google's.
                files.pipe_file(f"{root}/{name}", envelope, mode="create")
            except OSError:
                # Servers tell in many ways that something is there.
                if not files.exists(f"{root}/{name}"):
                    raise

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        try:
            yield self._files, self.address.partition("://")[2]
        except ImportError as error:
            raise ExtraMissingError(
                f"{self.address} needs a client that is not installed: {error.name}.",
                remedy=f'Run: pip install "wherry[{self.address.partition(":")[0]}]"',
            ) from error
        except Exception as error:
            # The clients of the clouds share no base class.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise FileAccessError(
                f"{self.address} cannot be read or written: {redact_text(reason):.300}.",
                remedy=f"Check {CHECKPOINTS_VARIABLE}, the network, and that the credentials of "
                "this process may get, put and list there.",
            ) from error

    @cached_property
    def _files(self) -> Any:
        import fsspec

        scheme = self.address.partition(":")[0]
        # Neither an old listing nor another's session: what is there now is what counts.
        return fsspec.filesystem(
            scheme,
            use_listings_cache=False,
            skip_instance_cache=True,
            **_OPTIONS.get(scheme, {}),
        )


class GitFolder:
    """A folder in the working tree of a git repository: each checkpoint is a commit."""

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)

    def names(self) -> list[str]:
        """Gives the names of the checkpoints, in the order of the log."""
        return self._folder.names()

    def read(self, name: str) -> bytes:
        """Gives one of them."""
        return self._folder.read(name)

    def put(self, name: str, envelope: bytes) -> None:
        """Keeps one and commits it; nothing else of the working tree goes along."""
        self._folder.put(name, envelope)
        if self._git("ls-tree", "--name-only", "HEAD", "--", name):
            return
        self._git("add", "--force", "--", name)
        message = f"Checkpoint of the audit log at {size_of(name)} rows"
        self._git("commit", "--quiet", "--no-verify", "-m", message, "--only", "--", name)

    def _git(self, *arguments: str) -> str:
        git = shutil.which("git")
        if not git:
            raise ExtraMissingError("git is not installed.", remedy="Install git.")
        code, out, told = self._done(git, "-C", str(self._folder.folder), *_COMMITTER, *arguments)
        if code and arguments[0] != "ls-tree":
            raise FileAccessError(
                f"git {arguments[0]} failed in {self._folder.folder}: {told.strip()[-300:]}",
                remedy="Make it a git repository (git init) that this user may commit to.",
            )
        return out.strip()

    def _done(self, *command: str) -> tuple[int, str, str]:
        # A session of its own: nothing in it can ask at the terminal, and all of it can be ended.
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, told = process.communicate(timeout=_GIT_TIMEOUT)
            except subprocess.TimeoutExpired as error:
                os.killpg(process.pid, signal.SIGKILL)
                raise FileAccessError(
                    f"git did not end within {_GIT_TIMEOUT} s in {self._folder.folder}.",
                    remedy="Find out what it waits for there, such as a hook or a lock.",
                ) from error
        return process.returncode, out, told
