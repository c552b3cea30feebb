"""Runs tuning as a pipeline's task: every output is there in the end, asked for or not."""

import json
from pathlib import Path

from wherry.contracts import read_settings
from wherry.contracts.curve import LossCurve
from wherry.contracts.errors import SettingsError
from wherry.contracts.files import write_atomic
from wherry.tune.outputs import NOT_ASKED
from wherry.tune.run import run
from wherry.tune.settings import TuneSettings


def run_task(
    dataset: Path,
    base: Path,
    adapter: Path,
    curve: Path,
    metrics: Path,
    merged: Path,
    settings: str = "",
    start: Path | None = None,
    teacher: Path | None = None,
    job: str = "",
) -> dict[str, float]:
    """Tunes as `wherry.tune.run.run` does.

    KFP has no optional outputs, and its local runner takes one without a file for lost: it would
    tune again instead of answering from the cache.

    Args:
        dataset: the folder of a `Dataset`.
        base: the base model's folder.
        adapter: the folder to make.
        curve: where to write the `LossCurve`.
        metrics: where to write what is returned, as JSON.
        merged: the folder to make of base and adapter as one model, if the recipe says so.
        settings: a `TuneSettings` as JSON.
        start: the folder of an adapter to go on training, or None.
        teacher: the folder of the model to learn from, or None.
        job: a `TuneJobSettings` as JSON.

    Returns:
        The numbers that say at a glance how the run went.
    """
    wanted = merged if _asked(settings) else None
    run(dataset, base, adapter, curve, settings, wanted, start, teacher, job=job)
    if wanted is None:
        write_atomic(merged / NOT_ASKED, b"Set merge: true in the tune settings.\n")
    headline = LossCurve.read(curve).headline
    write_atomic(metrics, json.dumps(headline, indent=2).encode())
    return headline


def _asked(settings: str) -> bool:
    try:
        return read_settings(TuneSettings, settings).merge
    except SettingsError:
        return False  # `run` tells it, as this stage's failure
