"""Types for GPUs, made and read back on the CPU."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts import Ladder, ModelRef
from wherry.contracts.errors import ExtraMissingError, FormatError
from wherry.contracts.parity import Parity
from wherry.quantize.run import run

pytestmark = pytest.mark.local

LOOSE: dict[str, object] = {"min_agreement": 0.4, "max_kl": 1.0}
"""For four bits: random weights suffer more than trained ones."""


def _run(inputs: Inputs, out: Path, **settings: object) -> ModelRef:
    told = json.dumps(settings)
    return run(*inputs, out / "gguf", out / "parity.json", told, out / "ladder.json")


@pytest.mark.parametrize(("kind", "limits"), [("INT8", {}), ("INT4", LOOSE)])
def test_a_gpu_type_is_a_folder_for_transformers_that_is_still_the_model(
    inputs: Inputs, tmp_path: Path, kind: str, limits: dict[str, object]
) -> None:
    pytest.importorskip("compressed_tensors")
    made = _run(inputs, tmp_path, type=kind, **limits)
    assert (made.format, made.file) == ("transformers", "model.safetensors")
    assert made.quantization == kind
    assert ModelRef.verified(tmp_path / "gguf") == made
    assert made.size < 0.5 * (inputs.base / "model.safetensors").stat().st_size
    names = {path.name for path in (tmp_path / "gguf").iterdir()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja", "manifest.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    parity = Parity.read(tmp_path / "parity.json")
    assert parity.token_agreement == 1.0
    assert [one.name for one in parity.comparisons] == ["merge", "quantization"]
    kl = parity.comparisons[-1].kl
    assert kl is not None and kl > 1e-7  # it is not the unquantized model that was compared
    assert Ladder.read(tmp_path / "ladder.json").reference == "merged float32 model"


def test_gpu_types_and_q8_0_stand_on_one_ladder(inputs: Inputs, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    kinds = ["INT8", "INT4", "Q8_0"]
    made = _run(inputs, tmp_path, types=kinds, speed_runs=0, task_rows=0, **LOOSE)
    ladder = Ladder.read(tmp_path / "ladder.json")
    assert [rung.type for rung in ladder.rungs] == kinds
    assert all(rung.passed for rung in ladder.rungs)
    eight, four, _ = ladder.rungs
    assert eight.kl is not None and four.kl is not None and eight.kl < four.kl
    assert four.size < eight.size
    smallest = min(ladder.rungs, key=lambda rung: rung.size)
    assert ladder.picked == made.quantization == smallest.type


@pytest.mark.parametrize("kind", ["INT8", "INT4"])
def test_each_weight_is_within_half_a_step_of_what_it_was(
    inputs: Inputs, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("compressed_tensors")
    import torch
    from transformers import AutoModelForCausalLM

    from wherry.quantize.adapters.compressed_tensors import QuantizedModel, write

    write(inputs.base, tmp_path, kind)
    before = AutoModelForCausalLM.from_pretrained(inputs.base, dtype=torch.float32).state_dict()
    after = QuantizedModel(tmp_path, threads=1)._model.state_dict()
    for name, weights in before.items():
        found = after[name].float()
        if "_proj" not in name:
            assert torch.equal(found, weights.bfloat16().float()), name
            continue
        size, steps = (weights.shape[-1], 255) if kind == "INT8" else (32, 15)
        most = weights.unflatten(-1, (-1, size)).abs().amax(-1)
        # Half a step, and what bfloat16 rounds scale and product by.
        allowed = most / steps * 1.02 + most / 100
        error = (found - weights).abs().unflatten(-1, (-1, size)).amax(-1)
        assert (error <= allowed).all(), name
        assert error.max() > most.max() / steps / 10, name


def test_the_folder_says_what_vllm_must_know(inputs: Inputs, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    from safetensors import safe_open

    from wherry.quantize.adapters.compressed_tensors import write

    weights = write(inputs.base, tmp_path, "INT4")
    told = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert (told["quant_method"], told["format"]) == ("compressed-tensors", "pack-quantized")
    assert (told["quantization_status"], told["ignore"]) == ("compressed", ["lm_head"])
    (group,) = told["config_groups"].values()
    assert group["targets"] == ["Linear"]
    # 128 and 64 do not divide the rows of 96.
    wanted = {"num_bits": 4, "group_size": 32, "strategy": "group", "symmetric": True}
    assert wanted.items() <= group["weights"].items()
    with safe_open(weights, "pt") as file:
        part = "model.layers.0.mlp.down_proj"
        assert {name for name in file.keys() if name.startswith(part)} == {  # noqa: SIM118  # no dict
            f"{part}.weight_{end}" for end in ("packed", "scale", "shape")
        }
        assert file.get_slice(f"{part}.weight_packed").get_shape() == [64, 96 * 4 // 32]


def test_columns_that_matter_are_spared(inputs: Inputs, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    import torch
    from transformers import AutoModelForCausalLM

    from wherry.quantize.adapters.compressed_tensors import QuantizedModel, write

    before = AutoModelForCausalLM.from_pretrained(inputs.base, dtype=torch.float32).state_dict()
    names = [name for name in before if "_proj" in name]
    matters = {name: np.ones(before[name].shape[-1], np.float32) for name in names}
    for values in matters.values():
        values[::4] = 100.0
    error = {}
    for known, given in (("none", None), ("some", matters)):
        write(inputs.base, tmp_path / known, "INT4", given)
        after = QuantizedModel(tmp_path / known, threads=1)._model.state_dict()
        lost = [(after[name].float() - before[name])[:, ::4].square().mean() for name in names]
        error[known] = float(torch.stack(lost).mean())
    assert error["some"] < 0.8 * error["none"]


def test_int4_is_made_with_a_matrix_of_training_rows_and_int8_without(
    inputs: Inputs, tmp_path: Path
) -> None:
    pytest.importorskip("compressed_tensors")
    digests = {}
    for kind in ("INT8", "INT4"):
        for rows in (0, 4):
            out = tmp_path / f"{kind}-{rows}"
            made = _run(inputs, out, type=kind, importance_rows=rows, **LOOSE)
            ladder = Ladder.read(out / "ladder.json")
            assert (ladder.importance_digest is not None) == (kind == "INT4" and rows > 0)
            digests[kind, rows] = made.digest
    assert digests["INT8", 0] == digests["INT8", 4]
    assert digests["INT4", 0] != digests["INT4", 4]


@pytest.mark.parametrize("kind", ["INT8", "INT4"])
def test_the_exam_takes_such_a_folder_as_it_is(inputs: Inputs, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("compressed_tensors")
    from wherry.evaluate.run import run as evaluate

    made = _run(inputs, tmp_path, type=kind, **LOOSE)
    scores = evaluate(
        inputs.dataset, tmp_path / "gguf", tmp_path / "scores", tmp_path / "said", "quantized"
    )
    assert (scores.model_digest, scores.subject) == (made.digest, "quantized")


def test_rows_that_no_group_divides_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    from transformers import LlamaConfig, LlamaForCausalLM

    from wherry.quantize.adapters.compressed_tensors import write

    sizes: dict[str, Any] = {"vocab_size": 9, "hidden_size": 32, "intermediate_size": 40}
    config = LlamaConfig(**sizes, num_hidden_layers=1, num_attention_heads=2)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(FormatError, match=r"divide by 32, this model has rows of 32, 40\."):
        write(tmp_path, tmp_path / "made", "INT4")
    assert not (tmp_path / "made").exists()


def test_without_the_package_its_types_name_the_extra(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "wherry.quantize.adapters.compressed_tensors", raising=False)
    for name in ("compressed_tensors", "compressed_tensors.compressors"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraMissingError, match=r"pip install \"wherry\[gpu\]\""):
        _run(inputs, tmp_path, type="INT8")
