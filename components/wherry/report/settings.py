"""What a team may set about its report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportSettings:
    """What the page may quote, and how much it lists and draws.

    Example::

        ReportSettings(quote_row=False)
    """

    quote_row: bool = True
    """Whether the call to try quotes the first held-out row. Turn it off for private data."""
    quarantine_lines: int = 20
    """Rows that failed a check listed one by one; the rest are counted by reason alone."""
    curve_points: int = 300
    """Points of the loss curve that are drawn at most; more are averaged in groups."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not 0 <= self.quarantine_lines <= 1000:
            raise ValueError(
                f"quarantine_lines must be between 0 and 1000, got {self.quarantine_lines}"
            )
        if not 10 <= self.curve_points <= 2000:
            raise ValueError(f"curve_points must be between 10 and 2000, got {self.curve_points}")
