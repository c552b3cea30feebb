"""Has a tuning run carried out on another platform, and brings its results here."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from wherry.contracts import Digest, Manifest, digest_bytes, read_settings
from wherry.contracts.errors import ExtraMissingError
from wherry.progress import Report
from wherry.tune.adapters.bucket import Bucket
from wherry.tune.forms import Errand
from wherry.tune.jobs import TuneJobSettings
from wherry.tune.parts import Parts
from wherry.tune.results import BucketExchange, input_at
from wherry.tune.settings import TuneSettings
from wherry.tune.signals import interruptible
from wherry.tune.submit import Platform, carry_out, listener


def run_elsewhere(
    job: TuneJobSettings,
    dataset: Path,
    base: Path,
    adapter: Path,
    curve: Path,
    settings: str,
    merged: Path | None,
    others: Mapping[str, Path | None],
    report: Report,
) -> None:
    """Tunes as `wherry.tune.run.run` does, on the machines that the job settings name.

    Args:
        job: where, and with what.
        dataset: the data set's folder here.
        base: the base model's.
        adapter: the folder to make.
        curve: the file to write.
        settings: a `TuneSettings` as JSON.
        merged: the folder to make of the whole model, or None.
        others: the folders of `start` and `teacher`, or None.
        report: told how far the job is.
    """
    with interruptible():
        recipe = read_settings(TuneSettings, settings)
        parts = Parts.verified(dataset, base, others["start"], others["teacher"])
        parts.fits(recipe, merged=merged is not None)
        bucket = Bucket(job.exchange)
        identity = _identity(parts, recipe, job, merged)
        results = f"runs/{identity.removeprefix('sha256:')[:32]}"
        folders = {"dataset": dataset, "base": base, **{k: v for k, v in others.items() if v}}
        given = {name: _handed_over(bucket, folder) for name, folder in folders.items()}
        errand = _errand(identity, job, given, results, settings, merged)
        exchange = BucketExchange(bucket, results)
        platform = _platform(errand, job, listener(report, _say))
        carry_out(platform, exchange, job, _say, time.monotonic)
        seen = exchange.publish(parts, adapter, curve, merged)
        _tell(report, seen.rows, seen.tokens_per_second, errand.name)


def _identity(
    parts: Parts, recipe: TuneSettings, job: TuneJobSettings, merged: Path | None
) -> Digest:
    same = (parts.identity(recipe, job.ranks), "merged" if merged else "", job.exchange)
    return digest_bytes("\n".join(same).encode())


def _handed_over(bucket: Bucket, folder: Path) -> str:
    """Copies a sealed folder to the exchange, unless it is there; gives its place."""
    at = input_at(Manifest.verified(folder).digest)
    if bucket.digest(at) is None:
        bucket.push(folder, at)
    return at


def _errand(
    identity: Digest,
    job: TuneJobSettings,
    given: Mapping[str, str],
    results: str,
    settings: str,
    merged: Path | None,
) -> Errand:
    options = {"exchange": job.exchange, **given, "results": results}
    options |= {"settings": settings} if settings else {}
    options |= {"merged": "1"} if merged else {}
    return Errand(identity, tuple(f"--{name}={value}" for name, value in options.items()))


def _platform(errand: Errand, job: TuneJobSettings, hear: Callable[[str], None]) -> Platform:
    try:
        if job.target == "kubeflow":
            from wherry.tune.adapters.kubeflow import TrainJobs

            return TrainJobs(errand, job, hear)
        from wherry.tune.adapters.vertex import CustomJobs

        return CustomJobs(errand, job, hear)
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"target: {job.target} needs {error.name}, which is not installed.",
            remedy=f'Run: pip install "wherry[{job.target}]"',
        ) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell(report: Report, rows: int, speed: float, name: str) -> None:
    report.verdict(f"{rows:,} rows, {speed:.0f} tok/s, by the job {name}")
