"""What the quantizing stage can be asked."""

from dataclasses import dataclass
from typing import Final

TYPES: Final = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "F16")
"""The file types that can be made, by llama.cpp's names."""


@dataclass(frozen=True)
class Settings:
    """How to quantize, and what the result must hold to."""

    type: str = "Q8_0"
    """The file type, one of `TYPES`."""
    split: str = "eval"
    """The data split whose rows the forms of the model are compared on."""
    rows: int = 32
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
    max_kl: float = 0.1
    """KL from merged to the quantized file, in nats a token."""
    min_agreement: float = 0.85
    """Share of contexts with the same most probable next token after quantizing."""
    threads: int = 0
    """CPU threads; 0 means all that this process may use."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        if self.type not in TYPES:
            raise ValueError(f"type must be one of {', '.join(TYPES)}, got {self.type!r}")
        for name in ("min_token_agreement", "min_conversion_agreement", "min_agreement"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {share}")
        for name in ("rows", "positions"):
            if (count := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        for name in ("max_conversion_kl", "max_kl", "threads"):
            if not (limit := getattr(self, name)) >= 0:
                raise ValueError(f"{name} must not be negative, got {limit}")
