"""Wires ingest: a pinned version of data in, a sealed data set out."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.contracts import Dataset, FileEntry, Manifest, Source, parse_uri, read_settings
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.digest import MANIFEST_NAME, digest_record, refuse_foreign
from wherry.contracts.errors import ExtraMissingError, MissingError
from wherry.contracts.files import staged_folder, sync_file
from wherry.ingest.adapters.open import open_store
from wherry.ingest.clean.files import needed
from wherry.ingest.clean.verbatim import checked
from wherry.ingest.settings import IngestSettings
from wherry.ingest.step import Fetched, Store, materialise
from wherry.ledger.stages import recorded
from wherry.progress import Report, stage
from wherry.workspace import workspace

if TYPE_CHECKING:
    from wherry.ingest.clean.lengths import Measure
    from wherry.ingest.clean.made import Made


@recorded("ingest", outputs=("dataset",))
def run(
    dataset: Path, repo: str, revision: str = "", checksum: str = "", settings: str = ""
) -> None:
    """Takes one pinned version of data, re-hashes every file of it and cleans its rows.

    Args:
        dataset: the folder to write: a file a split, ``dataset.json`` and a manifest.
        repo: a checkout's folder, or an address as `wherry.ingest.addresses.kind_of` lists them.
        revision: a branch, tag or commit; empty for the working tree.
        checksum: the content hash that the data must have, such as ``md5:….dir``;
            empty to take what the revision pins.
        settings: `IngestSettings` as JSON.
    """
    with stage("ingest") as report:
        chosen = read_settings(IngestSettings, settings)
        refuse_foreign(dataset)
        with open_store(repo, revision, chosen.path) as store, staged_folder(dataset) as folder:
            made = _make(store, folder, chosen, checksum, report)
        report.verdict(_told(made))


def resolve(repo: str, revision: str = "", path: str = "") -> Source:
    """Gives the exact version of data that a run would take, without fetching it.

    Hand its checksum to `run`: a pipeline's cache key then follows the data, and a
    change between the two calls is refused.

    Example::

        source = resolve(".")
        run(Path("dataset"), ".", checksum=source.checksum)

    Args:
        repo: as in `run`.
        revision: as in `run`.
        path: as `IngestSettings.path`.

    Raises:
        MissingError: if there is no such repository, revision or output.
        ConflictError: if the working copy differs from what is pinned.
    """
    with open_store(repo, revision, path) as store:
        return store.resolve()


def _make(
    store: Store, folder: Path, settings: IngestSettings, checksum: str, report: Report
) -> Dataset:
    """Fetches, cleans, describes and seals; nothing of what was fetched stays elsewhere."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as name:
        scratch = Path(name)
        source, files = materialise(
            store,
            scratch / "found",
            settings.folder,
            checksum,
            report,
            choose=partial(needed, settings=settings),
        )
        made = _filled(folder, scratch, files, settings, report)
    dataset = Dataset(
        kind=settings.kind,
        splits=made.splits,
        digest=Manifest(made.files).digest,
        source=source,
        labels=made.labels,
        licence=settings.licence,
        cleaned=made.cleaned,
        set_aside=made.set_aside,
    )
    dataset.write(folder / DATASET_NAME)
    # Not `Manifest.seal`: every file was hashed when it was written, once is enough.
    size = (folder / DATASET_NAME).stat().st_size
    described = FileEntry(DATASET_NAME, size, digest_record(dataset))
    Manifest((described, *made.files)).write(folder / MANIFEST_NAME)
    return dataset


def _filled(
    folder: Path,
    scratch: Path,
    files: Sequence[Fetched],
    settings: IngestSettings,
    report: Report,
) -> "Made":
    found = scratch / "found"
    if settings.verbatim:
        with _made_durable([found / file.path for file in files]):
            made = checked(found, files, settings, scratch / "parts", report)
        if made:
            for path in found.iterdir():
                path.rename(folder / path.name)
            return made
    try:
        # Polars and DuckDB take half a second to import: only when they are used.
        from wherry.ingest.clean.rewrite import rewritten
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    steps = scratch / "steps"
    return rewritten(found, files, folder, settings, steps, _Tokens(found), report)


@contextmanager
def _made_durable(files: Sequence[Path]) -> Iterator[None]:
    """Brings files to the disk while the block works, not after it."""
    with ThreadPoolExecutor(1) as beside:
        written = [beside.submit(sync_file, path) for path in files]
        yield
        for one in written:
            one.result()


class _Tokens:
    """Opens the tokenizer that a cleaning step names.

    Args:
        found: the data's own files.
    """

    def __init__(self, found: Path) -> None:
        self._found = found

    def __call__(self, name: str) -> "Measure":
        try:
            from wherry.ingest.adapters.tokens import TokenMeasure
        except ModuleNotFoundError as error:
            raise _missing(error) from error
        return TokenMeasure(self._path(name))

    def _path(self, name: str) -> Path:
        if name.startswith("file:"):
            path = Path(parse_uri(name, workspace=workspace()).path)
        else:
            path = (self._found / name).resolve()
        inside = name.startswith("file:") or path.is_relative_to(self._found.resolve())
        if not inside or not path.is_file():
            raise MissingError(
                f"There is no tokenizer {name!r} among the data's files.",
                remedy="Add the model's tokenizer.json to the data, or name one below the "
                "workspace as file:PATH.",
            )
        return path


def _missing(error: ModuleNotFoundError) -> ExtraMissingError:
    return ExtraMissingError(
        f"Reading and cleaning data needs {error.name}, which is not installed.",
        remedy='Run: pip install "wherry[ingest]"',
    )


def _told(dataset: Dataset) -> str:
    rows = ", ".join(f"{split.rows:,} {split.name}" for split in dataset.splits)
    dropped = sum(step.dropped for step in dataset.cleaned)
    more = f", {dropped:,} left out" if dropped else ""
    aside = f", {dataset.set_aside:,} set aside" if dataset.set_aside else ""
    return f"{rows} rows{more}{aside}, every file re-hashed"
