"""Every loss beside one that is computed by itself: whole models, one row at a time, in float64."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.tune.test_tune_run import BATCH, PREFIX, RECIPE, learner
from wherry.tune.examples import Example
from wherry.tune.settings import LOW_RANK, VIRTUAL, Method

if TYPE_CHECKING:
    from wherry.tune.adapters.pytorch.model import Trainable

pytestmark = pytest.mark.local

PAIRS = [
    Example((*PREFIX, 9, 10), (20, 2), (21, 22, 2)),
    Example((*PREFIX, 12), (21, 2), (20, 23, 24, 2)),
    Example((*PREFIX, 13), (30, 2), (31, 2)),
]
BETA = 0.4
METHODS: tuple[Method, ...] = (*(m for m in LOW_RANK if m != "qlora"), "ia3", *VIRTUAL)


def tuned_model(base: Path, method: Method = "lora", prefix: tuple[int, ...] = PREFIX) -> Any:
    """A model that has learnt a little, so that it differs from its base."""
    one = learner(base, replace(RECIPE, method=method, frozen_share=0.0), prefix)
    for _ in range(4):
        one.learn(BATCH, 2e-2)
    one.model.training(False)
    return one.model


class Whole:
    """A model as transformers and PEFT load it, asked for one row at a time."""

    def __init__(self, base: Path, adapter: Path | None = None) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
        self._model = (PeftModel.from_pretrained(plain, adapter) if adapter else plain).double()
        self._model.eval()

    def logs(self, prompt: Sequence[int], completion: Sequence[int]) -> Any:
        """Next-token log-probabilities where the completion is predicted: [tokens, vocabulary]."""
        import torch

        with torch.inference_mode():
            logits = self._model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0]
        return torch.log_softmax(logits[-len(completion) - 1 : -1], dim=-1)

    def log_probability(self, prompt: Sequence[int], completion: Sequence[int]) -> float:
        found = self.logs(prompt, completion)
        return float(sum(found[i, token] for i, token in enumerate(completion)))


@pytest.fixture(scope="module")
def policy(base: Path) -> "Trainable":
    model: Trainable = tuned_model(base)
    return model


@pytest.fixture(scope="module")
def saved(policy: "Trainable", base: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("policy")
    policy.save(folder, "file:tiny")
    return Whole(base, folder)


@pytest.fixture(scope="module")
def untuned(base: Path) -> Whole:
    return Whole(base)


def gain(saved: Whole, untuned: Whole, prompt: Sequence[int], answer: Sequence[int]) -> float:
    """How much likelier an answer has become."""
    return saved.log_probability(prompt, answer) - untuned.log_probability(prompt, answer)


def sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value))


def reference(policy: "Trainable") -> Any:
    from wherry.tune.adapters.pytorch.objectives import Reference

    return Reference(policy, PAIRS, 2)


def test_the_loss_of_answers_is_transformers_own_with_the_prompts_masked(base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    longest = max(example.longest for example in BATCH)
    rows = [(*e.prompt, *e.completion) for e in BATCH]
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    seen = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    labels = tokens.clone()
    for number, (row, example) in enumerate(zip(rows, BATCH, strict=True)):
        labels[number, : len(example.prompt)] = -100
        labels[number, len(row) :] = -100
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    expected = model(input_ids=tokens, attention_mask=seen, labels=labels).loss
    assert learner(base, prefix=PREFIX).loss(BATCH) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("micro_batch", [0, 1, 2])
def test_a_step_follows_the_gradient_of_that_loss_however_the_batch_is_cut(
    base: Path, micro_batch: int
) -> None:
    """Three rows in micro-batches of two, of 2, 3 and 2 tokens: every token counts as much."""
    import torch
    from transformers import AutoModelForCausalLM

    recipe = replace(RECIPE, method="full", frozen_share=0.0, micro_batch=micro_batch)
    one = learner(base, recipe, PREFIX)
    one.model.training(False)
    one._pass(BATCH, backward=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    loss = torch.zeros((), dtype=torch.float64)
    for example in BATCH:
        logits = model(input_ids=torch.tensor([[*example.prompt, *example.completion]])).logits[0]
        logs = torch.log_softmax(logits[len(example.prompt) - 1 : -1], dim=-1)
        loss = loss - sum(logs[i, token] for i, token in enumerate(example.completion))
    (loss / sum(len(e.completion) for e in BATCH)).backward()
    for name, weight in model.named_parameters():
        found = one._weights[name].grad
        assert found is not None
        assert torch.allclose(found.double(), weight.grad, rtol=1e-3, atol=1e-6), name


def test_dpos_loss_is_the_papers(policy: "Trainable", saved: Whole, untuned: Whole) -> None:
    from wherry.tune.adapters.pytorch.objectives import Dpo

    margins = [
        gain(saved, untuned, e.prompt, e.completion) - gain(saved, untuned, e.prompt, e.rejected)
        for e in PAIRS
    ]
    assert max(map(abs, margins)) > 0.1
    expected = sum(-log(sigmoid(BETA * margin)) for margin in margins)
    found = float(Dpo(reference(policy), BETA).total(policy, PAIRS))
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_ktos_loss_is_the_papers(
    policy: "Trainable", saved: Whole, untuned: Whole, size: int
) -> None:
    from wherry.tune.adapters.pytorch.objectives import Kto

    def gained(prompt: Sequence[int], answer: Sequence[int]) -> float:
        return gain(saved, untuned, prompt, answer)

    others = [PAIRS[1].completion, PAIRS[2].rejected, PAIRS[0].completion]
    strange = [gained(e.prompt, other) for e, other in zip(PAIRS, others, strict=True)]
    moved = max(0.0, sum(strange) / len(strange))
    expected = sum(
        (1 - sigmoid(BETA * (gained(e.prompt, e.completion) - moved)))
        + (1 - sigmoid(BETA * (moved - gained(e.prompt, e.rejected))))
        for e in PAIRS
    )
    loss = Kto(reference(policy), BETA, size)
    loss.begin(policy, PAIRS)
    assert float(loss._moved) == pytest.approx(moved, rel=1e-3, abs=1e-5)
    assert float(loss.total(policy, PAIRS)) == pytest.approx(expected, rel=1e-4)


def test_orpos_loss_is_the_papers_for_a_tuned_model(policy: "Trainable", saved: Whole) -> None:
    from wherry.tune.adapters.pytorch.objectives import Orpo

    expected = 0.0
    for e in PAIRS:
        good, bad = (
            exp(saved.log_probability(e.prompt, answer) / len(answer))
            for answer in (e.completion, e.rejected)
        )
        odds = (good / (1 - good)) / (bad / (1 - bad))
        expected += -log(good) - BETA * log(sigmoid(log(odds)))
    assert float(Orpo(BETA).total(policy, PAIRS)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (3.0, 1.0), (2.0, 0.25)])
def test_distillations_loss_is_hintons(
    policy: "Trainable", saved: Whole, teacher: Path, temperature: float, share: float
) -> None:
    from wherry.tune.adapters.pytorch.model import Trainable
    from wherry.tune.adapters.pytorch.objectives import Distillation

    theirs, expected = Whole(teacher), 0.0
    for e in PAIRS:
        student, wise = (m.logs(e.prompt, e.completion) for m in (saved, theirs))
        q, p = ((logs / temperature).softmax(-1) for logs in (student, wise))
        words = -sum(float(student[i, token]) for i, token in enumerate(e.completion))
        expected += (1 - share) * words
        expected += share * temperature**2 * float((p * (p.log() - q.log())).sum())
    own = Trainable(teacher, replace(RECIPE, method="full"), learns=False)
    found = float(Distillation(own, temperature, share).total(policy, PAIRS))
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_teacher_with_more_rows_in_its_head_than_tokens_teaches_the_tokens(
    policy: "Trainable", teacher: Path, tmp_path: Path
) -> None:
    """As Qwen2.5: 7B pads its vocabulary to 152,064 rows, 0.5B to 151,936."""
    from transformers import AutoModelForCausalLM

    from wherry.tune.adapters.pytorch.model import Trainable
    from wherry.tune.adapters.pytorch.objectives import Distillation

    wide = AutoModelForCausalLM.from_pretrained(teacher)
    wide.resize_token_embeddings(wide.config.vocab_size + 32)
    wide.save_pretrained(tmp_path)
    losses = [
        float(Distillation(own, 2.0, 0.5).total(policy, PAIRS))
        for own in (
            Trainable(folder, replace(RECIPE, method="full"), learns=False)
            for folder in (teacher, tmp_path)
        )
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_is_the_untuned_model_before_and_after_learning(
    base: Path, untuned: Whole, method: Method
) -> None:
    """Also for PiSSA, which takes a part of the base away before it learns."""
    import torch

    from wherry.tune.adapters.pytorch.objectives import log_probabilities
    from wherry.tune.adapters.pytorch.sequences import better

    model = tuned_model(base, method)
    expected = [untuned.log_probability(e.prompt, e.completion) for e in PAIRS]
    with torch.no_grad():
        tuned = log_probabilities(model, better(PAIRS))[0].tolist()
        with model.reference():
            before = log_probabilities(model, better(PAIRS))[0].tolist()
        again = log_probabilities(model, better(PAIRS))[0].tolist()
    assert before == pytest.approx(expected, rel=2e-4)
    assert tuned == again
    assert tuned != pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in VIRTUAL])
def test_dpo_begins_at_log_two_with_every_method_that_begins_at_the_base(
    base: Path, method: Method
) -> None:
    from wherry.tune.adapters.pytorch.objectives import Dpo, Reference

    model = learner(base, replace(RECIPE, method=method, frozen_share=0.0), PREFIX).model
    first = Dpo(Reference(model, PAIRS, 2), BETA).total(model, PAIRS)
    assert float(first) / len(PAIRS) == pytest.approx(log(2), rel=1e-3)
