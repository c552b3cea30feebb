"""Reads rows from files as they were found, and divides them if settings say so."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from wherry.contracts import Row, SetAside
from wherry.contracts.dataset import SplitName
from wherry.ingest.clean.files import Origin
from wherry.ingest.clean.quarantine import Ward
from wherry.ingest.clean.splits import divided
from wherry.ingest.clean.steps import Part, Rows
from wherry.ingest.settings import IngestSettings
from wherry.progress import Report
from wherry.rows.batch import Batch
from wherry.rows.read import read_batches, refuse_unseen


class Reading:
    """Reads rows as they were found; iterate over it once.

    Args:
        folder: what the files' paths are relative to.
        settings: what the rows are, and how they are divided.
        ward: takes the rows that cannot be read.
        report: told how many bytes are read.
    """

    def __init__(self, folder: Path, settings: IngestSettings, ward: Ward, report: Report) -> None:
        self._folder = folder
        self._settings = settings
        self._ward = ward
        self._report = report
        self._unseen = set(settings.columns.telling)
        self.rows = 0
        """Good rows so far."""

    def __call__(self, found: Sequence[Origin]) -> Rows:
        """Gives the rows of some files.

        Raises:
            DataError: naming file and line, if more rows are bad than are allowed; or a name in
                `columns` that no row has a value for.
        """
        total, done = sum(origin.file.size for origin in found), 0
        for origin in found:
            for batch in self._batches(origin):
                self.rows += len(batch.rows)
                done += batch.bytes_read
                self._report.progress(done, total, f"{self.rows:,} rows read")
                yield from self._parts(origin.split, batch.rows)
        self._ward.check(self.rows)
        if self.rows:
            refuse_unseen(self._unseen, "`columns` in the settings of ingest")

    def _batches(self, origin: Origin) -> Iterator[Batch]:
        name = origin.file.path
        kind, columns = self._settings.kind, self._settings.columns
        for batch in read_batches(self._folder / name, kind, columns, unseen=self._unseen):
            self._ward.add([SetAside(name, bad.line, bad.reason) for bad in batch.bad])
            yield batch

    def _parts(self, split: str, rows: list[Row]) -> Iterator[Part]:
        if self._settings.split:
            yield from divided(rows, self._settings.split)
        else:
            yield cast(SplitName, split), rows
