"""Makes a data set by reading rows, cleaning them and writing them down in one form."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from wherry.contracts import FileEntry, Split
from wherry.contracts.dataset import QUARANTINE_NAME
from wherry.ingest.clean.files import origins
from wherry.ingest.clean.flow import Tokens, steps_of, through
from wherry.ingest.clean.made import Made, entry, with_quarantine
from wherry.ingest.clean.quarantine import Ward
from wherry.ingest.clean.reading import Reading
from wherry.ingest.clean.steps import Rows
from wherry.ingest.settings import IngestSettings
from wherry.ingest.step import Fetched
from wherry.progress import Report
from wherry.rows.write import RowWriter


def rewritten(
    found: Path,
    files: Sequence[Fetched],
    folder: Path,
    settings: IngestSettings,
    scratch: Path,
    tokens: Tokens,
    report: Report,
) -> Made:
    """Writes the rows of files as ``SPLIT.jsonl``, and those that cannot be read beside them.

    Args:
        found: the folder that holds the files.
        files: what lies there.
        folder: an empty folder; gets the splits and ``quarantine.jsonl`` if a row is set aside.
        settings: what the rows are, and what is done to them.
        scratch: a folder for what does not fit into memory.
        tokens: gives what counts tokens.
        report: told how many bytes are read.

    Raises:
        DataError: if too many rows are bad, or a split has no row in the end.
    """
    steps = steps_of(settings.steps, scratch, tokens)
    with Ward(folder / QUARANTINE_NAME, settings.quarantine) as ward:
        reading = Reading(found, settings, ward, report)
        rows = through(reading(origins(files, settings)), steps)
        splits, labels = _written(rows, folder, settings)
    written = (_entry(folder, split) for split in splits)
    return Made(
        splits=splits,
        labels=labels,
        files=with_quarantine(folder, written),
        set_aside=ward.rows,
        cleaned=tuple(step.cleaned() for step in steps),
    )


def _written(
    rows: Rows, folder: Path, settings: IngestSettings
) -> tuple[tuple[Split, ...], tuple[str, ...]]:
    labels: set[str] = set()
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(RowWriter(folder / f"{name}.jsonl"))
            for name in settings.splits
        }
        for split, part in rows:
            for row in part:
                writers[split].write(row)
            labels.update(row.label for row in part if split == "train")
    splits = tuple(
        Split(name, f"{name}.jsonl", writer.rows, writer.digest) for name, writer in writers.items()
    )
    return splits, tuple(sorted(labels - {""}))


def _entry(folder: Path, split: Split) -> FileEntry:
    return entry(folder, split.file, split.digest)
