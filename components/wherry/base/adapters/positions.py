"""Puts into a model's configuration how its GGUF file turns rotary positions.

transformers reads the base of the frequencies from GGUF, and nothing of how they are stretched or
of heads that are turned in part: Llama 3.1 and Phi-3.5 would be tuned as other models than the
ones that llama.cpp serves.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray

from wherry.contracts.errors import FormatError

_FREQUENCIES: Final = "rope_freqs.weight"
_LONG: Final = "rope_factors_long.weight"
_SHORT: Final = "rope_factors_short.weight"
_LOW: Final = 1.0
_HIGH: Final = 4.0
"""Llama 3.1's to 3.3's own, which no GGUF file names: waves longer than `_SEEN` by the first are
stretched, those shorter than it by the second are not."""
_SEEN: Final = 8192
"""Tokens of the context that they were trained on at first."""
_SEEN_AT_FIRST: Final = "original_max_position_embeddings"
_LIKE: Final = 1e-3
_PARTIAL: Final = ("phi3",)
"""transformers' models whose heads some files turn in part: Phi-4-mini's by three quarters."""


def turn_as_file(config: Any, reader: GGUFReader, metadata: Mapping[str, Any]) -> None:
    """Changes a configuration that transformers made of a GGUF file.

    Args:
        config: of a model with rotary positions; of others nothing is changed.
        reader: the file.
        metadata: its values by key.

    Raises:
        FormatError: if the file turns positions in a way that transformers' model does not know.
    """
    if not (rope := getattr(config, "rope_parameters", None)):
        return
    whole = rope.get("full_attention", rope)  # Gemma 3 stretches no layer with a window
    if whole.get("rope_type", "default") != "default":
        return  # transformers reads it itself, as it does for gpt-oss, or it is the family's own
    own = f"{metadata.get('general.architecture')}.rope."
    told = {key.removeprefix(own): metadata[key] for key in metadata if key.startswith(own)}
    whole.update(_stretched(_tables(reader), told, whole.get("rope_theta", 10000.0)))
    if hasattr(config, _SEEN_AT_FIRST) and _SEEN_AT_FIRST in whole:  # Phi-3's stands beside it
        setattr(config, _SEEN_AT_FIRST, whole[_SEEN_AT_FIRST])
    if config.model_type in _PARTIAL and (turned := told.get("dimension_count")):
        rope["partial_rotary_factor"] = turned * config.num_attention_heads / config.hidden_size


def _tables(reader: GGUFReader) -> dict[str, NDArray[np.float32]]:
    names = (_FREQUENCIES, _LONG, _SHORT)
    return {
        tensor.name: np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32).ravel()
        for tensor in reader.tensors
        if tensor.name in names
    }


def _stretched(
    tables: Mapping[str, NDArray[np.float32]], told: Mapping[str, Any], base: float
) -> dict[str, Any]:
    """Gives transformers' parameters of a file's scaling; empty if there is none."""
    if _FREQUENCIES in tables:
        return _llama3(tables[_FREQUENCIES], base)
    seen = told.get("scaling.original_context_length")
    if tables:
        if len(tables) < 2 or not seen:
            raise _unknown("by factors for long texts alone, or of an unknown length")
        return {
            "rope_type": "longrope",
            "long_factor": tables[_LONG].tolist(),
            "short_factor": tables[_SHORT].tolist(),
            _SEEN_AT_FIRST: int(seen),
        }
    factor = float(told.get("scaling.factor") or told.get("scale_linear") or 1)
    kind = told.get("scaling.type", "linear")  # of old files, which name none
    if factor == 1 or kind in ("none", ""):
        return {}
    if kind == "linear":
        return {"rope_type": kind, "factor": factor}
    if kind == "yarn" and seen:
        return {"rope_type": kind, "factor": factor, _SEEN_AT_FIRST: int(seen)}
    raise _unknown(f"by {kind!r} and {factor:g}")


def _llama3(stretch: NDArray[np.float32], base: float) -> dict[str, Any]:
    """Finds the settings behind a table of Llama 3.1's kind, https://arxiv.org/abs/2407.21783.

    As ``convert_hf_to_gguf.py`` writes it: short waves stay, long ones are stretched by the
    factor, and those between by something between.
    """
    factor = float(stretch.max())
    if factor == 1:
        return {}
    waves = 2 * np.pi * base ** (np.arange(len(stretch)) / len(stretch))
    smooth = np.clip((_SEEN / waves - _LOW) / (_HIGH - _LOW), 0, 1)
    if not np.allclose(stretch, 1 / ((1 - smooth) / factor + smooth), rtol=_LIKE):
        raise _unknown(f"by a table of {len(stretch)} factors that is not Llama 3.1's")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LOW,
        "high_freq_factor": _HIGH,
        _SEEN_AT_FIRST: _SEEN,
    }


def _unknown(how: str) -> FormatError:
    return FormatError(
        f"The GGUF file stretches positions {how}, which transformers' model of it does "
        "not: what is tuned would not be what is served.",
        remedy="Choose another base, or the model's own folder for transformers.",
    )
