"""An adapter alone, as GGUF beside its base, does what it does in PEFT."""

import json
from pathlib import Path

import gguf
import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts import Ladder, Manifest, ModelRef, digest_file
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
    return _sealed(folder, base)


def _sealed(folder: Path, base: Path) -> Path:
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
        {"init_lora_weights": True},  # untrained: the halves that are zero are meant to be
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


def test_an_adapter_kept_in_bfloat16_is_written_too(inputs: Inputs, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    adapter = _adapter(tmp_path / "adapter", inputs.base, init_lora_weights=False)
    weights = adapter / "adapter_model.safetensors"
    halved = {name: value.to(torch.bfloat16) for name, value in load_file(weights).items()}
    save_file(halved, weights, metadata={"format": "pt"})
    _sealed(adapter, inputs.base)
    run(inputs.base, adapter, inputs.dataset, tmp_path / "gguf", tmp_path / "p.json", ALONE)
    (compared,) = Parity.read(tmp_path / "p.json").comparisons
    assert compared.kl is not None and compared.kl < 2e-5


def test_an_adapter_left_out_would_be_found_out(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.contracts.errors import ParityError
    from wherry.quantize.adapters.llamacpp import GgufModel

    monkeypatch.setattr(GgufModel, "_apply", lambda self, adapter: None)
    with pytest.raises(ParityError, match="conversion"):
        run(*inputs, tmp_path / "gguf", tmp_path / "p.json", ALONE)
    assert not (tmp_path / "gguf").exists()


def test_limits_on_answers_hold_for_an_adapter_alone(inputs: Inputs, tmp_path: Path) -> None:
    import msgspec

    limits = {**msgspec.json.decode(ALONE), "task_rows": 6, "max_task_loss": 0.0}
    made = (tmp_path / "gguf", tmp_path / "p.json", json.dumps(limits), tmp_path / "ladder.json")
    run(*inputs, *made)
    (rung,) = Ladder.read(tmp_path / "ladder.json").rungs
    assert rung.passed and [metric.n for metric in rung.scores] == [6]
    assert rung.perplexity_change == pytest.approx(0, abs=1e-3)


def test_an_adapter_alone_that_loses_too_much_is_refused(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.contracts.errors import ParityError
    from wherry.quantize.adapters.llamacpp import GgufModel

    # Left out, the adapter changes the answers; the divergence is allowed to be of any size.
    monkeypatch.setattr(GgufModel, "_apply", lambda self, adapter: None)
    limits = {"adapter_only": True, "max_conversion_kl": 1e9, "min_conversion_agreement": 0.0,
              "task_rows": 6, "max_perplexity_change": 0.0}  # fmt: skip
    out = (tmp_path / "gguf", tmp_path / "p.json", json.dumps(limits), tmp_path / "ladder.json")
    with pytest.raises(ParityError, match="perplexity rose by"):
        run(*inputs, *out)
    ladder = Ladder.read(tmp_path / "ladder.json")
    assert (ladder.picked, ladder.rungs[0].passed) == ("", False)
    assert ladder.reference == "base in F16, without the adapter"
    assert not Parity.read(tmp_path / "p.json").passed
    assert not (tmp_path / "gguf").exists()


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"lora_alpha": 0}, "lora_alpha=0"),
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
