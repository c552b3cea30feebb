"""Makes a data set of files that are one already: every row is checked, no byte changed."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from wherry.contracts import FileEntry, SetAside, Split
from wherry.contracts.dataset import QUARANTINE_NAME
from wherry.contracts.files import staged_file
from wherry.ingest.clean.files import Origin, origins
from wherry.ingest.clean.made import Made, entry, with_quarantine
from wherry.ingest.clean.parts import seen
from wherry.ingest.clean.quarantine import Ward
from wherry.ingest.settings import IngestSettings
from wherry.ingest.step import Fetched
from wherry.progress import Report

_PIECE: Final = 1 << 20


def checked(
    folder: Path, files: Sequence[Fetched], settings: IngestSettings, scratch: Path, report: Report
) -> Made | None:
    """Checks and counts the rows of ``SPLIT.jsonl``, and takes out the lines that are set aside.

    Args:
        folder: holds the files; gets ``quarantine.jsonl`` if a row is set aside.
        files: what lies there.
        settings: what the rows are.
        scratch: a folder to work in.
        report: told how many bytes are read.

    Returns:
        What the folder holds; None if a row, though sound, is not in Wherry's own form, so that
        the files must be rewritten.

    Raises:
        DataError: naming file, line and cause, if more rows are bad than are allowed.
    """
    found = origins(files, settings)
    with Ward(folder / QUARANTINE_NAME, settings.quarantine) as ward:
        check = _Check(folder, settings, ward, scratch, report)
        canonical = all(check(origin) for origin in found)
        if canonical:
            ward.check(sum(check.rows.values()))
    if not canonical:
        (folder / QUARANTINE_NAME).unlink(missing_ok=True)
        return None
    return _made(folder, files, settings, check, ward.rows)


def _made(
    folder: Path,
    files: Sequence[Fetched],
    settings: IngestSettings,
    check: "_Check",
    set_aside: int,
) -> Made:
    entries = {file.path: FileEntry(file.path, file.size, file.sha256) for file in files}
    for name, lines in check.bad.items():
        _leave_out(folder / name, lines)
        entries[name] = entry(folder, name)
    splits = tuple(
        Split(name, f"{name}.jsonl", check.rows[name], entries[f"{name}.jsonl"].sha256)
        for name in settings.splits
    )
    labels = tuple(sorted(check.labels))
    return Made(splits, labels, with_quarantine(folder, entries.values()), set_aside)


class _Check:
    """Reads files, counts their good rows and keeps the lines of the others."""

    def __init__(
        self, folder: Path, settings: IngestSettings, ward: Ward, scratch: Path, report: Report
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._ward = ward
        self._scratch = scratch
        self._report = report
        self.rows: dict[str, int] = dict.fromkeys(settings.splits, 0)
        self.bad: dict[str, list[int]] = {}
        self.labels: set[str] = set()

    def __call__(self, origin: Origin) -> bool:
        """Reads a file, and says whether all of it is in Wherry's own form."""
        name, done = origin.file.path, 0
        scratch = self._scratch / origin.split
        scratch.mkdir(parents=True)
        for part in seen(self._folder / name, self._settings.kind, scratch):
            if not part.canonical:
                return False
            if part.bad:
                self._ward.add([SetAside(name, bad.line, bad.reason) for bad in part.bad])
                self.bad.setdefault(name, []).extend(bad.line for bad in part.bad)
            self.rows[origin.split] += part.rows
            if origin.split == "train":
                self.labels.update(part.labels)
            done += part.bytes_read
            self._report.progress(done, origin.file.size, f"{name}: rows checked")
        return True


def _leave_out(path: Path, lines: Collection[int]) -> None:
    bad, number = set(lines), 1
    with staged_file(path) as staged, path.open("rb") as file, staged.open("wb") as copy:
        while piece := file.readline(_PIECE):  # a bad line may be of any length
            if number not in bad:
                copy.write(piece)
            number += piece.endswith(b"\n")
