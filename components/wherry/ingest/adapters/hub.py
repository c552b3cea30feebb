"""Reads a data set of the Hugging Face Hub at one commit."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import BinaryIO, Final, TypeVar, cast

from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from wherry.contracts import Source
from wherry.contracts.errors import FileAccessError, MissingError, UriError, WherryError
from wherry.ingest.addresses import below, redacted
from wherry.ingest.faults import is_denied, shown
from wherry.ingest.patience import Patience
from wherry.ingest.step import TrackedFile, listing_digest

T = TypeVar("T")

_PLUMBING: Final = frozenset({".gitattributes"})
"""Files that git needs and data does not."""


@contextmanager
def open_store(repo: str, revision: str, path: str) -> Iterator["HubStore"]:
    """Opens a data set of the hub for as long as the block lasts.

    ``HF_TOKEN`` and ``HF_ENDPOINT`` come from the environment.

    Args:
        repo: ``hf://datasets/ORG/NAME``, perhaps with ``@REVISION``.
        revision: a branch, tag or commit, if the address names none; empty for the default branch.
        path: the folder or file in it; empty for all.

    Raises:
        UriError: if address and argument name two revisions.
        MissingError: if there is no such data set or revision.
    """
    address, _, named = repo.partition("@")
    if named and revision and named != revision:
        raise UriError(
            f"{repo} and the revision {revision!r} disagree.", remedy="Name the revision once."
        )
    asked = Source(address, named or revision, below("", path), "")
    endpoint = os.environ.get("HF_ENDPOINT")  # the library reads it once, when it is imported
    yield HubStore(HfApi(endpoint=endpoint), HfFileSystem(endpoint=endpoint), asked)


class HubStore:
    """The files of one commit of a data set. Make it with `open_store`.

    Args:
        api: lists.
        fs: opens.
        asked: the address, the revision and the path in it.
    """

    def __init__(self, api: HfApi, fs: HfFileSystem, asked: Source) -> None:
        self._api = api
        self._fs = fs
        self._asked = asked
        self._name = asked.uri.removeprefix("hf://datasets/")
        self._prefix = ""
        """What the paths of the listing begin with; set by it."""

    def resolve(self) -> Source:
        """Gives the commit; the checksum is that of its listing.

        Raises:
            MissingError: if there is no such data set, revision or path.
            FileAccessError: if the hub refuses this user.
        """
        checksum = listing_digest(self._listing)
        return Source(self._asked.uri, self._commit, self._asked.path, checksum)

    def files(self) -> Sequence[TrackedFile]:
        """Lists the commit's files: by SHA-256 those that lie in LFS or Xet, others as git does."""
        return self._listing

    def expected(self, file: TrackedFile) -> str:
        """Gives the listed hash."""
        return file.hash

    def open(self, file: TrackedFile) -> BinaryIO:
        """Opens the file at the resolved commit, as a stream."""
        place = f"datasets/{self._name}@{self._commit}/{self._prefix}{file.path}"
        return cast(BinaryIO, self._fs.open(place, "rb", block_size=0))

    def explain(self, error: Exception, file: TrackedFile) -> WherryError:
        """Says what went wrong in the words of this stage."""
        return self._not_given(f"{self._prefix}{file.path}", error)

    @cached_property
    def _commit(self) -> str:
        revision = self._asked.revision or None
        info = self._asking(lambda: self._api.dataset_info(self._name, revision=revision))
        if not info.sha:
            raise MissingError(
                f"The hub names no commit of {self._asked.uri}.", remedy="Name a revision."
            )
        return info.sha

    @cached_property
    def _listing(self) -> list[TrackedFile]:
        path, commit = self._asked.path, self._commit
        found = self._asking(lambda: self._below(path, commit))
        if not found:  # the path is a file, or nothing: the hub then gives an empty folder or 404
            found = self._asking(lambda: self._below(path.rpartition("/")[0], commit))
            found = [file for file in found if file.path == path]
        if not found:
            raise MissingError(
                f"There is no file at {path!r} in {self._asked.uri} at {commit}.",
                remedy="Correct `path`, or name another revision.",
            )
        self._prefix = f"{path}/" if found[0].path != path else path[: path.rfind("/") + 1]
        self._prefix = self._prefix.lstrip("/")
        return sorted(
            (self._tracked(file) for file in found if file.path not in _PLUMBING),
            key=lambda file: file.path,
        )

    def _below(self, path: str, commit: str) -> list[RepoFile]:
        try:
            entries = self._api.list_repo_tree(
                self._name, path or None, recursive=True, revision=commit, repo_type="dataset"
            )
            return [entry for entry in entries if isinstance(entry, RepoFile)]
        except EntryNotFoundError:
            return []

    def _tracked(self, file: RepoFile) -> TrackedFile:
        known = f"sha256:{file.lfs.sha256}" if file.lfs else f"git:{file.blob_id}"
        return TrackedFile(file.path.removeprefix(self._prefix), known, file.size)

    def _asking(self, work: Callable[[], T]) -> T:
        try:
            return Patience()(work)
        except Exception as error:  # the library passes on its HTTP client's own
            raise self._not_given("an answer", error) from shown(error)

    def _not_given(self, what: str, error: Exception) -> WherryError:
        where = f"{self._asked.uri}{'@' if self._asked.revision else ''}{self._asked.revision}"
        reason = redacted(str(error)).strip().partition("\n")[0].rstrip(".")
        if isinstance(error, GatedRepoError) or is_denied(error):
            return FileAccessError(
                f"The hub refuses {what} of {where}: {reason}.",
                remedy="Set HF_TOKEN to a token that may read it; accept a gated data set's terms.",
            )
        if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError):
            reason = "there is no such data set or revision, or HF_TOKEN may not see it"
        return MissingError(
            f"The hub does not give {what} of {where}: {reason}.",
            remedy="Check the name, the revision, HF_TOKEN, HF_ENDPOINT and the network.",
        )
