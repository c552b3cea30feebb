"""What a comparison of two models can be asked."""

from dataclasses import dataclass

from wherry.evaluate.settings import MeasureName


@dataclass(frozen=True)
class CompareSettings:
    """Which numbers of two models are held against each other."""

    metrics: tuple[MeasureName, ...] = ()
    """What is tested; empty for all that both have scores of. The correction over many tests
    makes each of them harder to pass: name the few that a decision stands on."""
    slices: bool = False
    """Whether each slice that both have scores of is tested too."""
    resamples: int = 10_000
    """Bootstrap resamples. The smallest p-value is 2 in so many, before the correction."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        if self.resamples < 1000:
            raise ValueError(f"resamples must be at least 1000, got {self.resamples}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
