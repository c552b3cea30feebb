"""What is known of a metric by its name: its range, and whether more of it is better."""

import math
import re
from difflib import get_close_matches
from typing import Final

from wherry.contracts.scores import LESS_IS_BETTER, NEITHER_IS_BETTER

SHARES: Final = frozenset(
    {
        *("accuracy", "label_accuracy", "exact_match", "token_f1", "valid_json", "schema_valid"),
        *("precision", "recall", "f1"),
        *(f"{mean}_{of}" for mean in ("macro", "micro", "weighted") for of in ("f1", "precision")),
        *(f"{mean}_recall" for mean in ("macro", "micro", "weighted")),
        *("bleu", "chrf", "rouge_1", "rouge_2", "rouge_l"),
        *("calibration_error", "refusal_rate"),
    }
)
"""Metrics that are shares in [0, 1]; by the names of `wherry.evaluate`."""
SPEEDS: Final = frozenset({"decode_speed"})
"""Metrics without an upper end; more is better."""
COSTS: Final = LESS_IS_BETTER
"""Metrics of which less is better."""

_SHARE_ENDS: Final = ("_acc", "_acc_norm", "_exact_match", "_f1", "_rate")
"""Of a benchmark's metrics, such as ``hellaswag_acc_norm``, and of rates of safety."""
_LIKELIHOODS: Final = ("perplexity", "_loss", "bits_per_byte")
"""Less is better, as of all costs, but what they tell of is quality."""
_COST_ENDS: Final = (*_LIKELIHOODS, "latency")
_QUANTILE: Final = re.compile(r"_p\d{1,3}$")
"""``first_token_p95`` is a time as ``first_token`` is."""
_UNITS: Final = {
    "decode_speed": "tokens/s",
    "first_token": "ms",
    "latency": "ms",
    "peak_memory": "bytes",
    "size": "bytes",
}
_MEASURED: Final = frozenset(_UNITS.values())
"""Units of what is measured on runs or on the file; all else is counted on rows of data."""


def is_share(metric: str) -> bool:
    """Says whether a metric lies in [0, 1]."""
    return metric in SHARES or metric.endswith(_SHARE_ENDS)


def is_counted(metric: str, unit: str) -> bool:
    """Says whether a metric stands on rows of data, as a share or a perplexity does."""
    return is_share(metric) or unit not in _MEASURED


def is_exact(metric: str) -> bool:
    """Says whether a metric has no interval because it needs none, as a size."""
    return unit_of(metric) == "bytes"


def less_is_better(metric: str) -> bool:
    """Says whether a smaller value is the better one."""
    plain = _QUANTILE.sub("", metric)
    return plain in COSTS or plain.endswith(_COST_ENDS)


def is_speed(metric: str) -> bool:
    """Says whether a metric tells how quick a model is, or a quantile of that."""
    return _QUANTILE.sub("", metric) in SPEEDS


def is_likelihood(metric: str) -> bool:
    """Says whether a metric tells how probable real text is: the quality of plain text's models."""
    return metric.endswith(_LIKELIHOODS)


def fewest_runs(metric: str) -> int:
    """Gives the fewest runs that a quantile may stand on: of fewer it is the slowest one alone.

    Example::

        fewest_runs("first_token_p95") == 20
    """
    if (found := _QUANTILE.search(metric)) is None:
        return 1
    digits = found[0].removeprefix("_p")
    above = 1 - int(digits) / (100 if len(digits) < 3 else 1000)
    return math.ceil(round(1 / above, 6))


def likely_meant(metric: str) -> str:
    """Gives the metric of Wherry's own that an unknown name is a slip of; empty if it is none.

    Benchmarks and teams name metrics as they like: a name that is like no other is no slip.

    Example::

        likely_meant("acuracy") == "accuracy"
    """
    known = SHARES | SPEEDS | COSTS | NEITHER_IS_BETTER
    plain = _QUANTILE.sub("", metric)
    if metric in known or plain in known:
        return ""
    return next(iter(get_close_matches(plain, sorted(known), n=1, cutoff=0.85)), "")


def has_direction(metric: str) -> bool:
    """Says whether more or less of it is better at all."""
    return metric not in NEITHER_IS_BETTER


def unit_of(metric: str) -> str | None:
    """Gives the unit that a metric is measured in, empty for a share; None if nobody knows."""
    return "" if is_share(metric) else _UNITS.get(_QUANTILE.sub("", metric))
