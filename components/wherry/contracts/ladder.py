"""One model in every file type that was tried: what each costs and what it loses."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record
from wherry.contracts.scores import Metric


@dataclass(frozen=True)
class Rung:
    """One file type of the ladder; what was not measured is None, and never passes a limit."""

    type: str
    """By llama.cpp's names, such as ``Q4_K_M``."""
    file: str
    """The file's name; only that of the type picked is kept."""
    digest: Digest
    size: int
    """In bytes."""
    seconds: float
    """To encode and write the file, without what all types share: merging and weighing."""
    perplexity: float | None
    """Of the expected answers given their prompts, a token; None if no row was scored."""
    perplexity_change: float | None
    """Relative to the unquantized model's, such as 0.02 for 2% worse."""
    kl: float | None
    """Mean KL(unquantized || this) over the whole vocabulary, in nats a token."""
    next_token_agreement: float
    """Share of contexts, in [0, 1], with the unquantized model's most probable next token."""
    passed: bool
    """Whether it holds to the limits of its type."""
    reasons: tuple[str, ...] = ()
    """Why it did not pass; empty if it did."""
    scores: tuple[Metric, ...] = ()
    """Of the task, on the same rows as the unquantized model's."""
    decode_speed: float | None = None
    """Median, in tokens a second, in a process of its own."""
    first_token: float | None = None
    """Median time to the first token, in milliseconds, nothing cached."""
    peak_memory: int | None = None
    """Largest resident memory of that process, in bytes."""


@dataclass(frozen=True)
class Ladder(Record):
    """Every type that was tried, in the order of the settings, and the one that ships."""

    rungs: tuple[Rung, ...]
    picked: str
    """The type that ships; empty if none passed."""
    pick: str
    """What was asked for: a type, or ``smallest that passes``."""
    reference_digest: Digest
    """Of the unquantized file: F16 GGUF, or float32 safetensors if no type is GGUF."""
    reference_size: int
    """In bytes."""
    data_digest: Digest
    """Of the split's file that all rungs were held against."""
    positions: int
    """Distinct contexts that KL and agreement stand on."""
    reference_perplexity: float | None = None
    """The merged model's in float32, as its scores: what counts as lossless."""
    reference_scores: tuple[Metric, ...] = ()
    importance_digest: Digest | None = None
    """Of the importance matrix that narrow types were made with; None if with none."""
    reference: str = ""
    """What the unquantized file is, in words, such as ``unquantized F16 GGUF`` or ``merged float32
    model``; empty in records that do not tell."""
    schema: Literal["wherry.ladder/1"] = "wherry.ladder/1"

    def find(self, type: str) -> Rung | None:
        """Gives a rung by its type, or None."""
        return next((rung for rung in self.rungs if rung.type == type), None)
