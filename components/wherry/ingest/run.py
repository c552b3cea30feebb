"""Wires ingest: a pinned version of data in, a sealed data set out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wherry.contracts import Manifest, Source, read_settings
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import ExtraMissingError
from wherry.contracts.files import staged_folder
from wherry.ingest.settings import IngestSettings
from wherry.ingest.step import Store, ingest, repository
from wherry.progress import stage


def run(
    dataset: Path, repo: str, revision: str = "", checksum: str = "", settings: str = ""
) -> None:
    """Takes one pinned version of data and re-hashes every file of it.

    Args:
        dataset: the folder to write: the data files, ``dataset.json`` and a manifest.
        repo: a checkout's folder, or the ``https://`` or ``ssh://`` address of a repository.
        revision: a branch, tag or commit; empty for the working tree.
        checksum: the content hash that the data must have, such as ``md5:….dir``;
            empty to take what the revision pins.
        settings: `IngestSettings` as JSON.
    """
    with stage("ingest") as report:
        chosen = read_settings(IngestSettings, settings)
        with _store(repo, revision, chosen.path) as store, staged_folder(dataset) as folder:
            made = ingest(store, folder, chosen, checksum, report)
            made.write(folder / DATASET_NAME)
            Manifest.seal(folder)
        rows = ", ".join(f"{split.rows:,} {split.name}" for split in made.splits)
        report.verdict(f"{rows} rows, every file re-hashed")


def resolve(repo: str, revision: str = "", path: str = "data") -> Source:
    """Gives the exact version of data that a run would take, without fetching it.

    Hand its checksum to `run`: a pipeline's cache key then follows the data, and a
    change between the two calls is refused.

    Example::

        source = resolve(".")
        run(Path("dataset"), ".", checksum=source.checksum)

    Args:
        repo: as in `run`.
        revision: as in `run`.
        path: the DVC output, relative to the repository's root.

    Raises:
        MissingError: if there is no such repository, revision or output.
        ConflictError: if the working copy differs from what is pinned.
    """
    with _store(repo, revision, path) as store:
        return store.resolve()


@contextmanager
def _store(repo: str, revision: str, path: str) -> Iterator[Store]:
    try:
        from wherry.ingest.adapters.dvc import open_store  # dvc is heavy: only when it is used
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Reading versioned data needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[ingest]"',
        ) from error
    with open_store(repository(repo), revision, path) as store:
        yield store
