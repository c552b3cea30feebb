"""What the quantizing stage can be asked."""

from dataclasses import dataclass
from typing import Final

from wherry.quantize.tensor_types import NEED_IMPORTANCE


@dataclass(frozen=True)
class Limits:
    """How far a file may be from the model that it was made from."""

    max_kl: float
    """Mean divergence of the next-token distribution, in nats a token."""
    min_agreement: float
    """Share of contexts with the same most probable next token, in [0, 1]."""


_EXACT: Final = Limits(1e-3, 0.98)
_FIVE_BITS: Final = Limits(0.15, 0.75)
_FOUR_BITS: Final = Limits(0.25, 0.70)
_THREE_BITS: Final = Limits(0.5, 0.60)
LIMITS: Final = {
    "F16": _EXACT,
    "BF16": Limits(1e-2, 0.95),
    "Q8_0": Limits(0.03, 0.90),
    "Q6_K": Limits(0.06, 0.85),
    "Q5_K_M": _FIVE_BITS,
    "Q5_K_S": _FIVE_BITS,
    "Q5_1": _FIVE_BITS,
    "Q5_0": _FIVE_BITS,
    "Q4_K_M": _FOUR_BITS,
    "Q4_K_S": _FOUR_BITS,
    "Q4_1": _FOUR_BITS,
    "Q4_0": _FOUR_BITS,
    "IQ4_NL": _FOUR_BITS,
    "IQ4_XS": _FOUR_BITS,
    "Q3_K_L": _THREE_BITS,
    "Q3_K_M": _THREE_BITS,
    "Q3_K_S": _THREE_BITS,
    "IQ3_M": _THREE_BITS,
    "IQ3_S": _THREE_BITS,
    "IQ3_XXS": _THREE_BITS,
    "Q2_K": Limits(0.8, 0.50),
    "INT8": Limits(0.03, 0.90),
    "INT4": _FOUR_BITS,
}
"""The file types that can be made, with what is asked of each: llama.cpp's by its names, then
``INT8`` and ``INT4`` for GPUs, by compressed-tensors.

Two to five times what a tuned 135M model showed where it had not suffered: KL 9e-6, 0.006,
0.017 and 0.11 for F16, Q8_0, Q6_K and Q4_K_M. Small models suffer more than large ones.
"""
FOR_GPUS: Final = ("INT8", "INT4")
"""Types for GPUs, weights alone: folders for transformers and vLLM."""
SMALLEST: Final = "smallest that passes"
_IMPORTANCE_UNUSED: Final = ("F16", "BF16", "Q8_0", "INT8")
_LADDER_ROWS: Final = 64
_LADDER_RUNS: Final = 3


@dataclass(frozen=True)
class QuantizeSettings:
    """How to quantize, and what the result must hold to."""

    type: str = "Q8_0"
    """The file type, one of `LIMITS`."""
    types: tuple[str, ...] = ()
    """Several types to make and compare, in place of `type`."""
    pick: str = SMALLEST
    """Which of them ships: a type, or ``smallest that passes`` its limits."""
    adapter_only: bool = False
    """Write the LoRA adapter alone, as GGUF, for a server of many adapters on one base."""
    split: str = "eval"
    """The data split whose rows the forms of the model are compared on."""
    rows: int = 24
    """Rows taken from the split's start, at most."""
    positions: int = 512
    """Distinct contexts compared over those rows, at most."""
    min_token_agreement: float = 1.0
    """Share of rows, in [0, 1], that both tokenizers and templates must turn into the same
    tokens."""
    max_conversion_kl: float = 1e-4
    """KL from training's form to merged, and from merged to F16 GGUF, in nats a token."""
    min_conversion_agreement: float = 0.98
    """Share of contexts with the same most probable next token after merging and converting.
    Below 1, for near ties flip on rounding."""
    max_kl: float | None = None
    """KL from merged to the quantized file, in nats a token; None for the type's `LIMITS`."""
    min_agreement: float | None = None
    """Share of contexts with the same most probable next token after quantizing, in [0, 1];
    None for the type's `LIMITS`."""
    max_perplexity_change: float | None = None
    """Rise of the expected answers' perplexity over the unquantized model's, at most, such as 0.05
    for 5%; None for any."""
    max_task_loss: float | None = None
    """Share of answers, in [0, 1], that may be lost from the unquantized model's, by each score
    of the task; None for any."""
    task_rows: int | None = None
    """Rows of the split whose answers each type is scored on, 0 for none; None for 64 where types
    are compared, and none of a single type."""
    speed_runs: int | None = None
    """Times that each type's speed is measured, 0 for never; None for 3 where types are compared,
    and never of a single type."""
    importance_split: str = "train"
    """The data split whose rows show which weights matter."""
    importance_rows: int = 128
    """Rows behind the importance matrix that all types narrower than Q8_0 and INT8 are made with; 0
    for no matrix."""
    threads: int = 0
    """CPU threads; 0 means all that this process may use."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        self._check_types()
        for name in ("min_token_agreement", "min_conversion_agreement", "min_agreement"):
            _within(name, getattr(self, name), 0, 1)
        _within("max_task_loss", self.max_task_loss, 0, 1)
        for name in ("max_conversion_kl", "max_kl", "max_perplexity_change", "threads"):
            _within(name, getattr(self, name), 0)
        for name in ("task_rows", "speed_runs", "importance_rows"):
            _within(name, getattr(self, name), 0)
        for name in ("rows", "positions"):
            _within(name, getattr(self, name), 1)
        for name in ("max_task_loss", "max_perplexity_change"):
            if getattr(self, name) is not None and not self.scored_rows:
                raise ValueError(f"{name} needs task_rows of at least 1, got 0")

    def _check_types(self) -> None:
        for name, kinds in (("type", (self.type,)), ("types", self.types)):
            if unknown := [kind for kind in kinds if kind not in LIMITS]:
                raise ValueError(f"{name} must be one of {', '.join(LIMITS)}, got {unknown[0]!r}")
        if len(set(self.types)) < len(self.types):
            raise ValueError(f"types must name each type once, got {', '.join(self.types)}")
        if self.pick not in (SMALLEST, *self.tried):
            wanted = ", ".join((SMALLEST, *self.tried))
            raise ValueError(f"pick must be one of {wanted}, got {self.pick!r}")
        if self.adapter_only and (self.types or self.pick != SMALLEST):
            asked = ", ".join(self.types) or self.pick
            raise ValueError(
                f"adapter_only writes one file, the adapter: leave types and pick out, got {asked}"
            )
        needing = [kind for kind in self.tried if kind in NEED_IMPORTANCE]
        if needing and not self.importance_rows:
            raise ValueError(f"importance_rows must be at least 1 for {needing[0]}, got 0")

    @property
    def tried(self) -> tuple[str, ...]:
        """The types to make, in order."""
        return self.types or (self.type,)

    @property
    def weighed(self) -> bool:
        """Whether a type asks for an importance matrix."""
        wanted = any(kind not in _IMPORTANCE_UNUSED for kind in self.tried)
        return wanted and self.importance_rows > 0 and not self.adapter_only

    @property
    def scored_rows(self) -> int:
        """Rows that each type's answers are scored on."""
        usual = _LADDER_ROWS if len(self.tried) > 1 else 0
        return usual if self.task_rows is None else self.task_rows

    @property
    def timed_runs(self) -> int:
        """Times that each type's speed is measured."""
        usual = _LADDER_RUNS if len(self.tried) > 1 else 0
        return usual if self.speed_runs is None else self.speed_runs

    def limits_of(self, kind: str) -> Limits:
        """Gives what is asked of a file of this type."""
        usual = LIMITS[kind]
        return Limits(
            usual.max_kl if self.max_kl is None else self.max_kl,
            usual.min_agreement if self.min_agreement is None else self.min_agreement,
        )


def _within(name: str, value: float | None, low: float, high: float = float("inf")) -> None:
    if value is not None and not low <= value <= high:
        wanted = f"at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, got {value}")
