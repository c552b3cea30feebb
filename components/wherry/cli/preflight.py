"""Reads every stage's settings before the first stage runs."""

from pathlib import Path
from typing import Any, Final

from wherry.base.settings import BaseSettings
from wherry.contracts import read_settings
from wherry.deploy.settings import DeploySettings
from wherry.evaluate.settings import EvaluateSettings
from wherry.gate.settings import Policy
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


def check_settings(plan: Plan, path: Path) -> None:
    """Refuses a wrong setting now: the gate's typo must not surface after the tuning.

    Raises:
        SettingsError: naming the section, the field, the value and what was expected.
    """
    for room, kind in _SETTINGS.items():
        read_settings(kind, dict(plan.rooms[room]), where=f"section {room} of {path}")
