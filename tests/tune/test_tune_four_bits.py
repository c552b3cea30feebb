"""QLoRA: learnt on a base in four bits, merged into the base as it was."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tune.test_tune_run import BATCH, PREFIX, RECIPE, learner
from wherry.contracts import ModelRef, read_rows

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

# Looked for and not imported: with half of torch behind it, that would slow down every collection.
pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(find_spec("bitsandbytes") is None, reason='pip install "wherry[qlora]"'),
]

QLORA = replace(RECIPE, method="qlora", frozen_share=0.0)


def test_a_base_in_four_bits_is_learnt_on_and_its_adapter_merged_into_the_whole_base(
    tuned: "Tuner", base: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    adapter = tuned(method="qlora", epochs=3, frozen_share=0.5, merged=tmp_path / "merged")
    losses = tuned.eval_losses()
    assert losses[-1] < 0.9 * losses[0]
    merged = ModelRef.verified(tmp_path / "merged")
    assert merged.adapter_digest == adapter.digest
    whole, before = (
        dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())
        for folder in (tmp_path / "merged", base)
    )
    lower = "model.layers.0.mlp.down_proj.weight"
    assert whole[lower].equal(before[lower])  # it never went through four bits


def test_only_the_linear_layers_are_in_four_bits_and_the_head_is_not(base: Path) -> None:
    import bitsandbytes

    model = learner(base, QLORA).model._base
    found = {n for n, m in model.named_modules() if type(m) is bitsandbytes.nn.Linear4bit}
    assert {name.split(".")[-2] for name in found} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_measuring_the_loss_changes_nothing_of_what_is_learnt_after_it(
    base: Path, precision: str
) -> None:
    # One layer's input has 96 features, which bitsandbytes could not pack.
    recipe = replace(QLORA, precision=precision)  # type: ignore[arg-type] # one of its choices
    one, other = learner(base, recipe, PREFIX), learner(base, recipe, PREFIX)
    for _ in range(4):
        one.loss(BATCH)
        assert one.learn(BATCH, 1e-2) == other.learn(BATCH, 1e-2)
    assert one.loss(BATCH) < 2.0


def test_a_teacher_is_asked_in_its_own_precision(dataset: Path, teacher: Path) -> None:
    from wherry.tune.adapters.pytorch.teacher import answers

    prompts = [row.prompt for row in read_rows(dataset / "train.jsonl")]
    asked = replace(RECIPE, answer_tokens=60, batch_size=24)
    own = answers(teacher, prompts, asked)
    assert any(own)
    assert answers(teacher, prompts, replace(asked, method="qlora")) == own
