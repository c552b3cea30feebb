"""What the quantizing stage can be asked."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Limits:
    """How far a file may be from the model that it was made from."""

    max_kl: float
    """Mean divergence of the next-token distribution, in nats a token."""
    min_agreement: float
    """Share of contexts with the same most probable next token, in [0, 1]."""


LIMITS: Final = {
    "F16": Limits(1e-3, 0.98),
    "Q8_0": Limits(0.03, 0.90),
    "Q6_K": Limits(0.06, 0.85),
    "Q5_K_M": Limits(0.15, 0.75),
    "Q4_K_M": Limits(0.25, 0.70),
    "Q4_0": Limits(0.25, 0.70),
}
"""The file types that can be made, by llama.cpp's names, with what is asked of each.

Two to five times what a tuned 135M model showed where it had not suffered: KL 9e-6, 0.006,
0.017 and 0.11 for F16, Q8_0, Q6_K and Q4_K_M. Small models suffer more than large ones.
"""


@dataclass(frozen=True)
class QuantizeSettings:
    """How to quantize, and what the result must hold to."""

    type: str = "Q8_0"
    """The file type, one of `LIMITS`."""
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
    threads: int = 0
    """CPU threads; 0 means all that this process may use."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        if self.type not in LIMITS:
            raise ValueError(f"type must be one of {', '.join(LIMITS)}, got {self.type!r}")
        for name in ("min_token_agreement", "min_conversion_agreement", "min_agreement"):
            _within(name, getattr(self, name), 0, 1)
        for name in ("max_conversion_kl", "max_kl", "threads"):
            _within(name, getattr(self, name), 0)
        for name in ("rows", "positions"):
            _within(name, getattr(self, name), 1)

    @property
    def limits(self) -> Limits:
        """What is asked of the quantized file."""
        usual = LIMITS[self.type]
        return Limits(
            usual.max_kl if self.max_kl is None else self.max_kl,
            usual.min_agreement if self.min_agreement is None else self.min_agreement,
        )


def _within(name: str, value: float | None, low: float, high: float = float("inf")) -> None:
    if value is not None and not low <= value <= high:
        wanted = f"at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, got {value}")
