"""What a sample of a team's data shows, in numbers: no text but labels and languages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from wherry.contracts.dataset import Kind

CONVERSATION: Final = ("prompt", "roles_in_order")
"""Columns of all kinds but plain text."""
FLAGS: Final = (
    "completion_empty",
    "garbled",
    "control_tokens",
    "control_tokens_in_answers",
    "injection",
    "duplicate",
    "contradicted",
    "near_duplicate",
    "prompt_in_other_split",
    "group_in_other_split",
    "near_in_other_split",
    "pii_email",
    "pii_phone",
    "pii_card",
    "pii_iban",
    "pii_ssn",
    "pii_ip",
    "pii_mrn",
    "secret",
)
"""True in a row that something is wrong with."""
VIRTUES: Final = ("roles_in_order", "label_known", "label_answered")
"""True in a row that is as it should be."""
LENGTHS: Final = ("prompt_tokens", "completion_tokens", "rejected_tokens")
CHARACTERS: Final = ("prompt_characters", "completion_characters")
"""What stands for `LENGTHS` without a tokenizer."""
_JOINERS: Final = str.maketrans("", "", "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Show nothing by themselves, but emoji and several scripts are written with them."""


def is_readable(text: str) -> bool:
    """Tells whether a text is one line of what a reader sees."""
    return text.translate(_JOINERS).isprintable()


@dataclass(frozen=True)
class Spread:
    """How the values of a column lie."""

    least: float
    median: float
    p99: float
    """99 of 100 rows have at most this."""
    most: float


@dataclass(frozen=True)
class Observed:
    """A sample of some files, counted."""

    kind: Kind
    rows: int
    splits: Mapping[str, int]
    """Rows by split, in the order of the files."""
    whole: bool = True
    """Whether the sample is all there is."""
    bad: int = 0
    """Rows that could not be read."""
    nulls: Mapping[str, int] = field(default_factory=dict)
    """Rows without a value, by column."""
    flagged: Mapping[str, int] = field(default_factory=dict)
    """Rows that are true, by column of `FLAGS`; rows that are not, of `VIRTUES`."""
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    repeated_ids: int = 0
    labels: tuple[str, ...] = ()
    """Sorted; empty if there are none, too many, or one that may be somebody's name."""
    label_count: int = 0
    private_labels: int = 0
    """Labels that look like personal data, a secret or something other than a name."""
    languages: Mapping[str, int] = field(default_factory=dict)
    """Rows by language, the most frequent first."""

    @property
    def labelled(self) -> bool:
        """Whether most rows have a label."""
        return self.label_count > 0 and self.nulls.get("label", 0) * 2 < self.rows
