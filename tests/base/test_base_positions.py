"""What a GGUF file says of rotary positions reaches the model that is tuned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wherry.contracts.errors import FormatError

pytestmark = pytest.mark.local

NAMES = ("llama3.2", "gemma3 4b", "qwen2, yarn", "phi3.5, in part")
TOKENS = 250


def written(folder: Path, name: str) -> Path:
    """A GGUF file of random weights of a family, as its own converter writes it."""
    from tests.fakes import tiny_families
    from wherry.quantize.adapters import gguf_file, llamacpp
    from wherry.quantize.adapters.transformers import TunedModel

    whole = folder / "whole"
    tiny_families.make(whole, name)
    source = gguf_file.Source.of_folder(whole)
    tensors = gguf_file.to_gguf(TunedModel(whole, whole, threads=1).tensors(), source)
    file = folder / "tiny.gguf"
    gguf_file.write(file, tensors, source, "F16", llamacpp.encode)
    return file


def apart(file: Path, folder: Path) -> float:
    """KL between llama.cpp on the file and transformers on the folder, in nats a token."""
    from wherry.quantize.adapters.llamacpp import GgufModel
    from wherry.quantize.adapters.transformers import TunedModel
    from wherry.quantize.step import Sample, diverge

    ids = tuple(1 + (7 * i) % 250 for i in range(TOKENS))
    samples = [Sample(ids, tuple(range(TOKENS)))]
    model = GgufModel(file, context=TOKENS, threads=1)
    found = diverge(TunedModel(folder, folder, threads=1).logits(samples), model.logits(samples))
    model.close()
    return found.kl


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_for_transformers_turns_positions_as_its_gguf_file_does(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.base.adapters import transformers as adapter

    file, folder = written(tmp_path, name), tmp_path / "folder"
    adapter.TransformersConverter().convert(file, folder, "")
    assert apart(file, folder) < 2e-5
    monkeypatch.setattr(adapter, "turn_as_file", lambda *_: None)
    adapter.TransformersConverter().convert(file, tmp_path / "plain", "")
    assert apart(file, tmp_path / "plain") > 2e-4


def test_llama_3_2s_own_settings_come_out_of_its_table(tmp_path: Path) -> None:
    from wherry.base.adapters.transformers import TransformersConverter

    TransformersConverter().convert(written(tmp_path, "llama3.2"), tmp_path / "folder", "")
    config = json.loads((tmp_path / "folder" / "config.json").read_bytes())
    assert config["rope_parameters"] == {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


@pytest.mark.parametrize(
    ("tables", "told", "why"),
    [
        ({"rope_freqs.weight": np.float32([1, 3, 2, 9])}, {}, "4 factors that is not Llama 3.1's"),
        ({"rope_factors_long.weight": np.ones(4, np.float32)}, {}, "for long texts alone"),
        ({}, {"scaling.type": "ntk", "scaling.factor": 4.0}, "'ntk' and 4"),
        ({}, {"scaling.type": "yarn", "scaling.factor": 4.0}, "'yarn' and 4"),
    ],
)
def test_what_transformers_does_not_know_is_refused(
    tables: dict[str, Any], told: dict[str, Any], why: str
) -> None:
    from wherry.base.adapters.positions import _stretched

    with pytest.raises(FormatError, match=why):
        _stretched(tables, told, 10000.0)


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({}, {}),
        ({}, {"scaling.type": "none", "scaling.factor": 4.0}),
        ({}, {"scaling.type": "linear", "scaling.factor": 1.0}),
        ({}, {"scaling.original_context_length": 4096}),
        ({"rope_freqs.weight": np.ones(8, np.float32)}, {}),
    ],
)
def test_positions_that_are_not_stretched_stay(
    tables: dict[str, Any], told: dict[str, Any]
) -> None:
    from wherry.base.adapters.positions import _stretched

    assert _stretched(tables, told, 10000.0) == {}
