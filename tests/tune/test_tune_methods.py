"""Every method learns, is saved as what was trained, and merges to the same model."""

import math
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tune.test_tune_run import BATCH, PREFIX, RECIPE, learner
from wherry.contracts import ModelRef
from wherry.contracts.errors import ParityError, SettingsError
from wherry.tune.examples import Example
from wherry.tune.settings import LOW_RANK, VIRTUAL, Method

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

pytestmark = pytest.mark.local

PEFT: tuple[Method, ...] = ("lora", "dora", "rslora", "pissa", "ia3", "prompt", "prefix")
MERGING = tuple(m for m in PEFT if m not in VIRTUAL)


@pytest.mark.parametrize("method", [*PEFT, "full"])
def test_a_method_lowers_the_eval_loss(tuned: "Tuner", method: Method) -> None:
    tuned(method=method, epochs=3, frozen_share=0.5)
    losses = tuned.eval_losses()
    assert losses[-1] < 0.99 * losses[0]


@pytest.mark.parametrize("method", PEFT)
def test_an_adapter_loads_in_peft_and_has_the_loss_that_it_was_saved_with(
    base: Path, tmp_path: Path, method: Method
) -> None:
    from peft import PeftModel
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    from wherry.tune.adapters.pytorch.sequences import better, collate

    one = learner(base, replace(RECIPE, method=method, frozen_share=0.5), PREFIX)
    for _ in range(3):
        one.learn(BATCH, 1e-2)
    one.model.save(tmp_path, "file:tiny")
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path)
    seen = collate(better(BATCH), 0)
    logits = loaded.eval()(input_ids=seen.inputs).logits
    shift = logits.shape[1] - seen.inputs.shape[1]  # virtual tokens stand before
    found = cross_entropy(logits[seen.rows, seen.positions + shift], seen.targets)
    assert float(found) == pytest.approx(one.loss(BATCH), rel=1e-3)


@pytest.mark.parametrize("method", [m for m in LOW_RANK if m != "qlora"])
def test_what_drops_inputs_in_training_is_looked_at_whole_before(
    base: Path, method: Method
) -> None:
    """PiSSA's update is no zero when it begins: dropping a part of it moves the logits."""
    one = learner(base, replace(RECIPE, method=method, dropout=0.5), PREFIX)
    whole = learner(base, replace(RECIPE, method=method), PREFIX)
    assert one.loss(BATCH) == whole.loss(BATCH)
    one.learn(BATCH, 1e-2)
    assert math.isfinite(one.loss(BATCH))


@pytest.mark.parametrize("method", MERGING)
def test_the_merged_model_is_published_with_what_it_came_from(
    tuned: "Tuner", tmp_path: Path, method: Method
) -> None:
    adapter = tuned(method=method, frozen_share=0.5, merged=tmp_path / "merged")
    merged = ModelRef.verified(tmp_path / "merged")
    assert (merged.format, merged.adapter_digest) == ("transformers", adapter.digest)
    assert merged.template_digest == adapter.template_digest
    assert (tmp_path / "merged" / "tokenizer.json").is_file()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_whoever_comes_next_may_read_every_file(
    tuned: "Tuner", tmp_path: Path, method: Method
) -> None:
    """The next stage may run as another user, and a container's umask may hide what is written."""
    before = os.umask(0o077)
    try:
        tuned(method=method, **({"merged": tmp_path / "merged"} if method == "lora" else {}))
    finally:
        os.umask(before)
    files = [*(tmp_path / "adapter").iterdir(), *tmp_path.glob("merged/*")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o644}


def test_a_merge_that_changes_the_model_is_refused(
    tuned: "Tuner", base: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.tune.adapters.pytorch import merge

    tuned()
    monkeypatch.setattr(merge, "MAX_KL", -1.0)
    with pytest.raises(ParityError, match="nats a token"):
        merge.merge(base, tmp_path / "adapter", tmp_path, BATCH)


def test_of_a_long_row_its_end_alone_is_compared(base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from wherry.tune.adapters.pytorch import merge

    model = AutoModelForCausalLM.from_pretrained(base)
    row = Example(tuple(range(3, 103)), tuple(range(103, 203)))
    found = merge._logits(model, row)
    with torch.inference_mode():
        whole = model(input_ids=torch.tensor([[*row.prompt, *row.completion]])).logits[0]
    assert len(whole) == 200
    assert torch.allclose(found, whole[-merge.LAST :], atol=1e-5)


@pytest.mark.parametrize("method", VIRTUAL)
def test_virtual_tokens_are_not_merged(tuned: "Tuner", tmp_path: Path, method: Method) -> None:
    with pytest.raises(SettingsError, match="virtual tokens"):
        tuned(method=method, merged=tmp_path / "merged")


def test_a_whole_model_is_not_merged_and_that_is_said_before_it_is_tuned(
    tuned: "Tuner", tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="no adapter to merge"):
        tuned(method="full", merged=tmp_path / "merged")
    assert not (tuned.folder / "adapter").exists()


def test_full_tuning_gives_a_whole_model_that_needs_no_base(tuned: "Tuner", base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = tuned(method="full", frozen_share=0.5)
    assert (model.format, model.adapter_digest) == ("transformers", None)
    folder = tuned.folder / "adapter"
    AutoModelForCausalLM.from_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).chat_template


@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "full"])
def test_matrices_decay_while_norms_and_scales_do_not(base: Path, method: Method) -> None:
    recipe = replace(RECIPE, method=method, frozen_share=0.0)
    plain, decaying = learner(base, recipe), learner(base, replace(recipe, weight_decay=0.5))
    for one in (plain, decaying):
        one.learn(BATCH, 1e-2)
    changed = {
        name
        for name, weight in plain.model.named_weights()
        if not weight.equal(decaying._weights[name])
    }
    scales = ("norm", "magnitude", "ia3_")
    assert changed == {
        name
        for name in plain._weights
        # lora_B begins at zero, where nothing decays.
        if not any(scale in name for scale in scales) and "lora_B" not in name
    }


def test_a_layer_name_that_the_model_has_not_is_refused_with_those_it_has(tuned: "Tuner") -> None:
    with pytest.raises(SettingsError, match=r"no linear layer 'query', it has .*q_proj"):
        tuned(targets=["query"])


def test_a_rank_above_the_singular_values_of_a_matrix_is_refused(tuned: "Tuner") -> None:
    with pytest.raises(SettingsError, match=r"at most 32 where method is pissa: .*k_proj.*got 33"):
        tuned(method="pissa", rank=33)
    assert tuned(method="pissa", rank=32).format == "adapter"


def test_low_rank_methods_are_all_named() -> None:
    assert {*LOW_RANK, "ia3", *VIRTUAL, "full"} == set(Method.__args__)  # type: ignore[attr-defined]
