"""How a run ended, kept beside its log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from wherry.contracts.record import Record

RECORD_NAME: Final = "run.json"


@dataclass(frozen=True)
class RunRecord(Record):
    """One run on this machine."""

    id: str
    """The name of its folder: when it started, in UTC."""
    outcome: Literal["done", "failed"]
    seconds: float
    code: str = ""
    """Of the error that it ended with."""
    note: str = ""
    """That error's message."""
    schema: Literal["wherry.run/1"] = "wherry.run/1"


def last_run(state: Path) -> RunRecord | None:
    """Gives the newest run that ended, or None."""
    records = sorted(state.glob(f"runs/*/{RECORD_NAME}"))
    return RunRecord.read(records[-1]) if records else None
