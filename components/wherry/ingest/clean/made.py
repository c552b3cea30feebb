"""What both ways of making a data set come to: its files, counted and hashed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.contracts import Cleaned, Digest, FileEntry, Split, digest_file
from wherry.contracts.dataset import QUARANTINE_NAME
from wherry.contracts.errors import DataError


@dataclass(frozen=True)
class Made:
    """What a data set's folder holds."""

    splits: tuple[Split, ...]
    labels: tuple[str, ...]
    """Of train, sorted."""
    files: tuple[FileEntry, ...]
    """Every data file, the quarantine among them."""
    set_aside: int = 0
    cleaned: tuple[Cleaned, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a split without rows: what is trained or judged on nothing looks fine.

        Raises:
            DataError: naming the split, and what left its rows out.
        """
        if empty := [split.name for split in self.splits if not split.rows]:
            why = _why(self.set_aside, self.cleaned)
            raise DataError(
                f"The data set has no row in {', '.join(empty)}{why}.",
                remedy="Add rows, or correct `files`, `clean`, `split` and `splits` in the "
                "settings of ingest.",
            )


def entry(folder: Path, name: str, digest: Digest = "") -> FileEntry:
    """Describes a file of a folder.

    Args:
        folder: the data set's.
        name: relative to it.
        digest: if it is known already; else the file is read.
    """
    path = folder / name
    return FileEntry(name, path.stat().st_size, digest or digest_file(path))


def with_quarantine(folder: Path, files: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """Adds the file of the rows that were set aside, if there are any; sorted by path."""
    aside = [entry(folder, QUARANTINE_NAME)] if (folder / QUARANTINE_NAME).exists() else []
    return tuple(sorted((*files, *aside), key=lambda file: file.path))


def _why(set_aside: int, cleaned: Sequence[Cleaned]) -> str:
    told = [f"{one.step} left out {one.dropped:,}" for one in cleaned if one.dropped]
    told += [f"{set_aside:,} could not be read"] if set_aside else []
    return f"; of all rows, {', '.join(told)}" if told else ""
