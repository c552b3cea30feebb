"""Wires the search: a data set, a base and a space in, every trial and the best recipe out."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.contracts import Digest, digest_bytes, read_settings
from wherry.contracts.errors import (
    ConflictError,
    DivergedError,
    ExtraMissingError,
    MemoryShortError,
    MissingError,
    SettingsError,
)
from wherry.contracts.files import write_atomic
from wherry.contracts.search import SearchReport, Trial
from wherry.progress import Silent, stage
from wherry.tune.checkpoints import open_checkpoints
from wherry.tune.parts import Parts
from wherry.tune.search.settings import SearchSettings
from wherry.tune.search.step import SAME, Pruned, Study, Trainer, Watch, best_of, search
from wherry.tune.settings import TuneSettings
from wherry.tune.step import Course, NoCheckpoints, tune
from wherry.workspace import state

if TYPE_CHECKING:
    from wherry.tune.adapters.pytorch.bench import Bench


def run(
    dataset: Path,
    base: Path,
    study: Path,
    best: Path,
    settings: str = "",
    start: Path | None = None,
    teacher: Path | None = None,
) -> str:
    """Searches the recipe of the lowest eval loss; killed, the same call goes on where it was.

    Args:
        dataset: the folder of a `Dataset` with the splits train and eval; no other is read.
        base: the base model's folder.
        study: where to write the `SearchReport`.
        best: where to write the best `TuneSettings`, as JSON.
        settings: a `SearchSettings` as JSON.
        start: the folder of an adapter to go on training, or None to begin at the base.
        teacher: the folder of the model to learn from, where the objective has one.

    Returns:
        What `best` has.
    """
    with stage("search") as report:
        wanted = read_settings(SearchSettings, settings)
        open_study, open_bench = _libraries()
        parts = Parts.verified(dataset, base, start, teacher)
        _refuse_no_eval(parts)
        with _alone(_key(parts, wanted)) as (path, key):
            opened: Study = open_study(path, key, wanted)
            trials = search(opened, _trainer(parts, open_bench), wanted, report, time.monotonic)
        found = _reported(parts, wanted, trials)
        found.write(study)
        text = json.dumps(found.recipe, indent=2)
        write_atomic(best, text.encode() + b"\n")
        report.verdict(_verdict(found))
    return text


def _libraries() -> tuple[Any, Any]:
    try:
        from wherry.tune.adapters.pytorch.bench import open_bench
        from wherry.tune.search.adapters.optuna import OptunaStudy
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"A search needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[search]"',
        ) from error
    return OptunaStudy, open_bench


def _refuse_no_eval(parts: Parts) -> None:
    if not parts.measured:
        raise MissingError(
            "The data set has no rows in a split eval, whose loss decides which recipe is best.",
            remedy="Give `ingest` a share of rows for eval.",
        )


def _key(parts: Parts, wanted: SearchSettings) -> Digest:
    """Gives what makes this the same search: all but its budget, which may be raised later.

    What a run's identity leaves out and a trial may fail of counts too: who lowers micro_batch
    after trials that needed too much memory wants them tried again.
    """
    same = {k: v for k, v in asdict(wanted).items() if k not in ("trials", "minutes", "recipe")}
    own = wanted.recipe
    runs = [parts.identity(own, 1), parts.data.split("eval").digest]
    inputs = [*runs, own.micro_batch, own.recompute, same]
    return digest_bytes(json.dumps(inputs, sort_keys=True).encode())


@contextmanager
def _alone(key: Digest) -> Iterator[tuple[Path, Digest]]:
    """Gives the study's file, which no other process uses meanwhile."""
    path = state() / "search" / f"{key.removeprefix('sha256:')[:16]}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                f"This very search is under way in another process ({path}).",
                remedy="Wait for it, or change the seed to search beside it.",
            ) from error
        yield path, key


def _trainer(parts: Parts, open_bench: Callable[..., Any]) -> Trainer:
    def train(recipe: TuneSettings, watch: Watch) -> float:
        parts.fits(replace(recipe, merge=False), merged=False)
        with open_bench(parts, recipe) as bench:
            course = _learnt(bench, recipe, parts.identity(recipe, 1), watch)
        return _kept_loss(course, recipe)

    return train


def _learnt(bench: "Bench", recipe: TuneSettings, run: Digest, watch: Watch) -> Course:
    """Tunes; a trial that will not be gone on with leaves no checkpoint behind."""
    ended: Exception
    given = (bench.train, bench.held_out, bench.learner, recipe, Silent(), time.monotonic)
    keeps = recipe.checkpoint_every > 0
    own = open_checkpoints(state() / "checkpoints", run) if keeps else nullcontext(NoCheckpoints())
    with own as kept:
        try:
            return tune(*given, checkpoints=kept, watch=watch)
        except (Pruned, DivergedError, MemoryShortError) as raised:
            ended = raised
    raise ended


def _kept_loss(course: Course, recipe: TuneSettings) -> float:
    losses = [p.eval_loss for p in course.points if p.eval_loss is not None]
    return min(losses) if recipe.keep_best else losses[-1]


def _reported(parts: Parts, wanted: SearchSettings, trials: Sequence[Trial]) -> SearchReport:
    best = best_of(trials)
    if best is None or best.eval_loss is None:
        raise _fruitless(wanted, trials)
    used = sum(trial.seconds for trial in trials)
    ended = sum(trial.state != "unfinished" for trial in trials)
    return SearchReport(
        trials=tuple(trials),
        best=best.number,
        eval_loss=best.eval_loss,
        recipe=asdict(wanted.recipe_of(best.settings)),
        space={name: str(span) for name, span in wanted.space.items()},
        ended="trials" if ended >= wanted.trials else "budget",
        trials_allowed=wanted.trials,
        seconds_allowed=60 * wanted.minutes,
        seconds_used=used,
        seed=wanted.seed,
        base_digest=parts.origin.digest,
        data_digest=parts.data.split("train").digest,
        eval_digest=parts.data.split("eval").digest,
    )


def _fruitless(wanted: SearchSettings, trials: Sequence[Trial]) -> SettingsError:
    own = sorted({trial.reason.rstrip(".") for trial in trials if trial.reason})
    told = "; ".join(reason for reason in own if not reason.startswith(SAME))
    return SettingsError(
        f"None of {len(trials)} trials was completed within {wanted.minutes:g} minutes"
        + (f": {told}." if told else "."),
        remedy="Raise minutes, lower rows or epochs of the recipe, or correct the space.",
    )


def _verdict(found: SearchReport) -> str:
    pruned = sum(trial.state == "pruned" for trial in found.trials)
    chosen = ", ".join(f"{k} {v}" for k, v in found.trials[found.best].settings.items())
    return (
        f"{len(found.trials)} trials, {pruned} pruned, {found.seconds_used:.0f} of "
        f"{found.seconds_allowed:.0f} s: eval loss {found.eval_loss:.3f} with {chosen}"
    )
