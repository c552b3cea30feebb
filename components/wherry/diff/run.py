"""Wires diff: two data sets in, what changed between them out."""

import tempfile
from pathlib import Path

from wherry.contracts import Dataset, Manifest, read_settings
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import ExtraMissingError
from wherry.diff.settings import DiffSettings
from wherry.diff.step import DataDiff, compare
from wherry.progress import Report, stage


def run(before: Path, after: Path, difference: Path, settings: str = "") -> None:
    """Compares two versions of a data set.

    Args:
        before: the earlier data set's folder, as ingest makes it.
        after: the later one's.
        difference: where to write the `DataDiff`.
        settings: `DiffSettings` as JSON.
    """
    with stage("diff") as report:
        chosen = read_settings(DiffSettings, settings)
        for folder in (before, after):
            Manifest.verified(folder)
        with tempfile.TemporaryDirectory(prefix="wherry-diff-") as scratch:
            found = _compared(before, after, Path(scratch), chosen, report)
        found.write(difference)
        report.verdict(_told(found))


def _compared(
    before: Path, after: Path, scratch: Path, settings: DiffSettings, report: Report
) -> DataDiff:
    try:
        # Polars and DuckDB take half a second to import: only when they are used.
        from wherry.diff.adapters.tables import tables
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Comparing data needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[ingest]"',
        ) from error
    old, new = (Dataset.read(folder / DATASET_NAME) for folder in (before, after))
    with tables(before, after, scratch, settings, report) as counts:
        return compare(old, new, counts, settings)


def _told(found: DataDiff) -> str:
    if found.same:
        return "the same rows"
    words = {"added": "added", "removed": "removed", "changed": "changed", "moved_in": "moved"}
    counts = {
        word: sum(getattr(split, name) for split in found.rows) for name, word in words.items()
    }
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())
