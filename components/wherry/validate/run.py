"""Wires validate: a data set, a base model's tokenizer and a suite in, a report out."""

import logging
from collections.abc import Iterator
from pathlib import Path

from wherry.contracts import Dataset, Manifest, digest_file, read_rows, read_settings
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.digest import MANIFEST_NAME
from wherry.contracts.errors import DigestError, ExtraMissingError, MissingError
from wherry.progress import Report, stage
from wherry.validate.features import CountTokens, Features, features, table
from wherry.validate.settings import ValidateSettings
from wherry.validate.step import Judge, refuse_bad_data, rules_of, validate

_TOKENIZER = "tokenizer.json"


def run(dataset: Path, base: Path, report: Path, settings: str = "") -> None:
    """Judges a data set by a suite of expectations, and stops the run if it is not fit.

    Args:
        dataset: the data set's folder.
        base: the base model's folder; its tokenizer counts the tokens.
        report: where to write the `ValidationReport`; it is written before a refusal.
        settings: `ValidateSettings` as JSON, the suite included.
    """
    with stage("validate") as progress:
        chosen = read_settings(ValidateSettings, settings)
        judge, count_tokens = _judge_and_counter(_tokenizer(base))
        rules = rules_of(chosen.suite, judge)
        Manifest.verified(dataset)
        data = Dataset.read(dataset / DATASET_NAME)
        seen = table(_features(data, dataset, count_tokens, progress))
        verdict = validate(seen, data, rules, judge, chosen)
        verdict.write(report)
        refuse_bad_data(verdict, where=str(report))
        passed = sum(e.passed for e in verdict.expectations)
        progress.verdict(f"{verdict.rows:,} rows, {passed} of {len(rules)} expectations passed")


def _features(
    data: Dataset, folder: Path, count_tokens: CountTokens, progress: Report
) -> Iterator[Features]:
    total, done = sum(split.rows for split in data.splits), 0
    for split in data.splits:
        rows = read_rows(folder / split.file)
        for one in features(split.name, rows, frozenset(data.labels), count_tokens):
            yield one
            done += 1
            progress.progress(done, total, "rows read")


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


def _judge_and_counter(tokenizer: Path) -> tuple[Judge, CountTokens]:
    # In a KFP task the root logger is loud, and Great Expectations talks from its import on.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    try:
        # It takes seconds to import: only when it is used.
        from wherry.validate.adapters.gx import GreatExpectations
        from wherry.validate.adapters.tokens import TokenCounter
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Judging data needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[validate]"',
        ) from error
    return GreatExpectations(), TokenCounter(tokenizer)
