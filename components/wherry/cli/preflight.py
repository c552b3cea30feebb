"""Reads every stage's settings before the first stage runs."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from wherry.base.settings import BaseSettings
from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.deploy.settings import DeploySettings
from wherry.evaluate.settings import EvaluateSettings
from wherry.gate.metrics import fewest_runs
from wherry.gate.settings import Policy, Rules, metric_of
from wherry.ingest.settings import IngestSettings
from wherry.quantize.settings import QuantizeSettings
from wherry.release.settings import ReleaseSettings
from wherry.runtime.plan import Plan
from wherry.tune.jobs import TuneJobSettings
from wherry.tune.settings import TuneSettings
from wherry.validate.settings import ValidateSettings

_SETTINGS: Final[dict[str, type[Any]]] = {
    "ingest": IngestSettings,
    "base": BaseSettings,
    "validate": ValidateSettings,
    "tune": TuneSettings,
    "tune_job": TuneJobSettings,
    "evaluate": EvaluateSettings,
    "quantize": QuantizeSettings,
    "gate": Policy,
    "release": ReleaseSettings,
    "deploy": DeploySettings,
}

_SPLITS: Final = (
    ("evaluate", "split"),
    ("quantize", "split"),
    ("quantize", "importance_split"),
)
"""Settings that name a split; the defaults stand for stages that a pipeline may not have."""
_QUANTILES: Final = "first_token_p"
_TIMED: Final = f"{_QUANTILES}95"
"""The one quantile that evaluate takes from its `speed_runs`."""


def check_settings(plan: Plan, path: Path) -> None:
    """Refuses a wrong setting now: the gate's typo must not surface after the tuning.

    Raises:
        SettingsError: naming the section, the field, the value and what was expected.
    """
    read = {
        room: read_settings(kind, dict(plan.rooms[room]), where=f"section {room} of {path}")
        for room, kind in _SETTINGS.items()
    }
    _check_splits(read, path)
    _check_runs(read, path)


def _check_splits(read: Mapping[str, Any], path: Path) -> None:
    """Refuses a split that nothing makes, and a gate that would look at another than is scored."""
    made = read["ingest"].splits
    for room, field in _SPLITS:
        named = getattr(read[room], field)
        if named not in made and named != _default(_SETTINGS[room], field):
            raise SettingsError(
                f"section {room} of {path}: {field} is {named!r}, expected one of "
                f"{', '.join(made)}.",
                remedy="Correct it, or `splits` in the section ingest.",
            )
    scored, judged = read["evaluate"].split, read["gate"].split
    if scored != judged:
        raise SettingsError(
            f"{path}: evaluate scores the split {scored!r}, the gate judges scores of {judged!r}.",
            remedy="Name one split in both sections.",
        )


def _check_runs(read: Mapping[str, Any], path: Path) -> None:
    """Refuses a limit of a quantile that evaluate does not take, or has too few runs for."""
    runs, least = read["evaluate"].speed_runs, fewest_runs(_TIMED)
    for metric in _limited(read["gate"]):
        if metric.startswith(_QUANTILES) and metric != _TIMED:
            raise SettingsError(
                f"{path}: the gate limits {metric}, which evaluate does not measure.",
                remedy=f"Limit {_TIMED}, or the median: first_token.",
            )
        if metric == _TIMED and runs < least:
            raise SettingsError(
                f"{path}: the gate limits {metric}, which takes {least} runs at least; speed_runs "
                f"of evaluate is {runs}.",
                remedy=f"Write `speed_runs: {least}` in the section evaluate.",
            )


def _limited(rules: Rules | Policy) -> Iterator[str]:
    """Gives the metrics that must keep a limit; of `any_of`, another group may pass."""
    yield from (metric_of(key)[0] for key in (*rules.floors, *rules.ceilings))
    for group in rules.all_of or ():
        yield from _limited(group)


def _default(kind: type[Any], field: str) -> Any:
    return next(each.default for each in fields(kind) if each.name == field)
