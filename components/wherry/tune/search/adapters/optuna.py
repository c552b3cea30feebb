"""Remembers trials in a file and chooses the next with Optuna's tree-structured Parzen estimator.

The sampler is seeded anew for each setting of each trial, so that a study that was killed goes
on with the very trials of one that was not.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from wherry.contracts import Digest, digest_bytes
from wherry.contracts import search as contracts
from wherry.contracts.errors import StoreError
from wherry.tune.search.settings import SearchSettings, Span, whole
from wherry.tune.search.step import Proposal

_TOLD: Final = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,  # where the loss grows is no place to look further
    "failed": TrialState.FAIL,
}


class OptunaStudy:
    """A study in one file, a line a change; see `wherry.tune.search.step.Study`.

    Args:
        path: the file, which no other process uses meanwhile; made if it is not there.
        key: what makes it the same study when it is started again.
        settings: the space, the seed and the pruner.

    Raises:
        StoreError: if the file cannot be read.
    """

    def __init__(self, path: Path, key: Digest, settings: SearchSettings) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._settings = settings
        try:
            _recover(path)
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name=key,
                pruner=_pruner(settings),
                load_if_exists=True,
            )
        except Exception as error:  # what a spoilt line raises depends on where it is spoilt
            raise StoreError(
                f"{path} cannot be read as a study: {type(error).__name__}.",
                remedy="Remove it; the search then starts anew.",
            ) from error

    def trials(self) -> Sequence[contracts.Trial]:
        """Gives all trials so far, in the order of their numbers."""
        return [self._told(one) for one in self._study.get_trials(deepcopy=False)]

    def ask(self) -> Proposal:
        """Gives the unfinished trial, if there is one, or begins a new one."""
        open_ones = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._seed(open_ones[0].number if open_ones else len(self._study.trials))
        trial = self._trial(open_ones[0]) if open_ones else self._study.ask()
        for name, span in sorted(self._settings.space.items()):
            self._seed(trial.number, name)
            _suggest(trial, name, span)
        seconds = float(trial.user_attrs.get("seconds", 0.0))
        return Proposal(trial.number, self._values(trial.params), seconds)

    def spent(self, number: int, seconds: float) -> None:
        """Remembers how long a trial has taken."""
        self._running(number).set_user_attr("seconds", seconds)

    def measured(self, number: int, step: int, loss: float) -> bool:
        """Remembers an eval loss; says whether the trial is not worth finishing.

        Trials are compared at the same measurement, for their steps differ where batch_size is
        searched; before the first step and after the last there is nothing to save.
        """
        trial = self._running(number)
        steps: list[int] = trial.user_attrs.get("steps", [])
        if step not in steps:  # else it went on from a checkpoint before it
            steps = [*steps, step]
            trial.report(loss, len(steps) - 1)
            trial.set_user_attr("steps", steps)
        last = steps.index(step) + 1 >= self._settings.recipe.eval_points
        return not last and trial.should_prune()

    def tell(
        self, number: int, state: contracts.TrialState, loss: float | None, reason: str = ""
    ) -> None:
        """Ends a trial."""
        trial = self._running(number)
        trial.set_user_attr("state", state)
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, loss if state == "complete" else None, state=_TOLD[state])

    def _running(self, number: int) -> optuna.Trial:
        return self._trial(self._study.get_trials(deepcopy=False)[number])

    def _trial(self, frozen: FrozenTrial) -> optuna.Trial:
        return optuna.Trial(self._study, frozen._trial_id)

    def _seed(self, number: int, name: str = "") -> None:
        seed = digest_bytes(f"{self._settings.seed} {number} {name}".encode())[-8:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(
                seed=int(seed, 16), multivariate=False, constant_liar=False
            )

    def _values(self, params: dict[str, Any]) -> dict[str, contracts.Value]:
        spans = self._settings.space
        return {
            name: spans[name].choices[value] if spans[name].choices else value
            for name, value in sorted(params.items())
        }

    def _told(self, one: FrozenTrial) -> contracts.Trial:
        attributes = one.user_attrs
        ended, done = one.state.is_finished(), one.state == TrialState.COMPLETE
        losses = [one.value] if done else one.intermediate_values.values()
        return contracts.Trial(
            number=one.number,
            state=attributes.get("state", "failed") if ended else "unfinished",
            settings=self._values(one.params),
            eval_loss=min((loss for loss in losses if loss is not None), default=None),
            seconds=float(attributes.get("seconds", 0.0)),
            reason=attributes.get("reason", ""),
        )


def _recover(path: Path) -> None:
    """Clears away what a killed process left: half a line, and Optuna's own lock.

    The next line would be glued to the half one, and the lock be waited for for 30 s.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def _pruner(settings: SearchSettings) -> optuna.pruners.BasePruner:
    if settings.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=settings.startup, n_warmup_steps=1)


def _suggest(trial: optuna.Trial, name: str, span: Span) -> None:
    if span.choices:
        # Their places: Optuna stores no lists, and warns of what is no plain value.
        trial.suggest_categorical(name, range(len(span.choices)))
    elif whole(name):
        trial.suggest_int(name, int(span.low or 0), int(span.high or 0), log=span.log)
    else:
        trial.suggest_float(name, span.low or 0.0, span.high or 0.0, log=span.log)
