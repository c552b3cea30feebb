"""Decides the type of each tensor in a file of a given type, as llama.cpp does.

A port of ``llama_tensor_get_type`` of llama.cpp's ``llama-quant.cpp`` for dense models. The types
that it gives are compared with those of ``llama-quantize`` by ``benchmarks/quantize.py``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Shape:
    """What the policy asks of a model."""

    layers: int
    """The number of blocks."""
    tied: bool
    """Whether the embedding serves as the output matrix too."""
    gqa: int = 1
    """Query heads that share a key head."""
    importance: bool = False
    """Whether the file is made with an importance matrix."""


BASE_TYPES: Final = {
    "F16": "F16",
    "BF16": "BF16",
    "Q8_0": "Q8_0",
    "Q6_K": "Q6_K",
    "Q5_K_M": "Q5_K",
    "Q5_K_S": "Q5_K",
    "Q5_1": "Q5_1",
    "Q5_0": "Q5_0",
    "Q4_K_M": "Q4_K",
    "Q4_K_S": "Q4_K",
    "Q4_1": "Q4_1",
    "Q4_0": "Q4_0",
    "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS",
    "Q3_K_L": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_S": "Q3_K",
    "IQ3_M": "IQ3_S",
    "IQ3_S": "IQ3_S",
    "IQ3_XXS": "IQ3_XXS",
    "Q2_K": "Q2_K",
}
"""The type of most tensors, by the file's type."""
NEED_IMPORTANCE: Final = ("IQ3_XXS",)
"""File types that llama.cpp does not make without an importance matrix."""

_UNQUANTIZED: Final = ("F16", "BF16")
_BLOCKS: Final = {"Q8_0": 32, "Q5_1": 32, "Q5_0": 32, "Q4_1": 32, "Q4_0": 32, "IQ4_NL": 32}
"""Values that share a scale, where they are not 256: a row must divide by it."""
_NARROWER: Final = {
    "Q6_K": "Q8_0",
    "Q5_K": "Q5_1",
    "Q4_K": "Q5_0",
    "IQ4_XS": "IQ4_NL",
    "IQ3_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL",
    "IQ2_S": "IQ4_NL",
    "Q3_K": "Q4_0",
    "Q2_K": "Q4_0",
}
"""What stands in for a type whose block is too long for the row."""


def tensor_type(name: str, shape: Sequence[int], quantization: str, model: Shape) -> str:
    """Gives the type of one tensor in a file of type `quantization`.

    Args:
        name: in GGUF's naming, such as ``blk.0.attn_v.weight``.
        shape: as numpy has it, the row length last.
        quantization: one of `BASE_TYPES`.
        model: what the policy asks of the model.

    Returns:
        A name of `gguf.GGMLQuantizationType`.
    """
    if len(shape) < 2 or not name.endswith(".weight") or name.endswith("_norm.weight"):
        return "F32"
    base = BASE_TYPES[quantization]
    if base in _UNQUANTIZED:
        return base
    return _fitting(_wanted(name, shape[-1], quantization, model), shape[-1])


def _wanted(name: str, row: int, quantization: str, model: Shape) -> str:
    base = BASE_TYPES[quantization]
    if name == "output.weight" or (name == "token_embd.weight" and model.tied):
        return _head(base, row)
    if name == "token_embd.weight":
        return "IQ3_S" if quantization == "IQ3_XXS" else base
    number, _, part = name.removeprefix("blk.").removesuffix(".weight").partition(".")
    choose = _PARTS.get(part)
    return (choose(quantization, int(number), model) if choose else "") or base


def _head(base: str, row: int) -> str:
    if base == "Q8_0" or row % _BLOCKS.get(base, 256):
        return "Q8_0"
    return "Q5_K" if base == "IQ3_XXS" else "Q6_K"


def _value(quantization: str, layer: int, model: Shape) -> str:
    """Gives the type of the value projection: small, and sensitive."""
    shared = model.gqa >= 4
    wide = {
        "Q2_K": "Q4_K" if shared else "Q3_K",
        "IQ3_XXS": "Q4_K" if shared else "" if model.importance else "IQ3_S",
        "IQ3_S": "Q4_K" if shared else "",
        "IQ3_M": "Q4_K",
        "Q3_K_M": "Q5_K" if layer < 2 else "Q4_K",
        "Q3_K_L": "Q5_K",
        "IQ4_NL": "Q5_K" if shared else "",
        "IQ4_XS": "Q5_K" if shared else "",
        "Q4_K_S": "Q5_K" if layer < 4 else "",
    }
    return wide.get(quantization) or _medium(quantization, layer, model)


def _down(quantization: str, layer: int, model: Shape) -> str:
    """Gives the type of the last matrix of a block's feed-forward part."""
    first = layer < model.layers // 8
    wide = {
        "Q2_K": "Q3_K",
        "Q3_K_M": "Q5_K" if layer < model.layers // 16 else "Q4_K",
        "Q3_K_L": "Q5_K",
        "IQ3_XXS": "" if model.importance else "Q4_K" if first else "Q3_K",
        "IQ3_M": "Q4_K" if first else "",
        "IQ4_NL": "Q5_K" if first and not model.importance else "",
        "IQ4_XS": "Q5_K" if first and not model.importance else "",
        "Q4_K_S": "Q5_K" if first else "",
        "Q4_0": "Q4_1" if first and model.importance else "",
        "Q5_0": "Q5_1" if first and model.importance else "",
    }
    return wide.get(quantization) or _medium(quantization, layer, model)


def _medium(quantization: str, layer: int, model: Shape) -> str:
    wide = quantization in ("Q4_K_M", "Q5_K_M") and _more_bits(layer, model.layers)
    return "Q6_K" if wide else ""


def _attention_output(quantization: str, _layer: int, _model: Shape) -> str:
    wide = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
    return wide.get(quantization, "")


def _query_or_key(quantization: str, _layer: int, _model: Shape) -> str:
    return "IQ2_S" if quantization == "IQ3_XXS" else ""


_PARTS: Final[dict[str, Callable[[str, int, Shape], str]]] = {
    "attn_v": _value,
    "attn_qkv": _value,  # the three in one, as Phi has them
    "attn_q": _query_or_key,
    "attn_k": _query_or_key,
    "attn_output": _attention_output,
    "ffn_down": _down,
}
"""Parts of a block that a file's type treats otherwise; an empty answer is its base type."""


def _more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _fitting(wanted: str, row: int) -> str:
    if row % _BLOCKS.get(wanted, 256):
        wanted = _NARROWER.get(wanted, "F16")
    return wanted if row % _BLOCKS.get(wanted, 256) == 0 else "F16"
