"""An adapter alone, as GGUF beside its base, does what it does in PEFT."""

import json
from pathlib import Path

import gguf
import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts import Manifest, ModelRef, digest_file
from wherry.contracts.errors import FormatError
from wherry.contracts.parity import Parity
from wherry.quantize.run import run

pytestmark = pytest.mark.local

# Random weights tie now and then: the divergence is what counts here.
ALONE = json.dumps({"adapter_only": True, "min_conversion_agreement": 0.9})


def _adapter(folder: Path, base: Path, **recipe: object) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(2)
    plain = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(**{"r": 4, "target_modules": "all-linear", **recipe})  # type: ignore[arg-type]  # by keyword
    get_peft_model(plain, config).save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    weights, origin = folder / "adapter_model.safetensors", ModelRef.read(base / "model.json")
    ModelRef(
        name="Tiny-Llama",
        format="adapter",
        file=weights.name,
        digest=digest_file(weights),
        size=weights.stat().st_size,
        base_uri="file:tiny",
        base_digest=origin.digest,
        template_digest=origin.template_digest,
    ).write(folder / "model.json")
    Manifest.seal(folder)
    return folder


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"use_rslora": True, "lora_alpha": 6},
        {"lora_alpha": 3, "alpha_pattern": {"q_proj": 24}, "rank_pattern": {"down_proj": 2}},
        {"target_modules": ["q_proj", "k_proj"]},
    ],
)
def test_an_adapter_on_its_base_in_llama_cpp_is_the_one_in_peft(
    inputs: Inputs, tmp_path: Path, recipe: dict[str, object]
) -> None:
    given = {"init_lora_weights": False, **recipe}
    adapter = _adapter(tmp_path / "adapter", inputs.base, **given)
    made = run(inputs.base, adapter, inputs.dataset, tmp_path / "gguf", tmp_path / "p.json", ALONE)
    assert ModelRef.verified(tmp_path / "gguf") == made
    assert (made.format, made.file) == ("adapter", "Tiny-Llama.LoRA.gguf")
    assert made.size < 60_000
    (compared,) = Parity.read(tmp_path / "p.json").comparisons
    assert compared.kl is not None and compared.kl < 2e-5
    fields = gguf.GGUFReader(tmp_path / "gguf" / made.file).fields
    assert fields["general.type"].contents() == "adapter"
    assert fields["adapter.type"].contents() == "lora"


def test_an_adapter_left_out_would_be_found_out(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.contracts.errors import ParityError
    from wherry.quantize.adapters.llamacpp import GgufModel

    monkeypatch.setattr(GgufModel, "_apply", lambda self, adapter: None)
    with pytest.raises(ParityError, match="conversion"):
        run(*inputs, tmp_path / "gguf", tmp_path / "p.json", ALONE)
    assert not (tmp_path / "gguf").exists()


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "lora_only"}, "bias='lora_only'"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "lora_embedding_A|embed_tokens"),
    ],
)
def test_what_llama_cpp_cannot_apply_is_refused_by_name(
    inputs: Inputs, tmp_path: Path, recipe: dict[str, object], why: str
) -> None:
    adapter = _adapter(tmp_path / "adapter", inputs.base, **recipe)
    with pytest.raises(FormatError, match=why):
        run(inputs.base, adapter, inputs.dataset, tmp_path / "gguf", tmp_path / "p.json", ALONE)
    assert not (tmp_path / "gguf").exists()
