"""How closely two versions of a data set are looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DiffSettings:
    """How closely two versions of a data set are compared."""

    language_rows: int = 100_000
    """Rows of each version whose language is measured, chosen by a hash of their ids: the same
    rows of both; 0 for none."""
    fewest_rows: int = 3
    """A label of fewer rows in both versions is counted among the others: it may be a text that
    slipped in."""

    def __post_init__(self) -> None:
        """Refuses numbers below 0.

        Raises:
            ValueError: naming the field and its value.
        """
        for name in ("language_rows", "fewest_rows"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
