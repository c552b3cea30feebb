"""What a team needs of a base model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from wherry.select.catalogue import TASKS, TERMS

QUANTIZATIONS: Final = ("auto", "F16", "Q8_0", "Q4_K_M")
METHODS: Final = ("lora", "full")
TUNING_PRECISIONS: Final = ("float32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """How the model would be tuned; what its memory depends on."""

    method: str = "lora"
    """``lora``: adapters on linear layers; ``full``: all weights."""
    precision: str = "float32"
    """Of the weights and activations: ``float32``, as a CPU computes, or ``bf16``. What is trained
    stays in float32, and so do all weights where the method is ``full``."""
    batch: int = 16
    """Rows of one optimizer step."""
    length: int = 256
    """Tokens of the longest batch's rows, what all prompts share left out."""
    shared: int = 0
    """First tokens that all prompts share: computed once a batch, but kept for each row."""
    completion: int = 32
    """Tokens of a row's answer: the head is applied to these alone."""
    rank: int = 16
    """Rank of the LoRA matrices."""
    frozen_share: float = 0.67
    """Share of the layers, the lowest, that get no LoRA and keep nothing for the way back."""
    trimmed: bool = False
    """Whether the process has glibc's ``MALLOC_MMAP_THRESHOLD_`` fixed."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        _one_of("method", self.method, METHODS)
        _one_of("precision", self.precision, TUNING_PRECISIONS)
        for name in ("batch", "length", "completion", "rank"):
            _within(name, getattr(self, name), 1)
        _within("shared", self.shared, 0)
        _within("frozen_share", self.frozen_share, 0, 0.99)
        if self.completion > self.length:
            raise ValueError(
                f"completion must be at most length {self.length}, got {self.completion}"
            )


@dataclass(frozen=True)
class Need:
    """What the model is for and what it may use."""

    task: str = "classification"
    """What it is asked to do, one of `TASKS`."""
    memory: int = 0
    """Bytes there are to serve it; 0 if that does not matter."""
    tune_memory: int = 0
    """Bytes there are to tune it; 0 if that does not matter."""
    license: str = "permissive"
    """The most that its licence may ask: ``gated`` takes permissive ones too, and
    ``restricted`` all."""
    context: int = 1024
    """Tokens of one conversation, question and answer together."""
    parallel: int = 4
    """Conversations answered at the same time."""
    language: str = ""
    """An ISO 639-1 code that the model has to be made for; empty for any."""
    quantization: str = "auto"
    """The file type served; ``auto`` is Q8_0, or Q4_K_M where that does not fit."""
    recipe: Recipe = field(default_factory=Recipe)
    """How it would be tuned."""
    whole_way: bool = False
    """Leave out what Wherry's rooms cannot tune and quantize today."""
    broad: bool = False
    """Whether answers need broad knowledge of the world or open-ended reasoning."""
    private: bool = False
    """Whether the data may not leave the machine: no API is suggested then."""
    rows: int | None = None
    """Training rows at hand; None if that is not known."""
    requests_per_day: float | None = None
    """How often the model is asked; None if that is not known."""
    break_even: float = 0.0
    """Requests a day from which a server of one's own costs less than an API: its price a day by
    the API's price a request, both the team's own. 0 if that is not known."""
    catalogue: str = ""
    """A catalogue of the team's own, over ours: a path below the workspace."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        _one_of("task", self.task, TASKS)
        _one_of("license", self.license, TERMS)
        _one_of("quantization", self.quantization, QUANTIZATIONS)
        for name, low in (("memory", 0), ("tune_memory", 0), ("context", 16), ("parallel", 1)):
            _within(name, getattr(self, name), low)
        for name in ("rows", "requests_per_day", "break_even"):
            if getattr(self, name) is not None:
                _within(name, getattr(self, name), 0)
        if self.language and not (len(self.language) in (2, 3) and self.language.islower()):
            raise ValueError(f"language must be an ISO 639 code such as de, got {self.language!r}")


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _within(name: str, value: float, low: float, high: float = math.inf) -> None:
    if not low <= value <= high:
        wanted = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, got {value}")
