"""Which type each tensor gets, against what llama.cpp's ``llama-quantize --dry-run`` gives it.

The goldens were compared with it, version 0.7.0, tensor by tensor: 3 models, 18 file types, with
and without an importance matrix. ``benchmarks/quantize.py`` compares whole files.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from wherry.quantize.tensor_types import BASE_TYPES, NEED_IMPORTANCE, Shape, tensor_type

GOLDENS = Path(__file__).parent / "goldens" / "tensor_types.json"
Shapes = dict[str, tuple[int, ...]]


def _model(layers: int, keys: int, feed: int, *, tied: bool, fused: bool) -> Shapes:
    """The matrices of a model of width 256 with eight heads."""
    shapes: Shapes = {"token_embd.weight": (260, 256)}
    if not tied:
        shapes["output.weight"] = (260, 256)
    for layer in range(layers):
        parts = {"attn_output": (256, 256), "ffn_down": (256, feed), "ffn_up": (feed, 256)}
        if fused:
            parts |= {"attn_qkv": (256 + 2 * 32 * keys, 256)}
        else:
            parts |= {"attn_q": (256, 256), "attn_k": (32 * keys, 256), "attn_v": (32 * keys, 256)}
            parts |= {"ffn_gate": (feed, 256)}
        shapes |= {f"blk.{layer}.{part}.weight": shape for part, shape in parts.items()}
    return shapes


MODELS = {
    "llama of 32 layers, four queries a key": (32, 2, 512, False, False),
    "qwen3 of 16 layers, rows of 288, tied": (16, 4, 288, True, False),
    "phi3 of 16 layers, fused, four queries a key": (16, 2, 512, False, True),
}


def _counted(layers: int, keys: int, feed: int, tied: bool, fused: bool) -> dict[str, object]:
    shapes = _model(layers, keys, feed, tied=tied, fused=fused)
    found: dict[str, object] = {}
    for kind in BASE_TYPES:
        for weighed in (False, True):
            if weighed or kind not in NEED_IMPORTANCE:
                model = Shape(layers, tied, 8 // keys, weighed)
                types = (tensor_type(name, shape, kind, model) for name, shape in shapes.items())
                found[f"{kind}, weighed" if weighed else kind] = dict(
                    sorted(Counter(types).items())
                )
    return found


def test_every_file_type_mixes_types_as_llama_cpp_does(request: pytest.FixtureRequest) -> None:
    found = {name: _counted(*how) for name, how in MODELS.items()}
    if request.config.getoption("--update-goldens"):
        GOLDENS.parent.mkdir(exist_ok=True)
        GOLDENS.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDENS.read_text())


@pytest.mark.parametrize(
    ("name", "kind", "weighed", "wanted"),
    [
        # As llama-quantize says of the same tensors.
        ("blk.0.attn_v.weight", "IQ4_XS", True, "Q5_K"),
        ("blk.0.ffn_down.weight", "IQ4_XS", False, "Q5_K"),
        ("blk.0.ffn_down.weight", "IQ4_XS", True, "IQ4_XS"),
        ("blk.0.ffn_down.weight", "Q4_0", True, "Q4_1"),
        ("blk.0.ffn_down.weight", "Q4_0", False, "Q4_0"),
        ("blk.9.attn_output.weight", "Q3_K_M", False, "Q4_K"),
        ("token_embd.weight", "IQ3_XXS", True, "IQ3_S"),
        ("output.weight", "IQ3_XXS", True, "Q5_K"),
        ("blk.2.attn_q_norm.weight", "Q4_K_M", False, "F32"),
    ],
)
def test_tensors_that_a_file_type_treats_otherwise(
    name: str, kind: str, weighed: bool, wanted: str
) -> None:
    model = Shape(32, tied=False, gqa=4, importance=weighed)
    assert tensor_type(name, (256, 512), kind, model) == wanted
