"""Finds the files that hold each split's rows."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from wherry.contracts.errors import MissingError, SettingsError
from wherry.ingest.settings import ALL, IngestSettings, is_glob
from wherry.ingest.step import Fetched

_SHOWN: Final = 8
"""File names that an error lists."""


@dataclass(frozen=True)
class Origin:
    """A file of rows."""

    split: str
    """Or ``all``, if its rows are still to be divided."""
    file: Fetched


def origins(files: Iterable[Fetched], settings: IngestSettings) -> list[Origin]:
    """Finds the files that settings name.

    Args:
        files: what was fetched.
        settings: which split is in which files.

    Returns:
        The files of train, eval and test, each in the order of their names.

    Raises:
        MissingError: naming the file or glob that is not there, and what is.
        SettingsError: if one file would be read for two splits.
    """
    there = {file.path: file for file in files}
    found = [
        Origin(split, there[name])
        for split, pattern in settings.patterns.items()
        for name in _matching(pattern, there, settings)
    ]
    names = [origin.file.path for origin in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        splits = " and ".join(origin.split for origin in found if origin.file.path == twice[0])
        raise SettingsError(
            f"{twice[0]} would be read for {splits}.",
            remedy="Correct `files` in the settings of ingest: a file belongs to one split.",
        )
    return found


def needed(names: Collection[str], settings: IngestSettings) -> frozenset[str]:
    """Finds the files that must be fetched: those with rows, and the tokenizers of cleaning steps.

    Where the data may be kept as it is, that is all of them.

    Args:
        names: of all files that there are.
        settings: which split is in which files.

    Raises:
        MissingError: as `origins`, and before anything is fetched.
    """
    patterns = settings.patterns.values()
    rows = {name for pattern in patterns for name in _matching(pattern, names, settings)}
    return frozenset(names if settings.verbatim else rows | (settings.tokenizers & set(names)))


def _matching(pattern: str, there: Collection[str], settings: IngestSettings) -> list[str]:
    if pattern in there:
        return [pattern]
    names = [name for name in sorted(there) if fnmatchcase(name, pattern)]
    if names and is_glob(pattern):
        return names
    wanted = ", ".join(settings.splits)
    told = f"one file for each of {wanted}" if ALL not in settings.patterns else "it for `all`"
    shown = ", ".join(sorted(there)[:_SHOWN])
    raise MissingError(
        f"The data has no {pattern}, expected {told}; it has {shown or 'nothing'}.",
        remedy="Add the file, or correct `folder`, `files` and `splits` in the settings of ingest.",
    )
