"""What a team expects of its data."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Rule:
    """One expectation, in Great Expectations' own form."""

    type: str
    """Its name, such as ``expect_column_values_to_not_be_null``."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Its arguments; ``column`` is one of `wherry.validate.features.COLUMNS`."""
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
class ValidateSettings:
    """How a data set is judged."""

    suite: dict[str, Any]
    """A `Suite`; there is no default, for an empty suite would pass any data."""
    listed_rows: int = 100
    """Most bad rows that the report lists, by split and line."""
    bins: int = 20
    """Bars of a length's distribution in the report."""

    def __post_init__(self) -> None:
        """Refuses counts that are not positive.

        Raises:
            ValueError: naming the field and its value.
        """
        for name in ("listed_rows", "bins"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
