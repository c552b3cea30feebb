"""How probable the references are: the same by both engines, and by the plainest count."""

import json
import math
from pathlib import Path

import pytest

from tests.evaluate.conftest import Models, text_dataset
from wherry.contracts import Scores
from wherry.contracts.errors import DataError
from wherry.evaluate.run import run

pytestmark = pytest.mark.local


def _run(models: Models, model: Path, dataset: Path, out: Path, **settings: object) -> Scores:
    out.mkdir(exist_ok=True)
    paths = (dataset, model, out / "scores.json", out / "predictions.jsonl")
    return run(*paths, "tried", models.base, json.dumps({"speed_runs": 1} | settings))


def _perplexities(scores: Scores) -> list[float]:
    found = [scores.find(name) for name in ("perplexity", "byte_perplexity")]
    values = [metric.value for metric in found if metric and metric.value is not None]
    assert len(values) == 2
    return values


def _plain_perplexity(models: Models) -> float:
    """Scores each reference after its prompt, one by one, in the simplest way there is."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from wherry.contracts import Dataset

    tokenizer = AutoTokenizer.from_pretrained(models.base)
    model = AutoModelForCausalLM.from_pretrained(models.base).eval()
    nats, count = 0.0, 0
    for row in Dataset.read(models.dataset / "dataset.json").rows(models.dataset, "test"):
        turns = [{"role": m.role, "content": m.content} for m in row.prompt]
        opened = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        given = tokenizer.encode(opened, add_special_tokens=False)
        wanted = tokenizer.encode(row.completion, add_special_tokens=False)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([given + wanted])).logits[0]
        shares = torch.log_softmax(logits[len(given) - 1 : -1], dim=-1)
        nats -= sum(float(shares[i, token]) for i, token in enumerate(wanted))
        count += len(wanted)
    return math.exp(nats / count)


def test_perplexity_is_that_of_the_plainest_count(models: Models, tmp_path: Path) -> None:
    names = ["perplexity", "byte_perplexity"]
    scores = _run(models, models.base, models.dataset, tmp_path, measures=names)
    perplexity, by_byte = _perplexities(scores)
    assert perplexity == pytest.approx(_plain_perplexity(models), rel=1e-3)
    # One token a byte, but for the one merge.
    assert by_byte <= perplexity
    assert {metric.unit for metric in scores.metrics if "perplexity" in metric.name} == {
        "per token",
        "per byte",
    }


def test_both_engines_find_the_references_equally_probable(models: Models, tmp_path: Path) -> None:
    both = [
        _run(
            models,
            folder,
            models.dataset,
            tmp_path / folder.name,
            measures=["perplexity", "byte_perplexity", "accuracy"],
        )
        for folder in (models.adapter, models.gguf)
    ]
    ours, theirs = map(_perplexities, both)
    assert theirs == pytest.approx(ours, rel=0.02)
    assert all(scores.find("accuracy") for scores in both)


def test_plain_text_is_scored_and_asked_nothing(models: Models, tmp_path: Path) -> None:
    from tests.fakes import tiny_model

    texts = tmp_path / "texts"
    tiny_model.make_dataset(texts, kind="text")
    whole = _run(models, models.gguf, texts, tmp_path / "whole", context=256)
    pieces = _run(models, models.gguf, texts, tmp_path / "pieces", context=16)
    other = _run(models, models.adapter, texts, tmp_path / "other", context=256)
    assert {m.name for m in whole.metrics if "perplexity" not in m.name} == {
        "size",
        "peak_memory",
        "decode_speed",
        "first_token",
    }
    assert whole.confusion is None
    assert _perplexities(other) == pytest.approx(_perplexities(whole), rel=0.02)
    assert _perplexities(pieces) != _perplexities(whole)


def test_text_of_four_tokens_a_character_is_scored_and_timed(
    models: Models, tmp_path: Path
) -> None:
    """How fast a file is, is measured on the beginning of a text, which must leave it room."""
    text = "\N{OCTOPUS}" * 300
    folder = text_dataset(tmp_path / "texts", text)
    scores = _run(models, models.gguf, folder, tmp_path)
    assert _perplexities(scores)
    speed = scores.find("first_token")
    assert speed and speed.value


def test_a_conversation_that_does_not_fit_is_refused(models: Models, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="context"):
        _run(models, models.base, models.dataset, tmp_path, measures=["perplexity"], context=16)
