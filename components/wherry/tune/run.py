"""Wires tuning: a data set and a base model in, an adapter and its loss curve out."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.contracts import Digest, Manifest, ModelRef, digest_file, read_settings
from wherry.contracts.curve import LossCurve
from wherry.contracts.errors import ExtraMissingError
from wherry.contracts.files import staged_folder
from wherry.contracts.model import MODEL_NAME
from wherry.ledger.stages import recorded
from wherry.progress import Report, Silent, stage
from wherry.tune.checkpoints import Mirror, open_checkpoints
from wherry.tune.jobs import TuneJobSettings
from wherry.tune.outputs import Outputs
from wherry.tune.parts import Parts
from wherry.tune.settings import TuneSettings
from wherry.tune.signals import wanted_back
from wherry.tune.step import Checkpoints, Course, NoCheckpoints, tune
from wherry.tune.trackers import Watch, tracked
from wherry.workspace import state

if TYPE_CHECKING:
    from wherry.tune.adapters.pytorch.bench import Bench


@recorded("tune", inputs=("dataset", "base", "start", "teacher"), outputs=("adapter", "merged"))
def run(
    dataset: Path,
    base: Path,
    adapter: Path,
    curve: Path,
    settings: str = "",
    merged: Path | None = None,
    start: Path | None = None,
    teacher: Path | None = None,
    checkpoints: str = "",
    job: str = "",
) -> None:
    """Tunes a base model on the train split; killed, the same call goes on where it was.

    Args:
        dataset: the folder of a `Dataset` with the split train, and eval to measure on.
        base: the base model's folder.
        adapter: the folder to make: an adapter in PEFT's form, or the whole model where the
            method is ``full``.
        curve: where to write the `LossCurve`.
        settings: a `TuneSettings` as JSON.
        merged: the folder to make of the base with the adapter folded in, or None.
        start: the folder of an adapter to go on training, or None to begin at the base.
        teacher: the folder of the model to learn from, where the objective has one.
        checkpoints: a URI where copies of the checkpoints go, so that the run can go on on
            another machine; SIGTERM then saves one before it ends the run.
        job: a `TuneJobSettings` as JSON: where the run is carried out, if not here.
    """
    with stage("tune") as report:
        place = read_settings(TuneJobSettings, job)
        out = Outputs(adapter, curve, merged)
        out.refuse_loss([folder for folder in (dataset, base, start, teacher) if folder])
        if place.target != "local":
            others = {"start": start, "teacher": teacher}
            _remote()(place, dataset, base, adapter, curve, settings, merged, others, report)
            return
        run_here(dataset, base, out, settings, start, teacher, checkpoints, report)


def run_here(
    dataset: Path,
    base: Path,
    out: Outputs,
    settings: str,
    start: Path | None,
    teacher: Path | None,
    checkpoints: str,
    report: Report,
    stored: Callable[[], None] = lambda: None,
) -> None:
    """Tunes in this process as `run` does; its checkpoints outlive all that may still fail.

    Args:
        dataset: the data set's folder.
        base: the base model's.
        out: where the results go.
        settings: a `TuneSettings` as JSON.
        start: the folder of an adapter to go on training, or None.
        teacher: the folder of the model to learn from, or None.
        checkpoints: a URI where copies of the checkpoints go, or nothing.
        report: told how far it is.
        stored: called by the first rank once the results are there: it brings them to safety.
    """
    recipe = read_settings(TuneSettings, settings)
    open_bench = _libraries()
    parts = Parts.verified(dataset, base, start, teacher)
    parts.fits(recipe, merged=out.merged is not None)
    with open_bench(parts, recipe) as bench:
        work = _Work(parts, recipe, bench)
        with work.checkpoints(checkpoints) as kept:
            with work.tracked(out.curve) as watch:
                course = work.learn(report if bench.ranks.first else Silent(), kept, watch)
            bench.learner.settle()
            if bench.ranks.first:
                work.publish(course, out)
            bench.ranks.wait()
            if bench.ranks.first:
                stored()
        report.verdict(work.verdict(course))


def _remote() -> Any:
    try:
        from wherry.tune.remote import run_elsewhere
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"A job elsewhere needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[kubeflow]", or "wherry[vertex]".',
        ) from error
    return run_elsewhere


def _libraries() -> Any:
    try:
        from wherry.tune.adapters.pytorch.bench import open_bench
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Tuning needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[tune]"',
        ) from error
    return open_bench


def _mirror(uri: str, run: Digest) -> Mirror | None:
    if not uri:
        return None
    from wherry.tune.adapters.bucket import Bucket, BucketMirror

    return BucketMirror(Bucket(uri), run.removeprefix("sha256:")[:16])


def _step(course: Course) -> str:
    if not course.kept_step:
        return "the weights it began with: no step lowered the eval loss"
    return f"step {course.kept_step} of {course.steps}"


def _never() -> bool:
    return False


@dataclass(frozen=True)
class _Work:
    """A run under way."""

    parts: Parts
    recipe: TuneSettings
    bench: "Bench"

    def tracked(self, curve: Path) -> AbstractContextManager[Watch]:
        """Gives what tells the trackers of the recipe, on the first rank alone."""
        names = self.recipe.trackers if self.bench.ranks.first else ()
        run = self.parts.identity(self.recipe, self.bench.ranks.size)
        return tracked(names, self._settings(), run, curve)

    def learn(self, report: Report, kept: Checkpoints, watch: Watch) -> Course:
        """Learns, from the last checkpoint on if there is one."""
        own = self.bench
        given = (own.train, own.held_out, own.learner, self.recipe, report, time.monotonic)
        return tune(*given, checkpoints=kept, watch=watch)

    def publish(self, course: Course, out: Outputs) -> None:
        """Writes what was learnt."""
        model = self.bench.learner.model
        with staged_folder(out.adapter) as folder:
            weights = model.save(folder, self.parts.origin.base_uri)
            self._described(weights).write(folder / MODEL_NAME)
            Manifest.seal(folder)
        if out.merged is not None:
            self._merge(out.adapter, out.merged)
        self._curve(course).write(out.curve)

    def verdict(self, course: Course) -> str:
        """Says in a line how it went."""
        losses = [p.eval_loss for p in course.points if p.eval_loss is not None]
        fall = f", eval loss {losses[0]:.2f} → {min(losses):.2f}" if losses else ""
        left_out = f", {self.bench.too_long} too long" if self.bench.too_long else ""
        kept = "" if course.kept_step == course.steps else f", kept {_step(course)}"
        resumed = f", resumed at step {course.resumed_at}" if course.resumed_at else ""
        return (
            f"{len(self.bench.train):,} rows{left_out}, "
            f"{course.tokens_per_second:.0f} tok/s{fall}{kept}{resumed}"
        )

    @contextmanager
    def checkpoints(self, uri: str) -> Iterator[Checkpoints]:
        """Gives the run's checkpoints, which the first rank keeps until the block ends well."""
        if not self.recipe.checkpoint_every:
            yield NoCheckpoints()
            return
        ranks = self.bench.ranks
        identity = self.parts.identity(self.recipe, ranks.size)
        with wanted_back() if uri else nullcontext(_never) as leaving:
            own = (state() / "checkpoints", identity, _mirror(uri, identity), leaving)
            with open_checkpoints(*own) if ranks.first else nullcontext(NoCheckpoints()) as kept:
                yield self._of_all_ranks(kept, leaving) if ranks.size > 1 else kept

    def _of_all_ranks(self, kept: Checkpoints, leaving: Callable[[], bool]) -> Checkpoints:
        from wherry.tune.adapters.pytorch.shared import RankCheckpoints

        own = self.bench
        learner = own.learner
        return RankCheckpoints(kept, own.ranks, learner.model.device, learner.take_part, leaving)

    def _merge(self, adapter: Path, merged: Path) -> None:
        from wherry.tune.adapters.pytorch.merge import merge

        samples = self.bench.held_out or self.bench.train
        with staged_folder(merged) as folder:
            merge(self.parts.base, adapter, folder, samples)
            weights = folder / "model.safetensors"
            own = ModelRef.read(adapter / MODEL_NAME)
            replace(
                own,
                format="transformers",
                file=weights.name,
                digest=digest_file(weights),
                size=weights.stat().st_size,
                adapter_digest=own.digest,
            ).write(folder / MODEL_NAME)
            Manifest.seal(folder)

    def _described(self, weights: Path) -> ModelRef:
        parts, digest = self.parts, digest_file(weights)
        origin = parts.origin
        whole = self.recipe.method == "full" and parts.start is None
        return ModelRef(
            name=origin.name,
            format="transformers" if whole else "adapter",
            file=weights.name,
            digest=digest,
            size=weights.stat().st_size,
            base_uri=origin.base_uri,
            base_digest=origin.digest,
            template_digest=origin.template_digest,
            quantization="float32",
            adapter_digest=None if whole else digest,
            licence=origin.licence,
            teacher_digest=parts.teacher_digest,
            start_digest=parts.start_digest,
        )

    def _curve(self, course: Course) -> LossCurve:
        parts = self.parts
        return LossCurve(
            points=course.points,
            rows=len(self.bench.train),
            epochs=self.recipe.epochs,
            tokens_per_second=course.tokens_per_second,
            seconds=course.seconds,
            seed=self.recipe.seed,
            base_digest=parts.origin.digest,
            data_digest=parts.data.split("train").digest,
            steps=course.steps,
            kept_step=course.kept_step,
            resumed_at=course.resumed_at,
            settings=self._settings(),
            teacher_digest=parts.teacher_digest,
            start_digest=parts.start_digest,
        )

    def _settings(self) -> dict[str, str | int | float | bool]:
        """Gives the whole recipe in plain values."""
        return {
            name: ", ".join(value) if isinstance(value, tuple) else value
            for name, value in asdict(self.recipe).items()
        }
