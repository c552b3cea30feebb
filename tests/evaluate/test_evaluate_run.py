"""The whole stage on a tiny model, through both engines."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.evaluate.conftest import Models
from wherry.contracts import Dataset, Manifest, Message, ModelRef, Scores, digest_file
from wherry.contracts.errors import DataError, DigestError, FormatError, MissingError, TemplateError
from wherry.evaluate.run import run
from wherry.evaluate.step import Prediction
from wherry.progress import Silent

if TYPE_CHECKING:  # torch takes seconds, and unit tests collect this file too
    from wherry.evaluate.adapters.llamacpp import LlamaCppAnswerer
    from wherry.evaluate.adapters.transformers import TransformersAnswerer

pytestmark = pytest.mark.local

PROMPTS = [(Message("system", "Name it."), Message("user", f"case {n}")) for n in range(5)]


def _run(models: Models, model: Path, out: Path, **settings: object) -> Scores:
    out.mkdir(exist_ok=True)
    paths = (models.dataset, model, out / "scores.json", out / "predictions.jsonl")
    return run(*paths, "tried", models.base, json.dumps(settings))


def test_a_gguf_file_gets_scores_predictions_and_costs(models: Models, tmp_path: Path) -> None:
    scores = _run(models, models.gguf, tmp_path, speed_runs=3)
    assert Scores.read(tmp_path / "scores.json") == scores
    model = ModelRef.read(models.gguf / "model.json")
    data = Dataset.read(models.dataset / "dataset.json")
    assert scores.engine == "llama.cpp"
    assert (scores.model_digest, scores.split) == (model.digest, "test")
    assert scores.data_digest == data.split("test").digest
    values = {metric.name: metric.value for metric in scores.metrics if not metric.slice}
    assert values["size"] == (models.gguf / model.file).stat().st_size
    assert values["decode_speed"] is not None and values["decode_speed"] > 0
    assert values["first_token"] is not None and values["first_token"] > 0
    # The measured process holds Python and llama.cpp, and nothing of this one's torch.
    assert values["peak_memory"] is not None and 20e6 < values["peak_memory"] < 200e6


def test_every_row_has_one_prediction_that_the_scores_count(models: Models, tmp_path: Path) -> None:
    scores = _run(models, models.gguf, tmp_path)
    lines = (tmp_path / "predictions.jsonl").read_bytes().splitlines()
    made = [msgspec.json.decode(line, type=Prediction) for line in lines]
    data = Dataset.read(models.dataset / "dataset.json")
    assert [one.id for one in made] == [row.id for row in data.rows(models.dataset, "test")]
    picked = scores.find("label_accuracy")
    assert picked is not None
    assert picked.value == sum(one.label == one.label_pick for one in made) / len(made)


def test_a_base_an_adapter_and_its_file_are_each_asked_as_they_are(
    models: Models, tmp_path: Path
) -> None:
    base, tuned, shipped = (
        _run(models, folder, tmp_path / folder.name)
        for folder in (models.base, models.adapter, models.gguf)
    )
    assert [scores.engine for scores in (base, tuned, shipped)] == [
        "transformers",
        "transformers",
        "llama.cpp",
    ]
    texts = [(tmp_path / f.name / "predictions.jsonl").read_text() for f in models[1:3]]
    assert texts[0] != texts[1], "the adapter must change what the base says"
    sizes = [scores.find("size") for scores in (base, tuned)]
    assert sizes[0] and sizes[1] and sizes[1].value and sizes[0].value
    assert sizes[1].value > sizes[0].value, "an adapter weighs its base too"


@pytest.mark.parametrize(
    "labels",
    [
        ("b", "h", "s"),  # one token each
        ("bone", "heart", "skin", "head"),  # several, with shared beginnings
        ("日", "ж", "ü"),  # tokens that are parts of characters
    ],
)
def test_both_engines_score_labels_alike(models: Models, labels: tuple[str, ...]) -> None:
    ours = _transformers(models).answer(PROMPTS, labels, Silent())
    theirs = _llamacpp(models).answer(PROMPTS, labels, Silent())
    for one, other in zip(ours, theirs, strict=True):
        assert other.label_scores == pytest.approx(one.label_scores, abs=0.1)


def test_both_engines_begin_their_free_answers_alike(models: Models) -> None:
    ours = _transformers(models).answer(PROMPTS, (), Silent())
    theirs = _llamacpp(models).answer(PROMPTS, (), Silent())
    # A random model's choices are nearly ties: rounding parts long answers sooner or later.
    same = sum(one.text[:1] == other.text[:1] for one, other in zip(ours, theirs, strict=True))
    assert same >= len(PROMPTS) - 1


def test_how_many_rows_run_at_once_changes_scores_by_rounding_at_most(models: Models) -> None:
    one_by_one = _llamacpp(models, slots=1).answer(PROMPTS, ("bone", "skin"), Silent())
    together = _llamacpp(models, slots=5).answer(PROMPTS, ("bone", "skin"), Silent())
    for one, other in zip(one_by_one, together, strict=True):
        assert other.label_scores == pytest.approx(one.label_scores, abs=0.02)


def test_one_row_at_a_time_is_answered_to_the_same_bits_after_a_kill(models: Models) -> None:
    labels = ("bone", "skin")
    whole = _llamacpp(models, slots=1).answer(PROMPTS, labels, Silent())
    first = _llamacpp(models, slots=1).answer(PROMPTS[:2], labels, Silent())
    rest = _llamacpp(models, slots=1).answer(PROMPTS[2:], labels, Silent())
    assert [*first, *rest] == list(whole)


def test_a_prompt_that_does_not_fit_is_refused(models: Models) -> None:
    answerer = _llamacpp(models, context=64)
    with pytest.raises(DataError, match=r"(do not fit|exceeds the available) .*context"):
        answerer.answer([(Message("user", "x" * 60),)], (), Silent())


def test_labels_that_begin_one_another_are_refused(models: Models) -> None:
    with pytest.raises(DataError, match="'he' begin those of 'heart'"):
        _llamacpp(models).answer(PROMPTS, ("he", "heart"), Silent())


def test_a_file_with_another_template_than_it_was_trained_with_is_refused(
    models: Models, tmp_path: Path
) -> None:
    copy = tmp_path / "gguf"
    shutil.copytree(models.gguf, copy)
    model = ModelRef.read(copy / "model.json")
    replace(model, template_digest=model.digest).write(copy / "model.json")
    Manifest.seal(copy)
    with pytest.raises(TemplateError, match="renders with a chat template"):
        _run(models, copy, tmp_path)
    assert not (tmp_path / "scores.json").exists()


def test_a_file_that_llama_cpp_cannot_load_is_refused(models: Models, tmp_path: Path) -> None:
    copy = tmp_path / "gguf"
    shutil.copytree(models.gguf, copy)
    model = ModelRef.read(copy / "model.json")
    weights = copy / model.file
    weights.write_bytes(weights.read_bytes()[:-4096])
    replace(model, digest=digest_file(weights)).write(copy / "model.json")
    Manifest.seal(copy)
    with pytest.raises(FormatError, match=r"Tiny-Llama\.F16\.gguf"):
        _run(models, copy, tmp_path)


def test_a_bit_flipped_in_the_weights_is_refused(models: Models, tmp_path: Path) -> None:
    copy = tmp_path / "gguf"
    shutil.copytree(models.gguf, copy)
    weights = copy / ModelRef.read(copy / "model.json").file
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DigestError, match="has digest"):
        _run(models, copy, tmp_path)


def test_an_adapter_without_its_base_is_refused(models: Models, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="without its base"):
        run(models.dataset, models.adapter, tmp_path / "s", tmp_path / "p", "tuned")


def test_an_adapter_of_another_base_is_refused(models: Models, tmp_path: Path) -> None:
    from tests.fakes import tiny_model

    tiny_model.make_base(tmp_path / "other", seed=9)
    with pytest.raises(DigestError, match="trained on a base of digest"):
        _run(models._replace(base=tmp_path / "other"), models.adapter, tmp_path)


def test_a_split_that_is_not_there_is_named(models: Models, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no split 'dev'"):
        _run(models, models.gguf, tmp_path, split="dev")


def _transformers(models: Models) -> "TransformersAnswerer":
    from wherry.evaluate.adapters.transformers import TransformersAnswerer

    return TransformersAnswerer(
        models.base, models.adapter, max_new_tokens=4, batch_size=4, threads=1
    )


def _llamacpp(models: Models, *, slots: int = 2, context: int = 256) -> "LlamaCppAnswerer":
    from wherry.evaluate.adapters.llamacpp import LlamaCppAnswerer

    file = models.gguf / ModelRef.read(models.gguf / "model.json").file
    return LlamaCppAnswerer(file, max_new_tokens=4, slots=slots, context=context, threads=1)
