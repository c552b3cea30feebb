"""The transformers adapter on a model of 170,000 weights: batching and sharing change nothing."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.contracts import Message, digest_bytes
from wherry.contracts.errors import DataError
from wherry.progress import Silent

if TYPE_CHECKING:
    from wherry.evaluate.adapters.transformers import TransformersAnswerer

pytestmark = pytest.mark.local

LABELS = ("a", "bone", "skin")
PROMPTS = [
    (Message("system", "Name it."), Message("user", "x" * n)) for n in (3, 40, 7, 3, 1, 90, 22)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_model import make_base

    folder = tmp_path_factory.mktemp("tiny") / "base"
    make_base(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    from tests.fakes.tiny_model import make_adapter

    make_adapter(base.parent / "adapter", base)
    return base.parent / "adapter"


def answerer(
    base: Path, adapter: Path | None = None, batch_size: int = 4
) -> "TransformersAnswerer":
    from wherry.evaluate.adapters.transformers import TransformersAnswerer

    return TransformersAnswerer(base, adapter, max_new_tokens=5, batch_size=batch_size, threads=1)


def plain_scores(base: Path, prompt: Sequence[Message]) -> list[float]:
    """Scores the labels one by one, in the simplest way there is."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    turns = [{"role": m.role, "content": m.content} for m in prompt]
    opened = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    given = tokenizer.encode(opened, add_special_tokens=False)
    scores = []
    for label in LABELS:
        tokens = tokenizer.encode(label, add_special_tokens=False)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([given + tokens])).logits[0]
        shares = torch.log_softmax(logits[len(given) - 1 : -1], dim=-1)
        scores.append(sum(float(shares[i, token]) for i, token in enumerate(tokens)))
    return scores


def plain_text(base: Path, prompt: Sequence[Message]) -> str:
    """Answers with transformers' own greedy generation."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    turns = [{"role": m.role, "content": m.content} for m in prompt]
    given = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**given, max_new_tokens=5, do_sample=False)
    text: str = tokenizer.decode(made[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
    return text


def test_a_labels_score_is_the_sum_over_all_its_tokens(base: Path) -> None:
    answers = answerer(base).answer(PROMPTS, LABELS, Silent())
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.label_scores == pytest.approx(plain_scores(base, prompt), abs=1e-3)


def test_free_answers_are_those_of_greedy_generation(base: Path) -> None:
    answers = answerer(base).answer(PROMPTS, LABELS, Silent())
    assert [a.text for a in answers] == [plain_text(base, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_answers_do_not_depend_on_the_batch(base: Path, batch_size: int) -> None:
    wanted = answerer(base, batch_size=4).answer(PROMPTS, LABELS, Silent())
    found = answerer(base, batch_size=batch_size).answer(PROMPTS, LABELS, Silent())
    assert [a.text for a in found] == [a.text for a in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.label_scores == pytest.approx(other.label_scores, abs=1e-3)


def test_prompts_that_share_nothing_are_answered_too(base: Path) -> None:
    prompts = [(Message("user", "one"),), (Message("system", "S"), Message("user", "two"))]
    both = answerer(base).answer(prompts, LABELS, Silent())
    alone = [answerer(base).answer([prompt], LABELS, Silent())[0] for prompt in prompts]
    assert [a.text for a in both] == [a.text for a in alone]


def test_an_answer_ends_at_every_token_that_the_model_says_ends_it(base: Path) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(base)
    whole = answerer(base).answer(PROMPTS[:1], (), Silent())[0].text
    *before, stop = tokenizer.encode(whole)[:3]
    other = base.parent / "stops"
    shutil.copytree(base, other)
    GenerationConfig(eos_token_id=[tokenizer.eos_token_id, stop]).save_pretrained(other)
    (found,) = answerer(other).answer(PROMPTS[:1], (), Silent())
    assert found.text == tokenizer.decode(before)
    assert not found.cut
    assert answerer(base).answer(PROMPTS[:1], (), Silent())[0].cut
    # transformers' own generation ends there too.
    assert plain_text(other, PROMPTS[0]) == tokenizer.decode([*before, stop])


def test_an_adapter_changes_the_answers(base: Path, adapter: Path) -> None:
    plain = answerer(base).answer(PROMPTS, LABELS, Silent())
    tuned = answerer(base, adapter).answer(PROMPTS, LABELS, Silent())
    assert [a.label_scores for a in plain] != [a.label_scores for a in tuned]


def test_without_labels_there_are_no_scores_and_without_prompts_no_answers(base: Path) -> None:
    asked = answerer(base)
    assert {a.label_scores for a in asked.answer(PROMPTS, (), Silent())} == {()}
    assert asked.answer([], LABELS, Silent()) == []


def test_a_label_that_begins_another_is_refused(base: Path) -> None:
    with pytest.raises(DataError, match="begin"):
        answerer(base).answer(PROMPTS, ("bone", "bones"), Silent())


def test_a_prompt_longer_than_the_context_is_refused(base: Path) -> None:
    with pytest.raises(DataError, match=r"Prompt 2 has .* context"):
        answerer(base).answer([PROMPTS[0], (Message("user", "x" * 600),)], LABELS, Silent())


def test_the_template_is_named_by_its_digest(base: Path) -> None:
    from tests.fakes.tiny_model import TEMPLATE

    assert answerer(base).template_digest == digest_bytes(TEMPLATE.encode())
