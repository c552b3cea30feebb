"""Each objective pulls the model where it should, and its loss is the one of its paper."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tune.test_tune_run import PREFIX, RECIPE
from wherry.contracts import Kind, Manifest, ModelRef
from wherry.contracts.errors import DataError, SettingsError, TemplateError
from wherry.tune.examples import Example
from wherry.tune.settings import PAIRED, Objective, TuneSettings

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner
    from wherry.tune.adapters.pytorch.model import Trainable

pytestmark = pytest.mark.local

PAIRS = [
    Example((*PREFIX, 9, 10), (20, 2), (21, 22, 2)),
    Example((*PREFIX, 12), (21, 2), (20, 2)),
    Example((*PREFIX, 13), (30, 2), (31, 2)),
]


def model_of(base: Path) -> "Trainable":
    from wherry.tune.adapters.pytorch.model import Trainable

    return Trainable(base, replace(RECIPE, frozen_share=0.0), PREFIX)


def margin(model: "Trainable") -> float:
    """How much likelier the better answers are than the worse ones."""
    from wherry.tune.adapters.pytorch.objectives import log_probabilities
    from wherry.tune.adapters.pytorch.sequences import better, worse

    good, bad = (log_probabilities(model, pick(PAIRS))[0] for pick in (better, worse))
    return float((good - bad).mean())


@pytest.mark.parametrize("objective", PAIRED)
def test_a_preference_makes_the_better_answers_likelier_than_the_worse(
    base: Path, objective: Objective
) -> None:
    from wherry.tune.adapters.pytorch.learner import TorchLearner
    from wherry.tune.adapters.pytorch.objectives import Dpo, Kto, Loss, Orpo, Reference
    from wherry.tune.adapters.pytorch.ranks import Ranks

    model = model_of(base)
    made: dict[str, Callable[[], Loss]] = {
        "dpo": lambda: Dpo(Reference(model, PAIRS, 2), 0.5),
        "kto": lambda: Kto(Reference(model, PAIRS, 2), 0.5),
        "orpo": lambda: Orpo(0.5),
    }
    one = TorchLearner(model, made[objective](), RECIPE, Ranks())
    before, first = margin(model), one.loss(PAIRS)
    for _ in range(8):
        one.learn(PAIRS, 1e-2)
    assert margin(model) > before + 0.5
    assert one.loss(PAIRS) < first


def test_before_any_learning_dpos_loss_is_log_two_and_ktos_is_a_half(base: Path) -> None:
    from wherry.tune.adapters.pytorch.objectives import Dpo, Kto, Reference

    model = model_of(base)
    reference = Reference(model, PAIRS, 2)
    dpo, kto = Dpo(reference, 0.1), Kto(reference, 0.1)
    kto.begin(model, PAIRS)
    assert float(dpo.total(model, PAIRS)) / len(PAIRS) == pytest.approx(log(2), rel=1e-5)
    assert float(kto.total(model, PAIRS)) / (2 * len(PAIRS)) == pytest.approx(0.5, rel=1e-5)


def test_orpos_loss_is_the_papers(base: Path) -> None:
    import torch

    from wherry.tune.adapters.pytorch.objectives import Orpo, log_probabilities

    model = model_of(base)
    pair = PAIRS[:1]
    sums, lengths = log_probabilities(
        model, [(PAIRS[0].prompt, PAIRS[0].completion), (PAIRS[0].prompt, PAIRS[0].rejected)]
    )
    good, bad = (sums / lengths).double().exp().tolist()
    odds = log(good / (1 - good)) - log(bad / (1 - bad))
    expected = -log(good) - 0.3 * float(torch.nn.functional.logsigmoid(torch.tensor(odds)))
    assert float(Orpo(0.3).total(model, pair)) == pytest.approx(expected, rel=1e-4)


def test_a_student_that_is_its_teacher_has_no_divergence_to_lose(base: Path) -> None:
    from wherry.tune.adapters.pytorch.objectives import Distillation

    student, twin = model_of(base), model_of(base)
    assert float(Distillation(twin, 2.0, 1.0).total(student, PAIRS)) == pytest.approx(0, abs=1e-4)


def test_distillation_brings_the_student_nearer_to_its_teacher(
    tuned: "Tuner", teacher: Path
) -> None:
    tuned(objective="distill", teacher=teacher, teacher_weight=1.0, epochs=3, frozen_share=0.0)
    losses, curve = tuned.eval_losses(), tuned.curve()
    assert losses[-1] < 0.8 * losses[0]
    assert curve.teacher_digest == ModelRef.read(teacher / "model.json").digest


def test_a_student_learns_its_teachers_own_answers(
    tuned: "Tuner", teacher: Path, base: Path
) -> None:
    model = tuned(objective="imitate", teacher=teacher, epochs=2, answer_tokens=60)
    curve, taught = tuned.curve(), ModelRef.read(teacher / "model.json").digest
    assert 0 < curve.rows < 24  # answers that never end are not learnt
    assert curve.teacher_digest == model.teacher_digest == taught
    assert model.start_digest is None


def test_a_teacher_that_ends_no_answer_is_told_as_such(tuned: "Tuner", teacher: Path) -> None:
    with pytest.raises(DataError, match="ended none of 24 answers within 1 tokens") as refused:
        tuned(objective="imitate", teacher=teacher, answer_tokens=1)
    assert "answer_tokens" in refused.value.remedy


def test_an_answer_may_end_with_any_token_that_the_teacher_stops_at(
    teacher: Path, tmp_path: Path
) -> None:
    from wherry.contracts import Message
    from wherry.tune.adapters.pytorch.teacher import answers

    prompts = [[Message("user", f"case {number}")] for number in range(4)]
    recipe = TuneSettings(answer_tokens=2, threads=1, precision="float32")
    assert not any(answers(teacher, prompts, recipe))
    other = Path(shutil.copytree(teacher, tmp_path / "teacher"))
    letters = list(range(3, 259))
    (other / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, *letters]}))
    assert all(answers(other, prompts, recipe))


def test_a_template_that_refuses_a_role_is_told_by_its_own_words(
    tuned: "Tuner", base: Path
) -> None:
    tuned.base = tuned.folder / "strict"
    shutil.copytree(base, tuned.base, ignore=shutil.ignore_patterns("manifest.json"))
    template = tuned.base / "chat_template.jinja"
    template.write_text("{{ raise_exception('System role not supported') }}")
    Manifest.seal(tuned.base)
    with pytest.raises(TemplateError, match=r"roles system, user.*System role not supported"):
        tuned()


def test_a_tokenizer_says_whether_texts_begin_with_a_token(base: Path, tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    from wherry.tune.adapters.pytorch.chat import FolderTokenizer

    assert FolderTokenizer(base).begin is None
    opening = AutoTokenizer.from_pretrained(base)
    opening.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    opening.save_pretrained(tmp_path)
    assert FolderTokenizer(tmp_path).begin == 1


def test_a_teacher_with_other_tokens_is_refused(
    tuned: "Tuner", tmp_path: Path, teacher: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    raw = json.loads((other / "tokenizer.json").read_text())
    vocabulary = raw["model"]["vocab"]
    vocabulary["!"], vocabulary['"'] = vocabulary['"'], vocabulary["!"]
    (other / "tokenizer.json").write_text(json.dumps(raw))
    (other / "manifest.json").unlink()
    Manifest.seal(other)
    with pytest.raises(SettingsError, match="other tokens"):
        tuned(objective="distill", teacher=other)


@pytest.mark.parametrize("objective", PAIRED)
def test_preferences_are_learnt_from_a_data_set(
    tuned: "Tuner", data_of: Callable[[Kind], Path], objective: Objective
) -> None:
    tuned(dataset=data_of("preference"), objective=objective, beta=0.5, epochs=3, frozen_share=0.0)
    losses = tuned.eval_losses()
    assert losses[-1] < losses[0]


def test_a_preference_goes_on_from_a_supervised_adapter(
    tuned: "Tuner", data_of: Callable[[Kind], Path], tmp_path: Path
) -> None:
    first = tuned("sft", epochs=2)
    second = tuned("dpo", dataset=data_of("preference"), objective="dpo", start=tmp_path / "sft")
    assert tuned.eval_losses("dpo")[0] == pytest.approx(log(2), rel=1e-4)
    assert tuned.curve("dpo").start_digest == second.start_digest == first.digest != second.digest
    assert second.base_digest == first.base_digest


def test_plain_text_is_learnt_whole(tuned: "Tuner", data_of: Callable[[Kind], Path]) -> None:
    tuned(dataset=data_of("text"), objective="text", max_length=32, epochs=3)
    assert tuned.eval_losses()[-1] < 0.9 * tuned.eval_losses()[0]


def without_template(folder: Path, base: Path) -> Path:
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").unlink()
    (folder / "manifest.json").unlink()
    Manifest.seal(folder)
    return folder


def test_a_base_without_a_chat_template_learns_text_and_no_conversations(
    tuned: "Tuner", data_of: Callable[[Kind], Path], base: Path, teacher: Path
) -> None:
    tuned.base = without_template(tuned.folder / "plain", base)
    with pytest.raises(TemplateError, match="plain has no chat template") as refused:
        tuned()
    assert "objective: text" in refused.value.remedy
    tuned(dataset=data_of("text"), objective="text", max_length=32)
    tuned.base = base
    with pytest.raises(TemplateError, match="mute has no chat template"):
        tuned(objective="imitate", teacher=without_template(tuned.folder / "mute", teacher))


@pytest.mark.parametrize(
    ("objective", "kind"), [("sft", "text"), ("text", "chat"), ("dpo", "chat")]
)
def test_rows_of_another_kind_are_refused_with_the_remedy(
    tuned: "Tuner", data_of: Callable[[Kind], Path], objective: Objective, kind: Kind
) -> None:
    with pytest.raises(DataError) as refused:
        tuned(dataset=data_of(kind), objective=objective)
    assert "objective" in refused.value.remedy
