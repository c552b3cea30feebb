"""Reads a sample of files and writes the suite that fits them."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wherry.contracts.dataset import Kind, fault_of
from wherry.contracts.errors import DataError, ExtraMissingError
from wherry.page.words import plural
from wherry.progress import Report, Silent
from wherry.validate.features.columns import CountTokens, Instruments
from wherry.validate.fitted.observe import observe, wanted
from wherry.validate.fitted.observed import Observed
from wherry.validate.fitted.propose import Proposal, proposals
from wherry.validate.fitted.write import suite_text

if TYPE_CHECKING:
    from wherry.rows.read import Batch
    from wherry.rows.settings import Columns

SAMPLE_ROWS: Final = 50_000
"""Rows that are read of each split: enough for limits, and done in seconds."""


@dataclass(frozen=True)
class Fitted:
    """A suite, and what it was fitted to."""

    text: str
    """The suite as YAML with comments."""
    seen: Observed
    proposals: tuple[Proposal, ...]

    @property
    def broken(self) -> tuple[Proposal, ...]:
        """Rules that the data breaks today."""
        return tuple(each for each in self.proposals if each.broken)


def fit(
    files: Mapping[str, Path],
    kind: Kind,
    columns: "Columns",
    *,
    tokenizer: Path | None = None,
    now: datetime | None = None,
    name: str = "suite",
    sample_rows: int = SAMPLE_ROWS,
    report: Report | None = None,
) -> Fitted:
    """Fits a suite to some files.

    Args:
        files: by split.
        kind: of their rows.
        columns: a team's names for the parts of a row.
        tokenizer: the base model's ``tokenizer.json``; without one lengths are in characters.
        now: for the age of rows, aware of its time zone; None leaves their age out.
        name: of the suite.
        sample_rows: most rows that are read of each split, from its beginning.
        report: told how far it is.

    Raises:
        DataError: if no row can be read, or none has a value for one of the team's names.
        ExtraMissingError: if Polars, DuckDB or tokenizers is not installed.
    """
    names = wanted(kind, files, tokens=tokenizer is not None, times=now is not None)
    sample = _Sample(files, kind, columns, sample_rows, report or Silent())
    seen = _measured(sample, names, Instruments(count_tokens=_counter(tokenizer), now=now))
    rules = proposals(seen)
    return Fitted(suite_text(name, seen, rules), seen, rules)


class _Sample:
    """The first rows of each file."""

    def __init__(
        self,
        files: Mapping[str, Path],
        kind: Kind,
        columns: "Columns",
        most: int,
        report: Report,
    ) -> None:
        self.files = files
        self.kind = kind
        self._columns = columns
        self._unseen = set(columns.telling)
        self._most = most
        self._report = report
        self.bad = 0
        self.faults: Counter[str] = Counter()
        """Rows and bad lines by what keeps them from being of this kind; an empty text stands for
        nothing."""
        self.whole = True

    def batches(self) -> Iterator[tuple[str, "Batch"]]:
        """Gives the batches, each with its split."""
        for split, path in self.files.items():
            for batch in self._of(path):
                self.bad += len(batch.bad)
                self.faults.update(bad.reason for bad in batch.bad)
                self.faults.update(fault_of(row, self.kind) for row in batch.rows)
                yield split, batch

    def refuse_unseen(self) -> None:
        """Refuses a name of the team's that no row has a value for.

        Raises:
            DataError: naming it.
        """
        from wherry.rows.read import refuse_unseen

        if self.whole:
            refuse_unseen(self._unseen, "--columns")

    def _of(self, path: Path) -> Iterator["Batch"]:
        from wherry.rows.read import read_batches

        seen = 0
        # Not strict: whether roles are in order is for the suite to say.
        batches = read_batches(path, self.kind, self._columns, strict=False, unseen=self._unseen)
        for batch in batches:
            room = self._most - seen
            if room <= 0:
                self.whole = False
                return
            self.whole = self.whole and len(batch.rows) <= room
            seen += len(batch.rows)
            self._report.progress(min(seen, self._most), self._most, path.name)
            yield replace(batch, lines=batch.lines[:room], rows=batch.rows[:room])


def _measured(sample: _Sample, names: Sequence[str], tools: Instruments) -> Observed:
    try:
        from wherry.validate.features.build import feature_table

        with tempfile.TemporaryDirectory(prefix="wherry-init-") as folder:
            table = feature_table(sample.batches(), Path(folder), names, tools)
            if not sample.faults[""]:
                raise _nothing_read(sample)
            sample.refuse_unseen()
            return observe(table, sample.kind, whole=sample.whole, bad=sample.bad)
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Fitting a suite needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[validate]"',
        ) from error


def _nothing_read(sample: _Sample) -> DataError:
    names = ", ".join(path.name for path in sample.files.values())
    if not sample.faults:
        return DataError(f"{names}: there is no row.", remedy="Name files that have some.")
    ((reason, rows),) = sample.faults.most_common(1)
    return DataError(
        f"{names}: no row is of kind {sample.kind}: {reason} ({plural(rows, 'row')}).",
        remedy="Check --kind, and --columns if your rows have other names for their parts.",
    )


def _counter(tokenizer: Path | None) -> CountTokens | None:
    if tokenizer is None:
        return None
    from wherry.validate.adapters.tokens import TokenCounter

    return TokenCounter(tokenizer)
