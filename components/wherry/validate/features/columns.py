"""The catalogue of features: what each column of the table is called and holds."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from wherry.contracts.errors import SettingsError

if TYPE_CHECKING:
    from wherry.text.overlap import Benchmark
    from wherry.text.patterns import Pattern

Storage = Literal["bool", "int", "float", "hash", "text"]
"""What a column holds. A hash is a 64-bit whole number; null where the text is empty."""

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Gives the number of tokens of each text."""

ALWAYS: Final = ("position", "split", "line")
"""Columns of every table: where a row stands, in all the data and in its split."""

SHOWN: Final[Mapping[str, Storage]] = {
    "position": "int",
    "split": "text",
    "line": "int",
    "id": "hash",
    "prompt": "hash",
    "completion": "hash",
    "group": "hash",
    "row": "hash",
    "label": "text",
    "roles": "text",
    "roles_in_order": "bool",
    "turns": "int",
    "characters": "int",
    "prompt_characters": "int",
    "completion_characters": "int",
    "prompt_tokens": "int",
    "completion_tokens": "int",
    "rejected_tokens": "int",
    "tokens": "int",
    "label_answered": "bool",
    "completion_empty": "bool",
    "rejected_is_completion": "bool",
    "age_days": "float",
    "language": "text",
    "completion_language": "text",
    "repetition": "float",
    "control_tokens": "bool",
    "control_tokens_in_answers": "bool",
    "injection": "bool",
    "garbled": "bool",
    "in_benchmark": "bool",
    "benchmark": "text",
}
"""What a row shows by itself; personal data and secrets come on top, see `column_types`."""

RELATED: Final[Mapping[str, Storage]] = {
    "label_known": "bool",
    "label_balance": "float",
    "duplicate": "bool",
    "contradicted": "bool",
    "completion_count": "int",
    "near_duplicate": "bool",
    "prompt_in_other_split": "bool",
    "group_in_other_split": "bool",
    "near_in_other_split": "bool",
}
"""What a row shows beside the others."""

COLUMNS: Final = (*SHOWN, *RELATED)
"""Every column but those of `wherry.text.measure`."""

TOKENS: Final = frozenset({"prompt_tokens", "completion_tokens", "rejected_tokens", "tokens"})
"""Columns that need the base model's tokenizer."""


@dataclass(frozen=True)
class FeatureTable:
    """A Parquet file with one row for each row of the data, and no text of it."""

    path: Path
    rows: int
    columns: Mapping[str, Storage]
    """The columns that were asked for, and `ALWAYS`."""


@dataclass(frozen=True)
class Instruments:
    """What rows are measured with."""

    count_tokens: CountTokens | None = None
    """The base model's own tokenizer, or None without one."""
    special_tokens: tuple[str, ...] = ()
    """The base model's control tokens, as its tokenizer names them."""
    patterns: tuple["Pattern", ...] = ()
    """A team's own, beside those of `wherry.text.patterns`; each gives a column, ``pii_NAME`` or
    ``secret_NAME``."""
    languages: tuple[str, ...] = ()
    """The codes that a language is chosen among; empty for all."""
    benchmarks: tuple["Benchmark", ...] = ()
    """Files of texts that the data must not hold."""
    near_threshold: float = 0.8
    """Share of their groups of letters that near copies have in common at least, in [0.5, 1]."""
    now: datetime | None = None
    """For the age of a row; aware of its time zone."""


def column_types(patterns: Sequence["Pattern"] = ()) -> dict[str, Storage]:
    """Gives every column that a suite may name, with what it holds.

    Args:
        patterns: a team's own; each gives a column.
    """
    from wherry.text.measure import measures  # it loads Polars: only when it is used

    flags: dict[str, Storage] = dict.fromkeys(measures(patterns), "bool")
    return {**SHOWN, **RELATED, **{name: flags[name] for name in flags if name not in SHOWN}}


def refuse_unmeasurable(columns: Collection[str], instruments: Instruments) -> None:
    """Refuses columns that these instruments cannot measure.

    Raises:
        SettingsError: naming the column and what it needs.
    """
    needs = {
        **dict.fromkeys(sorted(TOKENS), (instruments.count_tokens, "the base model's tokenizer")),
        "age_days": (instruments.now, "a clock"),
        "in_benchmark": (instruments.benchmarks, "`benchmarks`"),
        "benchmark": (instruments.benchmarks, "`benchmarks`"),
    }
    for name, (given, what) in needs.items():
        if name in columns and not given:
            raise SettingsError(
                f"The suite asks for {name}, which needs {what}; there is none.",
                remedy=f"Give {what}, or take {name} out of the suite.",
            )
