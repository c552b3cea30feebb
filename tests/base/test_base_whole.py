"""A base is taken whole, as it is, or not at all."""

import json
from pathlib import Path

import pytest

from tests.base.test_base_positions import written
from wherry.contracts.errors import FormatError

pytestmark = pytest.mark.local


def convert(source: Path, folder: Path) -> None:
    from wherry.base.adapters.transformers import TransformersConverter

    TransformersConverter().convert(source, folder, "")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("tiny"), "llama3.2")


@pytest.fixture
def folder(gguf: Path, tmp_path: Path) -> Path:
    convert(gguf, tmp_path / "model")
    return tmp_path / "model"


def test_a_file_that_lacks_a_weight_is_refused(gguf: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.gguf"
    part.write_bytes(gguf.read_bytes().replace(b"blk.1.attn_q.weight", b"blk.1.attn_z.weight"))
    with pytest.raises(FormatError, match=r"lacks 1 weights .*layers\.1\.self_attn\.q_proj"):
        convert(part, tmp_path / "base")
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("share", [0, 0.001, 0.6, 0.99])
def test_a_file_that_is_cut_short_is_refused(gguf: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[: int(share * gguf.stat().st_size)])
    with pytest.raises(FormatError, match=r"cut\.gguf is no whole GGUF file"):
        convert(cut, tmp_path / "base")


def test_a_folder_that_lacks_a_weight_is_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(FormatError, match=r"lacks 1 weights .*model\.norm\.weight"):
        convert(folder, tmp_path / "base")


def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FormatError, match="safetensors"):
        convert(folder, tmp_path / "base")


def test_a_model_with_code_of_its_own_is_refused_and_nobody_is_asked(
    folder: Path, tmp_path: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    changed = {**config, "model_type": "of-its-own", "auto_map": own}
    (folder / "config.json").write_text(json.dumps(changed))
    (folder / "own.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(FormatError, match="cannot be loaded"):
        convert(folder, tmp_path / "base")
