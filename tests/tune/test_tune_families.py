"""Models that are built otherwise are learnt as they are, or refused by what they lack."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tune.test_tune_run import BATCH, PREFIX, RECIPE, learner
from wherry.contracts.errors import SettingsError
from wherry.tune.settings import Method

pytestmark = pytest.mark.local

SMALL = {"vocab_size": 64, "hidden_size": 32, "num_attention_heads": 2, "bos_token_id": 1,
         "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip


def saved(folder: Path, kind: str, **figures: Any) -> Any:
    """Writes a model of a family with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **figures})
    name = f"{kind}LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    model = getattr(transformers, name)(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.fixture(params=["RecurrentGemma", "Lfm2"])
def recurrent(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    """A model whose lower layers keep a state of their own in place of keys and values."""
    own: dict[str, Any] = {
        "RecurrentGemma": {"num_hidden_layers": 3, "lru_width": 32, "logits_soft_cap": 0.1},
        "Lfm2": {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]},
    }
    figures = {"intermediate_size": 48, "num_key_value_heads": 1, **own[request.param]}
    return tmp_path, saved(tmp_path, request.param, **figures)


def test_a_recurrent_state_is_computed_for_each_row_by_itself(recurrent: tuple[Path, Any]) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    folder, plain = recurrent
    total = 0.0
    for row in BATCH:
        tokens = torch.tensor([[*row.prompt, *row.completion]])
        with torch.no_grad():
            logits = plain(input_ids=tokens).logits[0, len(row.prompt) - 1 : -1]
        total += float(cross_entropy(logits, torch.tensor(row.completion), reduction="sum"))
    one = learner(folder, RECIPE, PREFIX)
    assert one.model.prefix == 0
    assert one.loss(BATCH) == pytest.approx(total / sum(len(r.completion) for r in BATCH), rel=1e-4)
    before = one.loss(BATCH)
    for _ in range(5):
        one.learn(BATCH, 1e-2)
    assert one.loss(BATCH) < before


def test_virtual_keys_that_no_layer_reads_are_refused(recurrent: tuple[Path, Any]) -> None:
    with pytest.raises(SettingsError, match="virtual keys and values .* does not read them"):
        learner(recurrent[0], replace(RECIPE, method="prefix"))


@pytest.mark.parametrize(
    ("kind", "method", "told"),
    [
        ("GPT2", "lora", "method lora knows no linear layers in a GPT2LMHeadModel"),
        ("GPT2", "full", "no upper layers in a GPT2LMHeadModel.*frozen_share: 0"),
        ("Falcon", "ia3", "method ia3 knows no linear layers in a FalconForCausalLM"),
        ("Mamba", "lora", "method lora does not fit a MambaForCausalLM: .*out_proj"),
    ],
)
def test_a_family_in_which_a_method_finds_nothing_to_train_is_refused(
    tmp_path: Path, kind: str, method: Method, told: str
) -> None:
    layers = "n_layer" if kind == "GPT2" else "num_hidden_layers"
    saved(tmp_path, kind, **{layers: 2})
    with pytest.raises(SettingsError, match=told):
        learner(tmp_path, replace(RECIPE, method=method))


def test_all_of_such_a_model_is_learnt_where_no_share_of_it_is_frozen(tmp_path: Path) -> None:
    saved(tmp_path, "GPT2", n_layer=2)
    one = learner(tmp_path, replace(RECIPE, method="full", frozen_share=0.0), PREFIX)
    before = one.loss(BATCH)
    one.learn(BATCH, 1e-2)
    assert one.loss(BATCH) < before
