"""How each family's weights differ between transformers' form and llama.cpp's.

Names come from gguf's tensor map; what is here is what no name tells. A family is one of
``general.architecture``: Mistral's and SmolLM's files are of the architecture ``llama`` too.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
Metadata = Callable[[str], Any]
"""Gives a value of the source file by its key, or None."""
Change = Callable[[str, Weights, Metadata], Weights]
"""Turns one tensor, given by its GGUF name, into llama.cpp's form."""


def _llama(name: str, weights: Weights, value: Metadata) -> Weights:
    # llama.cpp rotates neighbouring pairs, transformers the two halves of a head.
    for suffix, key in (("attn_q", "head_count"), ("attn_k", "head_count_kv")):
        if name.removesuffix(".lora_b").endswith((f"{suffix}.weight", f"{suffix}.bias")):
            heads = value(f"llama.attention.{key}") or value("llama.attention.head_count")
            return pair_rows(weights, int(heads))
    return weights


def _gemma(name: str, weights: Weights, _value: Metadata) -> Weights:
    # Gemma's norms are stored as their distance from one; llama.cpp multiplies by the number.
    return weights + np.float32(1) if name.endswith("norm.weight") else weights


def _same(_name: str, weights: Weights, _value: Metadata) -> Weights:
    return weights


FAMILIES: Final[Mapping[str, Change]] = {
    "llama": _llama,
    "gemma": _gemma,
    "gemma2": _gemma,
    "gemma3": _gemma,
    "qwen2": _same,
    "qwen3": _same,
    "phi3": _same,
}
"""By ``general.architecture``."""


def pair_rows(weights: Weights, heads: int) -> Weights:
    """Orders a head's rows as llama.cpp's rotary embedding pairs them.

    Args:
        weights: shape [heads * size, …]; rows i and i + size/2 of a head become neighbours.
        heads: query heads, or key heads for the keys.
    """
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)
