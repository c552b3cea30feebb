"""Reads a pinned version of data with DVC: from its store alone, privately and without locks."""

from collections.abc import Iterator
from contextlib import contextmanager

from wherry.contracts import Source
from wherry.ingest.adapters.dvc.repository import opened
from wherry.ingest.adapters.dvc.store import DvcStore
from wherry.ingest.addresses import redacted


@contextmanager
def open_store(repo: str, revision: str, path: str) -> Iterator[DvcStore]:
    """Opens one version of a DVC output for as long as the block lasts.

    A local checkout is read in place, an address or a bare repository through a private clone.
    Everything that DVC keeps lies in a folder of its own, so that tasks side by side never meet
    on a lock. Objects come from the store alone, never from this machine's cache: what a run was
    made from can be had again elsewhere.

    The store's credentials come from the environment (``AWS_*``,
    ``GOOGLE_APPLICATION_CREDENTIALS``), as its own client reads them; those of an https
    repository and of an HTTP store from ``~/.netrc``, or the file that ``NETRC`` names, and a
    private authority's certificate from ``SSL_CERT_FILE``.

    Args:
        repo: a folder inside a checkout, a bare repository, or the address of a git repository.
        revision: a branch, tag or commit; empty for the working tree, or for the
            default branch of an address.
        path: the DVC output, a folder or a file, relative to the repository's root.

    Raises:
        UriError: on an address of another scheme.
        MissingError: if there is no such repository or revision.
    """
    with opened(repo, revision) as (fs, commit):
        yield DvcStore(fs, Source(f"dvc:{redacted(repo)}", commit, path.strip("/"), ""))
