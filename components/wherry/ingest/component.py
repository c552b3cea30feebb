"""Ingest as a KFP component."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from wherry.images import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def ingest(
    dataset: Output[Dataset],
    repo: str,
    revision: str = "",
    checksum: str = "",
    settings: str = "",
) -> None:
    """Takes one pinned version of data, re-hashes every file of it and cleans its rows.

    Args:
        dataset: a file a split with ``dataset.json`` and a manifest.
        repo: a checkout's folder, or the address of a repository, bucket or data set.
        revision: a branch, tag or commit; empty for the working tree.
        checksum: the content hash that the data must have, or empty.
        settings: `wherry.ingest.settings.IngestSettings` as JSON.
    """
    from pathlib import Path

    from wherry.ingest.run import run

    run(Path(dataset.path), repo, revision, checksum, settings)
