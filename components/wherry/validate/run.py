"""Wires validate: rows, a base model's tokenizer and a suite in, a report and a page out."""

import dataclasses
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wherry.contracts import (
    Dataset,
    Digest,
    FileEntry,
    Kind,
    Manifest,
    SetAside,
    Source,
    ValidationReport,
    digest_file,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME, QUARANTINE_NAME
from wherry.contracts.digest import MANIFEST_NAME
from wherry.contracts.errors import (
    DataError,
    DigestError,
    ExtraMissingError,
    FormatError,
    MissingError,
    SettingsError,
)
from wherry.ledger.stages import recorded
from wherry.page.words import plural
from wherry.progress import Report, Silent, stage
from wherry.validate.features import Instruments
from wherry.validate.features.columns import column_types, refuse_unmeasurable
from wherry.validate.settings import BenchmarkFile, Quarantine, Rule, ValidateSettings
from wherry.validate.step import (
    Accepted,
    Judge,
    columns_of,
    refuse_bad_data,
    rules_of,
    validate,
)
from wherry.workspace import state, workspace

if TYPE_CHECKING:
    from wherry.rows.batch import Batch
    from wherry.rows.settings import Columns
    from wherry.text.overlap import Benchmark

_TOKENIZER = "tokenizer.json"


@recorded("validate", inputs=("dataset", "base"), outputs=("report",))
def run(
    dataset: Path, base: Path, report: Path, settings: str = "", page: Path | None = None
) -> None:
    """Judges a data set by a suite of expectations, and stops the run if it is not fit.

    Args:
        dataset: the data set's folder.
        base: the base model's folder; its tokenizer counts the tokens.
        report: where to write the `ValidationReport`; it is written before a refusal.
        settings: `ValidateSettings` as JSON, the suite included.
        page: where to write the report as one HTML page, if at all; also before a refusal.
    """
    with stage("validate") as progress:
        chosen = read_settings(ValidateSettings, settings)
        trial = _Trial.prepared(chosen, _tokenizer(base), datetime.now(UTC))
        Manifest.verified(dataset)
        data = Dataset.read(dataset / DATASET_NAME)
        batches = _canonical(data, dataset, progress)
        verdict = trial.verdict(
            batches, data.digest, data.source, _quarantined(dataset / QUARANTINE_NAME)
        )
        accepted = _accepted()
        verdict = _compared(verdict, accepted)
        verdict.write(report)
        if page is not None:
            _write_page(verdict, page, data)
        refuse_bad_data(verdict, where=str(report))
        accepted.keep(verdict)
        passed = sum(e.passed for e in verdict.expectations)
        progress.verdict(
            f"{verdict.rows:,} rows, {passed} of {len(verdict.expectations)} expectations passed"
        )


def judge_files(
    files: Mapping[str, Path],
    kind: Kind,
    settings: ValidateSettings,
    *,
    columns: "Columns | None" = None,
    tokenizer: Path | None = None,
    quarantine: Quarantine | None = None,
    now: datetime | None = None,
    report: Report | None = None,
) -> tuple[ValidationReport, tuple[SetAside, ...]]:
    """Judges loose files of rows by a suite.

    Args:
        files: by split; what a row of ``train`` has is known to the others.
        kind: of the rows.
        settings: the suite, and what it needs.
        columns: a team's names for the parts of a row.
        tokenizer: the base model's ``tokenizer.json``; None if no tokens are asked for.
        quarantine: how many rows may be unreadable.
        now: for the age of rows, aware of its time zone; the present by default.
        report: told how far the reading is.

    Returns:
        The report, and the rows that could not be read.

    Raises:
        DataError: if more rows than `quarantine` allows cannot be read.
        SettingsError: if the suite is not fit to judge anything, or asks for what is not given.
        FormatError: if a file is of no known format, or damaged.
    """
    trial = _Trial.prepared(settings, tokenizer, now or datetime.now(UTC))
    aside: list[SetAside] = []
    read = _loose(files, kind, columns, quarantine or Quarantine(), aside, report or Silent())
    digest, source = _identity(files)
    return trial.verdict(read, digest, source, aside), tuple(aside)


@dataclasses.dataclass(frozen=True)
class _Trial:
    """A suite that is fit to judge, and all that it needs."""

    settings: ValidateSettings
    rules: tuple[Rule, ...]
    judge: Judge
    tools: Instruments

    @classmethod
    def prepared(
        cls, settings: ValidateSettings, tokenizer: Path | None, now: datetime
    ) -> "_Trial":
        """Refuses a suite before any row is read."""
        try:
            # They take seconds to import: only when they are used.
            import wherry.validate.features.build  # noqa: F401 # what it lacks is told now

            judge, tools = _judge(), _instruments(settings, tokenizer, now)
            known = column_types(tools.patterns)
        except ModuleNotFoundError as error:
            raise ExtraMissingError(
                f"Judging data needs {error.name}, which is not installed.",
                remedy='Run: pip install "wherry[validate]"',
            ) from error
        rules = rules_of(settings.suite, judge, known)
        refuse_unmeasurable(columns_of(rules), tools)
        return cls(settings, rules, judge, tools)

    def verdict(
        self,
        batches: "Iterable[tuple[str, Batch]]",
        digest: Digest,
        source: Source,
        aside: Iterable[SetAside],
    ) -> ValidationReport:
        """Reads all rows once, and judges what they show; `aside` is complete only then."""
        from wherry.validate.features.build import feature_table
        from wherry.validate.features.plots import distributions, plotted

        shown = plotted(tokenizer=self.tools.count_tokens is not None)
        with tempfile.TemporaryDirectory(prefix="wherry-validate-") as folder:
            asked = (*columns_of(self.rules), *shown)
            table = feature_table(batches, Path(folder), asked, self.tools)
            return validate(
                table,
                self.rules,
                self.judge,
                self.settings,
                dataset_digest=digest,
                source=source,
                distributions=distributions(table, self.settings.bins),
                set_aside=aside,
            )


def _judge() -> Judge:
    # In a KFP task the root logger is loud, and Great Expectations talks from its import on; what
    # it says of an exception may quote a value.
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    from wherry.validate.adapters.gx import GreatExpectations

    return GreatExpectations()


def _instruments(settings: ValidateSettings, tokenizer: Path | None, now: datetime) -> Instruments:
    from wherry.text.patterns import Pattern
    from wherry.text.spans import check_patterns
    from wherry.validate.adapters.tokens import TokenCounter

    counter = TokenCounter(tokenizer) if tokenizer else None
    try:
        own = [
            Pattern(one.name, one.regex, one.context, sort=one.sort) for one in settings.patterns
        ]
    except ValueError as error:
        raise SettingsError(
            f"A pattern of the settings: {error}.", remedy="Correct `patterns` of validate."
        ) from error
    check_patterns(own)
    return Instruments(
        count_tokens=counter,
        special_tokens=counter.special_tokens if counter else (),
        patterns=tuple(own),
        languages=settings.languages,
        benchmarks=tuple(_benchmark(*pair) for pair in settings.benchmarks.items()),
        near_threshold=settings.near_threshold,
        now=now,
    )


def _benchmark(name: str, file: BenchmarkFile) -> "Benchmark":
    """Finds a benchmark's file, which must lie below the workspace whatever links lead to it."""
    from wherry.rows.settings import Columns
    from wherry.text.overlap import Benchmark

    root = workspace().resolve()
    path = (root / file.path).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise MissingError(
            f"The benchmark {file.path!r} is no file below {root}.",
            remedy="Correct `benchmarks` in the settings of validate.",
        )
    return Benchmark(name, path, file.kind, read_settings(Columns, file.columns, where=name))


def _canonical(data: Dataset, folder: Path, progress: Report) -> "Iterator[tuple[str, Batch]]":
    """Reads a sealed data set, in which every row must be readable."""
    from wherry.rows.read import read_batches

    total, done = sum(split.rows for split in data.splits), 0
    for split in data.splits:
        for batch in read_batches(folder / split.file, data.kind, strict=False):
            if batch.bad:
                raise DataError(
                    f"{split.file}, line {batch.bad[0].line}: {batch.bad[0].reason}.",
                    remedy="Correct the row at its source and ingest again.",
                )
            yield split.name, batch
            done += len(batch.rows)
            progress.progress(done, total, "rows read")


def _loose(
    files: Mapping[str, Path],
    kind: Kind,
    columns: "Columns | None",
    cap: Quarantine,
    aside: list[SetAside],
    progress: Report,
) -> "Iterator[tuple[str, Batch]]":
    """Reads files as they are, and sets aside what cannot be read, up to a cap."""
    from wherry.rows.read import read_batches, refuse_unseen
    from wherry.rows.settings import Columns

    named = columns or Columns()
    unseen = set(named.telling)
    total, done, rows = sum(path.stat().st_size for path in files.values()), 0, 0
    for split, path in files.items():
        for batch in read_batches(path, kind, named, strict=False, unseen=unseen):
            aside += [SetAside(path.name, bad.line, bad.reason) for bad in batch.bad]
            _refuse_many(aside, cap.rows, f"at most {cap.rows:,} may be")
            yield split, batch
            rows += len(batch.rows)
            done += batch.bytes_read
            progress.progress(done, total, "read")
    # Decimal: as binary fractions 0.29 of 100 rows would be 28.
    most = int(Decimal(str(cap.share)) * (rows + len(aside)))
    _refuse_many(aside, most, f"at most {100 * cap.share:.4g}% of {rows + len(aside):,} may be")
    if rows:
        refuse_unseen(unseen, "the names of the columns")


def _refuse_many(aside: list[SetAside], most: int, allowed: str) -> None:
    if len(aside) > most:
        first = aside[0]
        raise DataError(
            f"{plural(len(aside), 'row')} cannot be read, {allowed}; the first is {first.file}, "
            f"line {first.line}: {first.reason}.",
            remedy="Correct the rows or the names of the columns, or raise the cap.",
        )


def _identity(files: Mapping[str, Path]) -> tuple[Digest, Source]:
    """Gives what tells these files from others, and where they lie."""
    entries = tuple(
        FileEntry(f"{split}/{path.name}", path.stat().st_size, digest_file(path))
        for split, path in files.items()
    )
    names = ", ".join(str(path) for path in files.values())
    return Manifest(entries).digest, Source("file:", "", names, "")


def _quarantined(path: Path) -> Iterator[SetAside]:
    if not path.is_file():
        return
    decode = msgspec.json.Decoder(SetAside).decode
    try:
        with path.open("rb") as aside:
            yield from map(decode, aside)
    except msgspec.MsgspecError as error:
        raise FormatError(f"{path} is damaged: {error}.", remedy="Ingest again.") from error


def _accepted() -> Accepted:
    from wherry.validate.adapters.accepted import AcceptedReports

    return AcceptedReports(state())


def _compared(report: ValidationReport, accepted: Accepted) -> ValidationReport:
    """Gives a report that says what changed since the last one that let this data pass."""
    from wherry.validate.changes import since

    before = accepted.last(report.source) if report.source else None
    return dataclasses.replace(report, since=since(before, report)) if before else report


def _write_page(report: ValidationReport, page: Path, data: Dataset) -> None:
    from wherry.validate.page import write_page

    write_page(report, page, data)


def _tokenizer(base: Path) -> Path:
    """Gives the tokenizer's file after re-hashing it; the weights are not needed here."""
    path = base / _TOKENIZER
    if not path.is_file():
        raise MissingError(
            f"The base model in {base} has no {_TOKENIZER}.", remedy="Fetch the base model again."
        )
    files = Manifest.read(base / MANIFEST_NAME).files
    recorded = next((entry.sha256 for entry in files if entry.path == _TOKENIZER), "none")
    if digest_file(path) != recorded:
        raise DigestError(
            f"{path} has digest {digest_file(path)}, expected {recorded}.",
            remedy="Fetch the base model again.",
        )
    return path
