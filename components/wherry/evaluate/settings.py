"""What an evaluation can be asked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluateSettings:
    """How a model is asked, and how its answers are counted."""

    split: str = "test"
    """The data split that is asked."""
    rows: int = 0
    """Rows asked, the first of the split; 0 for all."""
    max_new_tokens: int = 8
    """Longest free answer, in tokens."""
    batch_size: int = 32
    """Rows that transformers answers at once: its decoding is bound by memory, not by work."""
    slots: int = 8
    """Rows that llama.cpp answers at once."""
    context: int = 512
    """Longest prompt with its answer that llama.cpp makes room for, in tokens."""
    threads: int = 0
    """CPU threads; 0 for all that this process may use."""
    resamples: int = 1000
    """Bootstrap resamples behind the intervals of F1 and of speeds."""
    seed: int = 0
    """Of the bootstrap; the answers are greedy and need none."""
    speed_runs: int = 5
    """How often a GGUF file's speed is measured; the median counts."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        for name in ("rows", "threads", "seed"):
            _at_least(0, name, getattr(self, name))
        for name in ("max_new_tokens", "batch_size", "slots", "speed_runs"):
            _at_least(1, name, getattr(self, name))
        # Fewer resamples cannot show a 2.5% tail.
        _at_least(100, "resamples", self.resamples)
        _at_least(self.max_new_tokens + 1, "context", self.context)
        if not self.split:
            raise ValueError("split must name a split of the data set, got ''")


def _at_least(low: int, name: str, value: int) -> None:
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
