"""Each family's weights, random and tiny, mean the same to transformers and to llama.cpp."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.local

NAMES = (
    "llama",
    "llama, tied",
    "mistral",
    "gemma",
    "gemma2",
    "gemma3",
    "qwen2",
    "qwen3",
    "phi3",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_family_written_as_gguf_gives_transformers_logits(tmp_path: Path, name: str) -> None:
    from tests.fakes import tiny_families
    from wherry.quantize.adapters import gguf_file, llamacpp
    from wherry.quantize.adapters.transformers import TunedModel
    from wherry.quantize.step import Sample, diverge

    tiny_families.make(tmp_path, name)
    source = gguf_file.Source.of_folder(tmp_path)
    tuned = TunedModel(tmp_path, tmp_path, threads=1)
    file = tmp_path / "made.gguf"
    # float32 throughout: what is left is the order of sums.
    gguf_file.write(
        file, gguf_file.to_gguf(tuned.tensors(), source), source, "F16", llamacpp.encode
    )
    ids = tuple(1 + (7 * i) % 250 for i in range(40))
    samples = [Sample(ids, tuple(range(len(ids))))]
    model = llamacpp.GgufModel(file, context=len(ids), threads=1)
    found = diverge(tuned.logits(samples), model.logits(samples))
    model.close()
    assert found.positions == 40
    assert found.kl < 2e-5
    assert found.agreement >= 0.95


@pytest.mark.parametrize("name", ["gemma3", "qwen2", "phi3"])
def test_importance_reaches_every_matrix_of_a_block_by_its_gguf_name(
    tmp_path: Path, name: str
) -> None:
    from tests.fakes import tiny_families
    from wherry.quantize.adapters import gguf_file
    from wherry.quantize.adapters.transformers import TunedModel

    tiny_families.make(tmp_path, name)
    source = gguf_file.Source.of_folder(tmp_path)
    tuned = TunedModel(tmp_path, tmp_path, threads=1)
    found = {
        source.named(old): values for old, values in tuned.importance([[1, 9, 8], [1, 7]]).items()
    }
    matrices = {
        part: shape
        for part, shape in source.shapes.items()
        if part.startswith("blk.") and len(shape) == 2
    }
    assert {part: (values.size,) for part, values in found.items()} == {
        part: shape[-1:] for part, shape in matrices.items()
    }
    assert all((values > 0).all() for values in found.values())


@pytest.mark.parametrize("name", ["gemma", "gemma3"])
def test_norms_left_as_transformers_has_them_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from tests.fakes import tiny_families
    from wherry.quantize import families
    from wherry.quantize.adapters import gguf_file, llamacpp
    from wherry.quantize.adapters.transformers import TunedModel
    from wherry.quantize.step import Sample, diverge

    tiny_families.make(tmp_path, name)
    source = gguf_file.Source.of_folder(tmp_path)
    tuned = TunedModel(tmp_path, tmp_path, threads=1)
    monkeypatch.setitem(families.FAMILIES, name, families.FAMILIES["qwen2"])
    file = tmp_path / "made.gguf"
    tensors = gguf_file.to_gguf(tuned.tensors(), source)
    gguf_file.write(file, tensors, source, "F16", llamacpp.encode)
    samples = [Sample(tuple(range(1, 21)), tuple(range(20)))]
    model = llamacpp.GgufModel(file, context=20, threads=1)
    assert diverge(tuned.logits(samples), model.logits(samples)).kl > 0.01
    model.close()
