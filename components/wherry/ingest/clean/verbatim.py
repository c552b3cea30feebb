"""Makes a data set of files that are one already: every row is checked, no byte changed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wherry.contracts import FileEntry, SetAside, Split
from wherry.contracts.dataset import QUARANTINE_NAME
from wherry.contracts.files import staged_file
from wherry.ingest.clean.files import Origin, origins
from wherry.ingest.clean.made import Made, entry, with_quarantine
from wherry.ingest.clean.parts import Seen, seen
from wherry.ingest.clean.quarantine import Ward, lines_of
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
        check = _Check(settings, ward, report)
        parts = seen([folder / origin.file.path for origin in found], settings.kind, scratch)
        canonical = all(check(*pair) for pair in zip(found, parts, strict=True))
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
    for name in check.spoilt:
        # From the file again: there may be more bad lines than memory holds.
        _leave_out(folder / name, lines_of(folder / QUARANTINE_NAME, name))
        entries[name] = entry(folder, name)
    splits = tuple(
        Split(name, f"{name}.jsonl", check.rows[name], entries[f"{name}.jsonl"].sha256)
        for name in settings.splits
    )
    labels = tuple(sorted(check.labels))
    return Made(splits, labels, with_quarantine(folder, entries.values()), set_aside)


class _Check:
    """Reads files, counts their good rows and sets the others aside."""

    def __init__(self, settings: IngestSettings, ward: Ward, report: Report) -> None:
        self._ward = ward
        self._report = report
        self.rows: dict[str, int] = dict.fromkeys(settings.splits, 0)
        self.spoilt: dict[str, None] = {}
        """Files with a bad row, in their order."""
        self.labels: set[str] = set()

    def __call__(self, origin: Origin, parts: Iterator[Seen]) -> bool:
        """Reads what was seen of a file, and says whether all of it is in Wherry's own form."""
        name, done = origin.file.path, 0
        for part in parts:
            if not part.canonical:
                return False
            if part.bad:
                self._ward.add([SetAside(name, bad.line, bad.reason) for bad in part.bad])
                self.spoilt[name] = None
            self.rows[origin.split] += part.rows
            if origin.split == "train":
                self.labels.update(part.labels)
            done += part.bytes_read
            self._report.progress(done, origin.file.size, f"{name}: rows checked")
        return True


def _leave_out(path: Path, lines: Iterator[int]) -> None:
    bad, number = next(lines, 0), 1
    with staged_file(path) as staged, path.open("rb") as file, staged.open("wb") as copy:
        while piece := file.readline(_PIECE):  # a bad line may be of any length
            if number != bad:
                copy.write(piece)
            if piece.endswith(b"\n"):
                bad = next(lines, 0) if number == bad else bad
                number += 1
