"""Tells an MLflow server of a run."""

import os
from typing import Final

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from wherry.contracts import Digest
from wherry.contracts.curve import CurvePoint
from wherry.contracts.errors import SettingsError
from wherry.tune.trackers import Recipe, scalars

_ADDRESS: Final = "MLFLOW_TRACKING_URI"
_EXPERIMENT: Final = "wherry"
_RUN: Final = "wherry.run"
"""The tag by which a run that did not end well finds its record again."""


class MlflowRun:
    """A record of an MLflow server; see `wherry.tune.trackers.Tracker`.

    Nothing is taken from the surroundings, as MLflow's fluent functions do: no user, no command
    line, no environment.

    Args:
        recipe: the run's settings.
        run: its identity.

    Raises:
        SettingsError: if MLFLOW_TRACKING_URI is not set.
    """

    def __init__(self, recipe: Recipe, run: Digest) -> None:
        if not (address := os.environ.get(_ADDRESS)):
            raise SettingsError(
                f"trackers: mlflow needs the server's address, but {_ADDRESS} is not set.",
                remedy=f"Set {_ADDRESS}, such as http://mlflow.mlflow.svc:5000.",
            )
        self._client = MlflowClient(tracking_uri=address)
        self._id = self._found(run) or self._begun(run, recipe)

    def point(self, point: CurvePoint) -> None:
        """Takes a point; its time is the time of training, so that a repeated one is the same."""
        at = int(point.seconds * 1000)
        metrics = [Metric(name, value, at, point.step) for name, value in scalars(point).items()]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, *, well: bool) -> None:
        """Closes the record; one of a run that was killed stays open."""
        self._client.set_terminated(self._id, "FINISHED" if well else "FAILED")

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _found(self, run: Digest) -> str | None:
        wanted = f"tags.`{_RUN}` = '{run}' and attributes.status != 'FINISHED'"
        if not (runs := self._client.search_runs([self._experiment()], wanted, max_results=1)):
            return None
        found = str(runs[0].info.run_id)
        self._client.update_run(found, status="RUNNING")
        return found

    def _begun(self, run: Digest, recipe: Recipe) -> str:
        """Begins a record; MLflow lets no setting change afterwards, threads and the like either.

        One that goes on keeps the settings that it began with.
        """
        made = str(self._client.create_run(self._experiment(), tags={_RUN: run}).info.run_id)
        params = [Param(name, str(value)) for name, value in recipe.items()]
        self._client.log_batch(made, params=params)
        return made
