"""Counts what a table of features holds."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from wherry.contracts.dataset import Kind
from wherry.validate.features.columns import FeatureTable
from wherry.validate.fitted.observed import (
    CHARACTERS,
    CONVERSATION,
    FLAGS,
    LENGTHS,
    VIRTUES,
    Observed,
    Spread,
    is_readable,
)

if TYPE_CHECKING:
    import polars as pl

_MOST_LABELS: Final = 50
"""More labels than these are counted, not listed."""
_LONGEST_LABEL: Final = 64
"""A longer label, in characters, is more likely a text than a name."""
_WITHOUT_CONVERSATION: Final = frozenset({*CONVERSATION, "prompt_tokens", "prompt_characters"})


def wanted(kind: Kind, splits: Collection[str], *, tokens: bool, times: bool) -> list[str]:
    """Gives the columns to measure.

    Args:
        kind: of the rows.
        splits: their names.
        tokens: whether there is a tokenizer.
        times: whether there is a clock.
    """
    lengths = LENGTHS if tokens else CHARACTERS
    shown = ["id", "completion", "label", "group", "language", "repetition", "label_balance"]
    names = [*CONVERSATION, *shown, "age_days", *lengths, *FLAGS, *VIRTUES, "completion_count"]
    left_out = set(_WITHOUT_CONVERSATION) if kind == "text" else set()
    left_out |= set() if kind == "preference" else {"rejected_tokens"}
    left_out |= set() if times else {"age_days"}
    if len(splits) < 2:
        left_out |= {name for name in names if name.endswith("_other_split")} | {"label_known"}
    return [name for name in dict.fromkeys(names) if name not in left_out]


def observe(table: FeatureTable, kind: Kind, *, whole: bool, bad: int) -> Observed:
    """Counts a table that `wanted` named the columns of.

    Args:
        table: the features of a sample.
        kind: of the rows.
        whole: whether the sample is all there is.
        bad: rows that could not be read.
    """
    import polars as pl

    frame = pl.read_parquet(table.path)
    labels = frame["label"].drop_nulls().unique().sort()
    private = _private(labels)
    listed = not private and len(labels) <= _MOST_LABELS
    return Observed(
        kind=kind,
        rows=frame.height,
        splits=_counted(frame["split"]),
        whole=whole,
        bad=bad,
        nulls={name: frame[name].null_count() for name in frame.columns},
        flagged=_flagged(frame),
        spreads=_spreads(frame),
        repeated_ids=len(ids) - ids.n_unique() if len(ids := frame["id"].drop_nulls()) else 0,
        labels=tuple(labels) if listed else (),
        label_count=len(labels),
        private_labels=private,
        languages=_by_frequency(frame["language"]),
    )


def _flagged(frame: "pl.DataFrame") -> dict[str, int]:
    bad = {name: int(frame[name].sum()) for name in FLAGS if name in frame}
    missed = {name: int((~frame[name]).sum()) for name in VIRTUES if name in frame}
    return {**bad, **missed}


def _spreads(frame: "pl.DataFrame") -> dict[str, Spread]:
    numbers = (
        *(*LENGTHS, *CHARACTERS),
        *("label_balance", "repetition", "completion_count", "age_days"),
    )
    found = {}
    for name in (each for each in numbers if each in frame):
        values = frame[name].drop_nulls().cast(float)
        if len(values):
            marks = (values.quantile(share, "nearest") or 0.0 for share in (0.0, 0.5, 0.99, 1.0))
            found[name] = Spread(*marks)
    return found


def _private(labels: "pl.Series") -> int:
    """Counts labels that must not be written into a file that people share."""
    from wherry.text.measure import looks_private

    odd = [not is_readable(name) or len(name) > _LONGEST_LABEL for name in labels]
    return sum(map(any, zip(looks_private(labels.to_list()), odd, strict=True)))


def _counted(values: "pl.Series") -> dict[str, int]:
    names = values.unique(maintain_order=True)
    return {str(name): int((values == name).sum()) for name in names}


def _by_frequency(values: "pl.Series") -> dict[str, int]:
    counts = _counted(values.drop_nulls())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
