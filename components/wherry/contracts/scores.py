"""What a model scored on a data split, with intervals."""

from dataclasses import dataclass
from typing import Final, Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record

LESS_IS_BETTER: Final = frozenset(
    {
        "byte_perplexity",
        "calibration_error",
        "first_token",
        "first_token_p95",
        "harm_rate",
        "jailbreak_rate",
        "judge_loss_rate",
        "judge_unreadable_rate",
        "latency",
        "latency_p95",
        "memorisation_rate",
        "over_refusal_rate",
        "peak_memory",
        "perplexity",
        "pii_leak_rate",
        "size",
        "unjudged_rate",
    }
)
"""Metrics of which a smaller value is the better one."""
NEITHER_IS_BETTER: Final = frozenset({"refusal_rate"})
"""Metrics that say nothing about better or worse by themselves: it is right to refuse what
harms, and wrong to refuse what helps."""


@dataclass(frozen=True)
class Metric:
    """One number about a model."""

    name: str
    """Such as ``accuracy``, ``macro_f1``, ``f1``, ``exact_match``, ``label_accuracy``,
    ``size``, ``peak_memory``, ``decode_speed``, ``first_token``."""
    value: float | None
    """None when it could not be measured: a gate fails on it, never passes."""
    n: int
    """Rows or runs that it stands on."""
    low: float | None = None
    """Lower end of the 95% confidence interval."""
    high: float | None = None
    slice: str = ""
    """What it covers: a class, such as ``heart``; a group or a length, such as
    ``group=K70`` or ``length=64-255``; empty for all rows."""
    unit: str = ""
    """Such as ``bytes``, ``tokens/s``, ``ms``, ``per token``, or empty for a share in [0, 1]."""
    method: str = ""
    """How the interval was made: ``wilson``, ``bootstrap``, ``bca``,
    ``binomial``, ``stderr``."""


@dataclass(frozen=True)
class Confusion:
    """How often each class was answered for each other one."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A line a true class, in the labels' order: how often each label was answered, and last
    how often none of them was."""


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
    """What ran the model: ``transformers``, ``llama.cpp``, ``openai``."""
    predictions_digest: Digest | None = None
    """Of the predictions' file that the metrics were counted from; None if there is none."""
    model_verified: bool = True
    """False if nobody re-hashed the model: an endpoint's digest is what somebody says."""
    confusion: Confusion | None = None
    """Of the free answers; None without classes."""
    schema: Literal["wherry.scores/1"] = "wherry.scores/1"

    def find(self, name: str, slice: str = "") -> Metric | None:
        """Gives a metric by name and slice, or None."""
        for metric in self.metrics:
            if metric.name == name and metric.slice == slice:
                return metric
        return None
