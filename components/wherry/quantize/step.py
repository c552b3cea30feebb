"""Decides each tensor's type, and whether two forms of a model are the same model."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wherry.contracts import Message
from wherry.contracts.parity import Comparison

Logits = NDArray[np.float32]
"""Shape [positions, vocabulary]."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as a model is given it."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """One token sequence and the positions whose next-token logits are wanted."""

    ids: tuple[int, ...]
    keep: tuple[int, ...]
    """Ascending indices into `ids`."""


class Renderer(Protocol):
    """A chat template with a tokenizer."""

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders a conversation and opens the assistant's turn, special tokens included."""


class Predictor(Protocol):
    """A model in one of its forms."""

    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        """Gives for each sample its logits, shape [kept positions, vocabulary]."""


def distinct_samples(rows: Iterable[Sequence[int]], limit: int) -> list[Sample]:
    """Keeps every context once, so that a prompt shared by all rows weighs as one.

    Args:
        rows: token sequences.
        limit: contexts kept in all, at most.
    """
    seen: set[tuple[int, ...]] = set()
    samples = []
    for row in rows:
        ids = tuple(row)
        keep = [i for i in range(len(ids)) if ids[: i + 1] not in seen][: limit - len(seen)]
        seen.update(ids[: i + 1] for i in keep)
        if keep:
            samples.append(Sample(ids, tuple(keep)))
    return samples


def token_agreement(reference: Sequence[Rendered], candidate: Sequence[Rendered]) -> float:
    """Gives the share of rows, in [0, 1], with equal text and equal tokens; 0 of none is 0."""
    equal = sum(one == other for one, other in zip(reference, candidate, strict=True))
    return equal / len(reference) if reference else 0.0


@dataclass(frozen=True)
class Divergence:
    """How two forms' next-token distributions differ, over all positions."""

    positions: int
    agreement: float
    kl: float


def diverge(reference: Iterable[Logits], candidate: Iterable[Logits]) -> Divergence:
    """Compares logits over the same contexts; nothing compared is infinitely far apart.

    Example::

        diverge([np.log([[0.5, 0.5]])], [np.log([[0.5, 0.5]])])  # kl 0.0, agreement 1.0
    """
    positions, same, kl = 0, 0, 0.0
    for one, other in zip(reference, candidate, strict=True):
        positions += len(one)
        same += int((one.argmax(-1) == other.argmax(-1)).sum())
        kl += float(_kl(one, other).sum())
    return Divergence(
        positions,
        same / positions if positions else 0.0,
        kl / positions if positions else math.inf,
    )


def _kl(one: Logits, other: Logits) -> NDArray[np.float64]:
    log_p, log_q = _log_softmax(one), _log_softmax(other)
    divergence: NDArray[np.float64] = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    return divergence


def _log_softmax(logits: Logits) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def judge(
    name: Literal["merge", "conversion", "quantization"],
    forms: tuple[str, str],
    found: Divergence,
    *,
    min_agreement: float,
    max_kl: float,
) -> Comparison:
    """Holds a divergence against its limits; a value that is not a number never passes.

    Args:
        name: which step of the way was compared.
        forms: the reference and the candidate, in words.
        found: what was measured.
        min_agreement: share of equal next tokens asked for, in [0, 1].
        max_kl: divergence allowed, in nats a token.
    """
    return Comparison(
        name=name,
        reference=forms[0],
        candidate=forms[1],
        positions=found.positions,
        next_token_agreement=found.agreement,
        min_agreement=min_agreement,
        kl=found.kl if math.isfinite(found.kl) else None,
        max_kl=max_kl,
        passed=bool(found.agreement >= min_agreement and found.kl <= max_kl),
    )


def complaints(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """Says of each comparison that failed what was seen and what was asked."""
    for made in comparisons:
        if not made.passed:
            kl = "no finite KL" if made.kl is None else f"KL {made.kl:.2g}"
            yield (
                f"{made.name}: {made.candidate} against {made.reference} over {made.positions} "
                f"contexts has {kl} (at most {made.max_kl:g}) and next-token agreement "
                f"{made.next_token_agreement:.3f} (at least {made.min_agreement:g})"
            )


_WIDE: Final = {"Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K"}
_BLOCK: Final = {"Q4_K": 256, "Q5_K": 256, "Q6_K": 256, "Q8_0": 32, "Q4_0": 32}
"""Values that share a scale: a row must divide by it."""
_NARROWER: Final = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What stands in for a K type whose block is too long for the row."""


def tensor_type(
    name: str, shape: Sequence[int], quantization: str, *, layers: int, tied: bool
) -> str:
    """Gives the type of one tensor in a file of type `quantization`.

    A port of ``llama_tensor_get_type`` of llama.cpp's ``llama-quant.cpp`` for dense models
    without an importance matrix.

    Args:
        name: in GGUF's naming, such as ``blk.0.attn_v.weight``.
        shape: as numpy has it, the row length last.
        quantization: one of `wherry.quantize.settings.TYPES`.
        layers: the model's number of blocks.
        tied: whether the embedding serves as the output matrix too.

    Returns:
        A name of `gguf.GGMLQuantizationType`.
    """
    if len(shape) < 2 or not name.endswith(".weight"):
        return "F32"
    wanted = _wanted(name, quantization, layers, tied)
    return wanted if wanted == "F16" else _fitting(wanted, shape[-1])


def _wanted(name: str, quantization: str, layers: int, tied: bool) -> str:
    head = "token_embd.weight" if tied else "output.weight"
    if name == head and quantization not in ("Q8_0", "F16"):
        return "Q6_K"
    if quantization in _WIDE and name.endswith(("attn_v.weight", "ffn_down.weight")):
        layer = int(name.split(".")[1])
        return "Q6_K" if _more_bits(layer, layers) else _WIDE[quantization]
    return _WIDE.get(quantization, quantization)


def _more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _fitting(wanted: str, row: int) -> str:
    if row % _BLOCK[wanted]:
        wanted = _NARROWER.get(wanted, "F16")
    return wanted if row % 32 == 0 else "F16"
