"""The whole stage on a tiny model: files, refusals, and what is left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts import Manifest, ModelRef, digest_file
from wherry.contracts.errors import (
    DigestError,
    FormatError,
    MissingError,
    ParityError,
    TemplateError,
)
from wherry.contracts.parity import Parity
from wherry.quantize.run import run

pytestmark = pytest.mark.local


def _run(inputs: Inputs, out: Path, **settings: object) -> ModelRef:
    return run(*inputs, out / "gguf", out / "parity.json", json.dumps(settings))


def test_the_file_is_described_sealed_and_close_to_what_was_tuned(
    inputs: Inputs, tmp_path: Path
) -> None:
    model = _run(inputs, tmp_path)
    base, adapter = (ModelRef.read(folder / "model.json") for folder in inputs[:2])
    assert ModelRef.verified(tmp_path / "gguf") == model
    assert model.file == "Tiny-Llama.Q8_0.gguf"
    assert model.format == "gguf" and model.quantization == "Q8_0"
    assert (model.base_digest, model.adapter_digest) == (base.digest, adapter.digest)
    assert model.template_digest == base.template_digest
    assert sorted(path.name for path in (tmp_path / "gguf").iterdir()) == [
        "Tiny-Llama.Q8_0.gguf",
        "manifest.json",
        "model.json",
    ]
    parity = Parity.read(tmp_path / "parity.json")
    assert parity.passed and parity.token_agreement == 1.0 and parity.rows == 6
    assert parity.model_digest == digest_file(tmp_path / "gguf" / model.file)
    assert [made.name for made in parity.comparisons] == ["merge", "conversion", "quantization"]
    kl = {made.name: made.kl for made in parity.comparisons}
    assert kl["merge"] is not None and kl["merge"] < 1e-8
    assert kl["conversion"] is not None and kl["conversion"] < 2e-5
    assert kl["quantization"] is not None and kl["conversion"] < kl["quantization"] < 0.01


def test_a_server_that_only_renders_can_be_closed_at_once(inputs: Inputs, tmp_path: Path) -> None:
    from wherry.quantize.adapters.llamacpp import GgufRenderer

    file = tmp_path / "gguf" / _run(inputs, tmp_path).file
    # xllamacpp's server waits for ever when it is dropped before its loop runs: one in some tens.
    for _ in range(30):
        GgufRenderer(file).close()


def test_the_same_inputs_give_the_same_file(inputs: Inputs, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert _run(inputs, first).digest == _run(inputs, second).digest


@pytest.mark.parametrize(
    ("kind", "limits"), [("F16", {}), ("Q6_K", {}), ("Q4_K_M", {"min_agreement": 0.4})]
)
def test_other_types_are_made_and_held_to_their_own_limits(
    inputs: Inputs, tmp_path: Path, kind: str, limits: dict[str, float]
) -> None:
    model = _run(inputs, tmp_path, type=kind, **limits)
    assert model.quantization == kind and model.file.endswith(f".{kind}.gguf")


def test_a_file_that_is_too_far_off_is_refused_and_not_published(
    inputs: Inputs, tmp_path: Path
) -> None:
    with pytest.raises(ParityError, match=r"quantization: llama\.cpp, Q4_0"):
        _run(inputs, tmp_path, type="Q4_0", max_kl=1e-6)
    assert not Parity.read(tmp_path / "parity.json").passed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parity.json"]


def test_keys_and_queries_left_in_transformers_order_are_found_out(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.quantize.adapters import gguf_file

    monkeypatch.setattr(gguf_file, "pair_rows", lambda weights, heads: weights)
    with pytest.raises(ParityError, match="conversion"):
        _run(inputs, tmp_path)
    parity = Parity.read(tmp_path / "parity.json")
    conversion = parity.find("conversion")
    assert conversion is not None and conversion.kl is not None and conversion.kl > 0.01


def test_an_adapter_of_another_base_is_refused(
    inputs: Inputs, other_base: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(DigestError, match="trained on a base of digest"):
        _run(inputs._replace(base=other_base(seed=5)), tmp_path)


def test_a_bit_flipped_in_the_adapter_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(inputs.adapter, copy)
    weights = copy / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DigestError, match=r"adapter_model\.safetensors has digest"):
        _run(inputs._replace(adapter=copy), tmp_path)


def test_a_split_that_is_not_there_is_named(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no split 'dev', only train, eval, test"):
        _run(inputs, tmp_path, split="dev")


def test_a_split_without_rows_proves_nothing(inputs: Inputs, tmp_path: Path) -> None:
    from tests.fakes import tiny_model

    tiny_model.make_dataset(tmp_path / "empty", rows=0)
    with pytest.raises(ParityError, match="nothing was compared"):
        _run(inputs._replace(dataset=tmp_path / "empty"), tmp_path)


def test_an_architecture_that_cannot_be_written_is_named(
    inputs: Inputs, other_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = other_base(architecture="falcon")
    with pytest.raises(FormatError, match=r"'falcon' cannot be written.*one of: llama"):
        _run(inputs._replace(base=base), tmp_path)


def test_a_base_without_its_gguf_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    base = _changed_base(inputs, tmp_path, lambda folder: (folder / "source.gguf").unlink())
    with pytest.raises(FormatError, match="holds 0 GGUF files"):
        _run(inputs._replace(base=base), tmp_path)


def test_a_template_that_training_did_not_use_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        path = folder / "source.gguf"
        path.write_bytes(path.read_bytes().replace(b"<|im_end|>' + '\n'", b"<|im_end|>' + ' '"))

    with pytest.raises(TemplateError, match="embeds a chat template"):
        _run(inputs._replace(base=_changed_base(inputs, tmp_path, change)), tmp_path)


def test_an_adapter_that_is_not_finite_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    copy = tmp_path / "adapter"
    shutil.copytree(inputs.adapter, copy)
    weights = copy / "adapter_model.safetensors"
    tensors = {name: np.full_like(values, np.nan) for name, values in load_file(weights).items()}
    save_file(tensors, weights)
    _reseal(copy)
    with pytest.raises(FormatError, match="cannot be merged"):
        _run(inputs._replace(adapter=copy), tmp_path)


def _changed_base(inputs: Inputs, tmp_path: Path, change: Callable[[Path], object]) -> Path:
    copy = tmp_path / "base"
    shutil.copytree(inputs.base, copy)
    change(copy)
    _reseal(copy)
    return copy


def _reseal(folder: Path) -> None:
    from dataclasses import replace

    model = ModelRef.read(folder / "model.json")
    replace(model, digest=digest_file(folder / model.file)).write(folder / "model.json")
    Manifest.seal(folder)
