"""What a benchmark run can be asked."""

from dataclasses import dataclass
from typing import Final

STANDARD: Final = (
    "hellaswag",
    "openbookqa",
    "winogrande",
    "arc_challenge",
    "arc_easy",
    "boolq",
    "piqa",
)
"""The seven of TinyLlama's published table, by their names in the harness."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """Which tasks are asked, and how."""

    tasks: tuple[str, ...] = STANDARD
    """Tasks or groups, such as ``mmlu``, by their names in lm-evaluation-harness or in a team's
    own task files."""
    shots: int = -1
    """Solved examples before each question; -1 for what the task says, mostly none. A task that
    says 0 itself stays at 0."""
    rows: int = 0
    """Questions asked of each task, the first ones; 0 for all."""
    chat: bool = False
    """Whether questions go through the model's chat template. Published tables do without."""
    context: int = 2048
    """Longest question with its answer, in tokens; the model's own limit if that is less."""
    batch_size: int = 16
    """Questions that transformers reads at once; llama.cpp reads one after the other."""
    threads: int = 0
    """CPU threads; 0 for all that this process may use."""
    resamples: int = 1000
    """Bootstrap resamples behind the error of a figure that is no mean, such as F1."""
    seed: int = 0
    """Of the choice of solved examples."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        if not self.tasks or not all(self.tasks):
            raise ValueError("tasks must name at least one task, got none")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks must name each task once, got {', '.join(self.tasks)}")
        lowest = {"shots": -1, "rows": 0, "context": 2, "batch_size": 1, "threads": 0}
        for name, low in {**lowest, "resamples": 100, "seed": 0}.items():
            if (value := getattr(self, name)) < low:
                raise ValueError(f"{name} must be at least {low}, got {value}")
