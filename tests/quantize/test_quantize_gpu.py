"""Types for GPUs, made and read back on the CPU where that can be."""

import json
from pathlib import Path

import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts import Ladder, ModelRef
from wherry.contracts.errors import ExtraMissingError
from wherry.contracts.parity import Parity
from wherry.quantize.run import run

pytestmark = pytest.mark.local


def _run(inputs: Inputs, out: Path, **settings: object) -> ModelRef:
    told = json.dumps(settings)
    return run(*inputs, out / "gguf", out / "parity.json", told, out / "ladder.json")


def test_int8_is_a_folder_for_transformers_that_is_still_the_model(
    inputs: Inputs, tmp_path: Path
) -> None:
    pytest.importorskip("torchao")
    made = _run(inputs, tmp_path, type="INT8")
    assert (made.format, made.file, made.quantization) == (
        "transformers",
        "model.safetensors",
        "INT8",
    )
    assert ModelRef.verified(tmp_path / "gguf") == made
    assert made.size < 0.5 * (inputs.base / "model.safetensors").stat().st_size
    names = {path.name for path in (tmp_path / "gguf").iterdir()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja", "manifest.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    parity = Parity.read(tmp_path / "parity.json")
    assert parity.token_agreement == 1.0
    assert [one.name for one in parity.comparisons] == ["merge", "quantization"]
    assert Ladder.read(tmp_path / "ladder.json").reference == "merged float32 model"


def test_int8_and_q8_0_stand_on_one_ladder(inputs: Inputs, tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    made = _run(inputs, tmp_path, types=["INT8", "Q8_0"], speed_runs=0, task_rows=0)
    ladder = Ladder.read(tmp_path / "ladder.json")
    assert [rung.type for rung in ladder.rungs] == ["INT8", "Q8_0"]
    assert all(rung.passed for rung in ladder.rungs)
    smallest = min(ladder.rungs, key=lambda rung: rung.size)
    assert ladder.picked == made.quantization == smallest.type


def test_int4_without_a_gpu_is_refused_with_what_to_take_instead(
    inputs: Inputs, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchao")
    if torch.cuda.is_available():
        pytest.skip("here it can be made")
    with pytest.raises(ExtraMissingError, match="INT4 needs a CUDA device"):
        _run(inputs, tmp_path, type="INT4")
    assert list(tmp_path.iterdir()) == []


def test_without_torchao_its_types_name_the_extra(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "wherry.quantize.adapters.torchao", raising=False)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(ExtraMissingError, match=r"pip install \"wherry\[gpu\]\""):
        _run(inputs, tmp_path, type="INT8")
