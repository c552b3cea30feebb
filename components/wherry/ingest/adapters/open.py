"""Chooses the adapter by the address; its library is imported only then."""

from contextlib import AbstractContextManager
from importlib import import_module
from typing import Final, cast

from wherry.contracts.errors import ExtraMissingError
from wherry.ingest.addresses import kind_of
from wherry.ingest.step import Store

_MODULES: Final = {
    "dvc": ("dvc", "ingest"),
    "hf": ("hub", "hf"),
    "s3": ("s3", "s3"),
    "gs": ("gs", "gs"),
    "file": ("folder", "ingest"),
}
"""By kind of address: the module of the adapter and the extra that its library comes with."""


def open_store(repo: str, revision: str = "", path: str = "") -> AbstractContextManager[Store]:
    """Opens one version of data for as long as the block lasts.

    Args:
        repo: an address as `wherry.ingest.addresses.kind_of` lists them.
        revision: a branch, tag or commit of a git repository or a hub's; empty for the working
            tree or the default branch, and for buckets and folders, which have none.
        path: the DVC output, ``data`` if empty; elsewhere the folder or file that is taken,
            empty for all.

    Raises:
        UriError: on an address of another form, or a revision where there is none.
        ExtraMissingError: with the pip line, if the library of this source is not installed.
        MissingError: if there is no such source, revision or path.
        FileAccessError: if the source refuses this user.
    """
    kind = kind_of(repo)
    module, extra = _MODULES[kind]
    path = path or ("data" if kind == "dvc" else "")
    try:
        adapter = import_module(f"wherry.ingest.adapters.{module}")
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Reading {kind} data needs {error.name}, which is not installed.",
            remedy=f'Run: pip install "wherry[{extra}]"',
        ) from error
    return cast(AbstractContextManager[Store], adapter.open_store(repo, revision, path))
