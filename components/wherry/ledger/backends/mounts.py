"""Finds out on which file system a path lies."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK: Final = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "pvfs2",
        "smb3",
        "smbfs",
        "virtiofs",
    ]
)
_LOCAL_FUSE: Final = frozenset(("fuse.fuse-overlayfs", "fuseblk"))
"""A container's own layers, and a disk of this machine."""


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str:
    """Gives the type of the network file system that a path lies on; empty for a local one.

    Whatever is mounted by FUSE counts as one, for nothing says whether its locks hold.

    Args:
        path: need not be there yet.
        mounts: the kernel's list; where there is none, every path counts as local.
    """
    kind = file_system(path, mounts)
    fuse = kind.startswith("fuse") and kind not in _LOCAL_FUSE
    return kind if fuse or kind in _NETWORK else ""


def file_system(path: Path, mounts: Path = MOUNTS) -> str:
    """Gives the type of the file system that a path lies on; empty if that cannot be told."""
    found, depth = "", -1
    real = path.resolve()
    for point, kind in _mounted(mounts):
        # Of two mounts on one folder the later one hides the other.
        if real.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def _mounted(mounts: Path) -> Iterator[tuple[Path, str]]:
    """Yields mount points and types: see proc_pid_mountinfo(5)."""
    if not mounts.is_file():
        return
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        mount, _, source = line.partition(" - ")
        yield Path(_unescaped(mount.split(" ")[4])), source.split(" ")[0]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)
