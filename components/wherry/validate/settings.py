"""What a team expects of its data."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from wherry.contracts.dataset import Kind


@dataclass(frozen=True)
class Rule:
    """One expectation, in Great Expectations' own form."""

    type: str
    """Its name, such as ``expect_column_values_to_not_be_null``."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Its arguments; columns are those of this room's README."""
    severity: Literal["critical", "warning", "info"] = "critical"
    """Only a critical one stops the run."""
    notes: str = ""
    """Why the team asks for it; the report shows it."""
    meta: dict[str, Any] = field(default_factory=dict)
    """The team's own; kept, not read."""


@dataclass(frozen=True)
class Suite:
    """All that a team expects of one data set."""

    expectations: tuple[dict[str, Any], ...]
    """Each a `Rule`; together at least one, with a critical row minimum among them."""
    name: str = "suite"
    notes: str = ""


@dataclass(frozen=True)
class OwnPattern:
    """Something of the team's own that must not stand in its data."""

    name: str
    """Small letters, digits and underscores; that of a built-in pattern adds to it."""
    regex: str
    """A regular expression in Rust's dialect: https://docs.rs/regex."""
    context: str = ""
    """An expression that must match nearby; empty if none must."""
    sort: Literal["pii", "secret"] = "pii"
    """Personal data, which gives a column ``pii_NAME``, or a secret: ``secret_NAME``."""


@dataclass(frozen=True)
class BenchmarkFile:
    """A file of texts that a team's data must not hold."""

    path: str
    """Below the workspace: a file of rows, or ``.txt`` with a text a line."""
    kind: Kind = "text"
    """What its rows are."""
    columns: dict[str, str] = field(default_factory=dict)
    """The file's own names for the parts of a row, such as ``prompt: question``."""

    def __post_init__(self) -> None:
        """Refuses a path that leaves the workspace.

        Raises:
            ValueError: naming it.
        """
        parts = PurePosixPath(self.path).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise ValueError(f"path must be below the workspace, got {self.path!r}")


@dataclass(frozen=True)
class Quarantine:
    """How many rows of loose files may be unreadable before they are refused."""

    rows: int = 1000
    """Most rows that are set aside."""
    share: float = 0.01
    """Most of all rows that are set aside, in [0, 1]."""

    def __post_init__(self) -> None:
        """Refuses a negative number and a share that is none.

        Raises:
            ValueError: naming the field and its value.
        """
        if self.rows < 0:
            raise ValueError(f"quarantine.rows must be at least 0, got {self.rows}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"quarantine.share must be in [0, 1], got {self.share}")


@dataclass(frozen=True)
class ValidateSettings:
    """How a data set is judged."""

    suite: dict[str, Any]
    """A `Suite`; there is no default, for an empty suite would pass any data."""
    patterns: tuple[OwnPattern, ...] = ()
    """Personal data and secrets of the team's own, beside those that are built in."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes that a row's language is chosen among; empty for all that are known."""
    benchmarks: dict[str, BenchmarkFile] = field(default_factory=dict)
    """Texts that the data must not hold, by the name that the report shows."""
    near_threshold: float = 0.8
    """Share of their groups of letters that near copies have in common at least, in [0.5, 1]."""
    listed_rows: int = 100
    """Most bad rows that the report lists, by split and line."""
    bins: int = 20
    """Bars of a length's distribution in the report."""

    def __post_init__(self) -> None:
        """Refuses numbers out of range and paths that leave the workspace.

        Raises:
            ValueError: naming the field and its value.
        """
        for name in ("listed_rows", "bins"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.5 <= self.near_threshold <= 1:
            raise ValueError(f"near_threshold must be in [0.5, 1], got {self.near_threshold}")
        for name in self.benchmarks:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
                raise ValueError(
                    f"a name in benchmarks must be letters, digits, '.', '_' and '-', got {name!r}"
                )
