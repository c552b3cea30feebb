"""What was made and seen, and the ladder that tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wherry.contracts import Ladder, Rung, digest_bytes, digest_file
from wherry.contracts.parity import Comparison
from wherry.quantize.ladder import Quality
from wherry.quantize.settings import QuantizeSettings
from wherry.quantize.step import Seen, complaint

if TYPE_CHECKING:
    from wherry.quantize.adapters.gguf_file import Importance


@dataclass(frozen=True)
class Reference:
    """The unquantized file."""

    digest: str
    size: int
    """In bytes."""
    form: str
    """What it holds, in words."""

    @classmethod
    def of(cls, file: Path, form: str) -> "Reference":
        """Hashes a file."""
        return cls(digest_file(file), file.stat().st_size, form)


@dataclass(frozen=True)
class Found:
    """What was made and seen."""

    seen: Seen
    """Of the rung below."""
    rung: Rung
    """The type that ships, or if none passed the one of the least loss."""
    format: Literal["gguf", "transformers", "adapter"]
    rungs: Sequence[Rung]
    reference: Quality
    reference_file: Reference
    importance: "Importance | None" = None

    def ladder(self, data: str, settings: QuantizeSettings, *, passed: bool) -> Ladder:
        """Gives all rungs side by side."""
        return Ladder(
            rungs=tuple(self.rungs),
            picked=self.rung.type if passed else "",
            pick=settings.pick,
            reference_digest=self.reference_file.digest,
            reference_size=self.reference_file.size,
            data_digest=data,
            positions=self.seen.comparisons[-1].positions,
            reference_perplexity=self.reference.perplexity,
            reference_scores=self.reference.scores,
            importance_digest=_digest(self.importance),
            reference=self.reference_file.form,
        )


def _digest(importance: "Importance | None") -> str | None:
    if importance is None:
        return None
    parts = [name.encode() + importance[name].tobytes() for name in sorted(importance)]
    return digest_bytes(b"".join(parts))


def losses(rung: Rung, compared: Comparison) -> tuple[str, ...]:
    """Gives why a rung does not pass, but for what its comparison says itself."""
    return tuple(reason for reason in rung.reasons if reason != complaint(compared))
