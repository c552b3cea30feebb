"""Keeps the last accepted report on each data set in the workspace's own state."""

from pathlib import Path

from wherry.contracts import Source, ValidationReport, digest_bytes
from wherry.contracts.errors import FormatError


class AcceptedReports:
    """A file a data set below ``.wherry/accepted``; a workspace without state keeps nothing.

    Args:
        state: the state's folder, as `wherry.workspace.state` gives it.
    """

    def __init__(self, state: Path) -> None:
        self._state = state

    def last(self, source: Source) -> ValidationReport | None:
        """Gives the last accepted report on a data set, or None if none is known here."""
        try:
            return ValidationReport.read(self._path(source))
        except (FileNotFoundError, FormatError):
            return None  # of another version of Wherry: as good as none

    def keep(self, report: ValidationReport) -> None:
        """Remembers a report as the last accepted one of its data set."""
        # A pod has no state: making some there would help nobody.
        if report.source is not None and self._state.is_dir():
            report.write(self._path(report.source))

    def _path(self, source: Source) -> Path:
        name = digest_bytes(f"{source.uri}\n{source.path}".encode()).removeprefix("sha256:")
        return self._state / "accepted" / f"{name[:32]}.json"
