"""A model of random weights for each family that can be written as GGUF, with its source file.

The source carries the metadata of the family's own converter; its weights are ones, for only
their shapes count. Sizes are such that a wrong head count, norm or order shows in the logits.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests.fakes.tiny_model import _tokenizer, _vocabulary, _write_tokenizer

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.12,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GEMMA: dict[str, Any] = {"head_dim": 16, "tie_word_embeddings": True}


@dataclass(frozen=True)
class Family:
    """How one family is configured, and named in GGUF."""

    architecture: str
    config: type[PretrainedConfig]
    own: dict[str, Any]


FAMILIES = {
    "llama": Family("llama", LlamaConfig, {"tie_word_embeddings": False}),
    "llama, tied": Family("llama", LlamaConfig, {"tie_word_embeddings": True}),
    "mistral": Family("llama", MistralConfig, {"sliding_window": None}),
    "gemma": Family("gemma", GemmaConfig, GEMMA),
    "gemma2": Family(
        "gemma2",
        Gemma2Config,
        {**GEMMA, "query_pre_attn_scalar": 16, "sliding_window": 64},
    ),
    "gemma3": Family(
        "gemma3",
        Gemma3TextConfig,
        {**GEMMA, "query_pre_attn_scalar": 16, "sliding_window": 64},
    ),
    "qwen2": Family("qwen2", Qwen2Config, {"tie_word_embeddings": False}),
    "qwen3": Family("qwen3", Qwen3Config, {"head_dim": 16, "tie_word_embeddings": True}),
    "phi3": Family("phi3", Phi3Config, {"tie_word_embeddings": False}),
}
_LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0, 1.2, 1.5, 2.0, 2.5, 3.0],
    "long_factor": [1.0, 2.0, 4.0, 8.0, 16.0, 24.0],
    "original_max_position_embeddings": 256,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_LINEAR = {
    "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}


def _turned(name: str, rope: dict[str, Any], **own: Any) -> Family:
    plain = FAMILIES[name]
    changed = {**plain.own, "rope_parameters": rope, **own}
    return Family(plain.architecture, plain.config, changed)


TURNED = {
    "llama3.2": _turned("llama, tied", _LLAMA3),
    # Six layers: the sixth sees everything, and is stretched. No file says how queries are scaled:
    # heads are as wide as the real ones.
    "gemma3 4b": _turned(
        "gemma3", _LINEAR, num_hidden_layers=6, head_dim=256, query_pre_attn_scalar=256
    ),
    "qwen2, yarn": _turned("qwen2", _YARN),
    "phi3.5, in part": _turned("phi3", _LONG, original_max_position_embeddings=256),
}
"""Families whose positions are stretched, or whose heads are turned in part."""


def make(folder: Path, name: str) -> None:
    """Writes a base's folder: transformers' form and ``source.gguf``."""
    family = (FAMILIES | TURNED)[name]
    config = family.config(vocab_size=len(_vocabulary()), **{**SIZES, **family.own})
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases, or a mistake in them would not show
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    _write_source(folder / "source.gguf", model, family, config)


def _write_source(path: Path, model: Any, family: Family, config: Any) -> None:
    writer = gguf.GGUFWriter(path, family.architecture)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name("Tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(512)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    rope = config.rope_parameters.get("full_attention") or config.rope_parameters
    writer.add_rope_dimension_count(int(size * rope.get("partial_rotary_factor", 1.0)))
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if family.architecture in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if family.architecture == "phi3":
        writer.add_sliding_window(0)
        writer.add_rope_scaling_orig_ctx_len(rope.get("original_max_position_embeddings", 512))
    if family.architecture == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _write_tokenizer(writer)
    writer.add_pad_token_id(0)
    names = gguf.get_tensor_name_map(_known(family.architecture), config.num_hidden_layers)
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    for name, values in model.state_dict().items():
        if name not in tied:
            new = names.get_name(name, try_suffixes=(".weight", ".bias"))
            writer.add_tensor(new, np.ones(tuple(values.shape), np.float32))
    _write_stretch(writer, config, rope)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_stretch(writer: gguf.GGUFWriter, config: Any, rope: dict[str, Any]) -> None:
    """Says as the families' converters do how positions are stretched."""
    kind = rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if kind == "longrope":
        _, factor = ROPE_INIT_FUNCTIONS[kind](config)
        writer.add_rope_scaling_attn_factors(factor)
        writer.add_tensor("rope_factors_long.weight", np.float32(rope["long_factor"]))
        writer.add_tensor("rope_factors_short.weight", np.float32(rope["short_factor"]))
    if kind == "llama3":
        found, _ = ROPE_INIT_FUNCTIONS[kind](config)
        plain = rope["rope_theta"] ** -(np.arange(len(found)) / len(found))
        writer.add_tensor("rope_freqs.weight", (plain / found.numpy()).astype(np.float32))


def _known(name: str) -> gguf.MODEL_ARCH:
    return next(arch for arch, known in gguf.MODEL_ARCH_NAMES.items() if known == name)
