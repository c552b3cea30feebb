"""How far each form of a model is from the form that it was made from."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record


@dataclass(frozen=True)
class Comparison:
    """The next-token distributions of two forms of one model, on the same contexts."""

    name: Literal["merge", "conversion", "quantization"]
    reference: str
    """The form that is right by definition, such as ``transformers, merged float32``."""
    candidate: str
    """The form made from it, such as ``llama.cpp, Q8_0``."""
    positions: int
    """Distinct contexts compared."""
    next_token_agreement: float
    """Share of them, in [0, 1], with the same most probable next token."""
    min_agreement: float
    """What was asked of it."""
    kl: float | None
    """Mean KL(reference || candidate) over the whole vocabulary, in nats a token; None if it
    is not finite, which never passes."""
    max_kl: float
    """What was asked of it."""
    passed: bool


@dataclass(frozen=True)
class Parity(Record):
    """What was checked between training form and shipped file; a pass needs every part."""

    passed: bool
    model_digest: Digest
    """Of the quantized file."""
    data_digest: Digest
    """Of the split's file that the rows came from."""
    rows: int
    """Rows whose rendering and tokens were compared."""
    token_agreement: float
    """Share of them, in [0, 1], that the file's own template and tokenizer turn into the
    very tokens of training."""
    min_token_agreement: float
    """What was asked of it."""
    comparisons: tuple[Comparison, ...]
    reasons: tuple[str, ...] = ()
    """Why it did not pass; empty if it did."""
    schema: Literal["wherry.parity/1"] = "wherry.parity/1"

    def find(self, name: str) -> Comparison | None:
        """Gives a comparison by name, or None."""
        for comparison in self.comparisons:
            if comparison.name == name:
                return comparison
        return None
