"""The estimates against real processes, and the counts against transformers' own classes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wherry.select.catalogue import Model, shipped

pytestmark = pytest.mark.local
ROOT = Path(__file__).parents[2]
TYPES = {"gemma3": "gemma3_text", "phi2": "phi"}
"""transformers' name of an architecture, where it is not llama.cpp's."""


@pytest.mark.nightly
def test_estimates_lie_near_the_peaks_of_real_processes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "memory.py", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ok"], done.stdout
    assert len(told["figures"]) >= 6


@pytest.mark.parametrize("model", shipped().models.values(), ids=lambda model: model.id)
def test_parameters_are_what_transformers_counts(model: Model) -> None:
    if model.architecture.other_parameters:
        pytest.skip("the vision tower's figures are not in the catalogue, only their sum")
    assert _count(model) == model.parameters


def _count(model: Model) -> int:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**_figures(model))
    with torch.device("meta"):
        counted = AutoModelForCausalLM.from_config(config)
    counted.tie_weights()
    return sum(p.numel() for p in {id(p): p for p in counted.parameters()}.values())


def _figures(model: Model) -> dict[str, Any]:
    of = model.architecture
    kind = TYPES.get(model.gguf, model.gguf or "recurrent_gemma")
    figures = {
        "model_type": "mixtral" if of.experts > 1 else kind,
        "num_hidden_layers": of.layers,
        "hidden_size": of.hidden,
        # RecurrentGemma counts both halves of its feed-forward block in one.
        "intermediate_size": of.intermediate * (2 if of.recurrent_layers else 1),
        "num_attention_heads": of.heads,
        "num_key_value_heads": of.kv_heads,
        "vocab_size": of.vocab,
        "tie_word_embeddings": of.tied,
        "pad_token_id": 0,
    }
    return figures if kind in ("phi", "recurrent_gemma") else {**figures, "head_dim": of.head_dim}


def test_what_can_be_quantized_can_be_fetched_as_gguf() -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    written = {model.gguf for model in shipped().models.values() if model.rooms.quantize}
    assert written <= set(GGUF_SUPPORTED_ARCHITECTURES)
