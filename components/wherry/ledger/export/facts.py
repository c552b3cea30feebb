"""Gathers what the store knows of one version."""

import json
from dataclasses import dataclass
from typing import Any

from wherry.contracts import Approval, Deployment, Metric, Release, Scores
from wherry.ledger.records import AuditRow, Evidence


@dataclass(frozen=True)
class Facts:
    """One version with everything that was recorded of it."""

    release: Release
    evidence: Evidence
    rows: tuple[AuditRow, ...]
    """The audit rows that are about it, in order."""
    approvals: tuple[Approval, ...]
    deployments: tuple[Deployment, ...]

    @property
    def registered(self) -> AuditRow:
        """The row that made the version."""
        return next(row for row in self.rows if row.action == "register")

    @property
    def title(self) -> str:
        """For headings."""
        return f"{self.release.name} version {self.release.version}"

    @property
    def file_name(self) -> str:
        """The model file's name in the store."""
        return self.release.uri.rpartition("/")[2]

    @property
    def scores(self) -> Scores:
        """Of the very file that ships."""
        return next(one for one in self.evidence.scores if one.model_digest == self.release.digest)

    @property
    def headline(self) -> tuple[Metric, ...]:
        """The file's metrics over all rows."""
        return tuple(metric for metric in self.scores.metrics if not metric.slice)

    @property
    def settings(self) -> dict[str, Any]:
        """All stages' settings, those of a stage as an object; empty if none were recorded."""
        raw = json.loads(self.evidence.settings or "{}")
        return {name: _unpacked(value) for name, value in raw.items()}

    @property
    def intended_use(self) -> str:
        """What the model is for, as its settings said; empty if they did not."""
        release = self.settings.get("release_settings")
        return str(release.get("intended_use") or "") if isinstance(release, dict) else ""

    @property
    def policy(self) -> Any:
        """The gate's policy as it was asked, or None if it was not recorded."""
        return self.settings.get("gate_settings")


def hexadecimal(digest: str) -> str:
    """Gives a digest without its algorithm."""
    return digest.partition(":")[2]


def _unpacked(value: Any) -> Any:
    # Each stage's settings travel as a JSON text of their own.
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
