"""What a model scored on a data split, with intervals."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record


@dataclass(frozen=True)
class Metric:
    """One number about a model."""

    name: str
    """Such as ``accuracy``, ``macro_f1``, ``f1``, ``exact_match``, ``label_accuracy``,
    ``size``, ``peak_memory``, ``decode_speed``, ``first_token``."""
    value: float | None
    """None when it could not be measured: a gate fails on it, never passes."""
    n: int
    """Rows, tokens or runs that it stands on."""
    low: float | None = None
    """Lower end of the 95% confidence interval."""
    high: float | None = None
    slice: str = ""
    """The class or group that it covers, or empty for all rows."""
    unit: str = ""
    """Such as ``bytes``, ``tokens/s``, ``ms``, or empty for a share in [0, 1]."""
    method: str = ""
    """How the interval was made: ``wilson``, ``bootstrap``."""


@dataclass(frozen=True)
class Scores(Record):
    """All metrics of one model on one split."""

    subject: str
    """Which of the run's models: ``base``, ``tuned``, ``quantized``."""
    model_digest: Digest
    template_digest: Digest
    data_digest: Digest
    """Of the split's file."""
    split: str
    metrics: tuple[Metric, ...]
    engine: str = ""
    """What ran the model: ``transformers``, ``llama.cpp``."""
    schema: Literal["wherry.scores/1"] = "wherry.scores/1"

    def find(self, name: str, slice: str = "") -> Metric | None:
        """Gives a metric by name and slice, or None."""
        for metric in self.metrics:
            if metric.name == name and metric.slice == slice:
                return metric
        return None
