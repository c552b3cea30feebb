"""Benchmarks on a tiny model, through both engines and against the harness's own."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tests.evaluate_benchmarks.benchmark_data import write_standard
from wherry.contracts import Message, ModelRef, Scores, digest_file
from wherry.contracts.errors import DigestError, MissingError, TemplateError
from wherry.evaluate.benchmarks.run import run
from wherry.evaluate.benchmarks.step import Question
from wherry.evaluate.raw.adapters.open import opened
from wherry.evaluate.raw.step import RawModel
from wherry.evaluate.step import Prediction
from wherry.progress import Silent

pytestmark = pytest.mark.local


class World(NamedTuple):
    """Folders, as the rooms before would hand them on, and benchmark data."""

    dataset: Path
    base: Path
    adapter: Path
    gguf: Path
    data: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    from tests.fakes import tiny_model  # torch: only for tests that need it
    from wherry.quantize.run import run as quantize

    root = tmp_path_factory.mktemp("tiny")
    made = World(*(root / name for name in World._fields))
    tiny_model.make_dataset(made.dataset)
    tiny_model.make_base(made.base)
    tiny_model.make_adapter(made.adapter, made.base)
    paths = (made.base, made.adapter, made.dataset, made.gguf, root / "parity.json")
    quantize(*paths, '{"type": "F16"}')
    write_standard(made.data)
    return made


def tried(world: World, model: Path, out: Path, **settings: object) -> Scores:
    out.mkdir(exist_ok=True)
    paths = (model, out / "scores.json", out / "answers.jsonl")
    return run(*paths, "tried", world.base, None, world.data, json.dumps(settings))


def raw(world: World, folder: Path) -> RawModel:
    below = world.base if folder == world.adapter else None
    options = {"context": 512, "batch_size": 3, "threads": 1}
    return opened(ModelRef.verified(folder), folder, below, **options)


def test_both_engines_score_alike_and_the_file_is_named(world: World, tmp_path: Path) -> None:
    shipped = tried(world, world.gguf, tmp_path / "gguf", context=512)
    tuned = tried(world, world.adapter, tmp_path / "adapter", context=512)
    assert Scores.read(tmp_path / "gguf" / "scores.json") == shipped
    assert shipped.model_digest == ModelRef.read(world.gguf / "model.json").digest
    assert shipped.data_digest == tuned.data_digest
    assert shipped.engine.startswith("llama.cpp, lm-eval ")
    assert tuned.engine.startswith("transformers, lm-eval ")
    assert {metric.name for metric in shipped.metrics if metric.name.endswith("_acc")} == {
        f"{task}_acc"
        for task in (
            *("hellaswag", "openbookqa", "winogrande", "arc_challenge"),
            *("arc_easy", "boolq", "piqa"),
        )
    }
    assert [m.value for m in shipped.metrics] == [m.value for m in tuned.metrics]
    assert shipped.predictions_digest == digest_file(tmp_path / "gguf" / "answers.jsonl")
    assert not (tmp_path / "gguf" / ".answers.jsonl.memory").exists()


def test_answers_are_predictions_that_can_be_compared_in_pairs(
    world: World, tmp_path: Path
) -> None:
    scores = tried(world, world.gguf, tmp_path, context=512, tasks=["arc_easy"])
    lines = (tmp_path / "answers.jsonl").read_bytes().splitlines()
    made = [msgspec.json.decode(line, type=Prediction) for line in lines]
    found = scores.find("arc_easy_acc")
    assert found is not None
    assert found.value == sum(each.correct for each in made) / len(made)
    assert [each.label for each in made] == ["2", "3", "0"]


def test_two_models_are_compared_question_by_question(world: World, tmp_path: Path) -> None:
    from wherry.evaluate.paired.run import run as compare

    for folder in (world.base, world.gguf):
        tried(world, folder, tmp_path / folder.name, context=512)
    found = compare(
        tmp_path / "base" / "scores.json",
        tmp_path / "base" / "answers.jsonl",
        tmp_path / "gguf" / "scores.json",
        tmp_path / "gguf" / "answers.jsonl",
        tmp_path / "tests.json",
        '{"metrics": ["accuracy"], "slices": true}',
    )
    assert {test.slice for test in found.tests} >= {"", "task=boolq", "task=hellaswag"}
    whole = found.find("accuracy")
    assert whole and (whole.n, whole.method, whole.verdict) == (18, "mcnemar", "undecided")


def test_transformers_scores_are_those_of_the_harness_itself(world: World, tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.evaluate_benchmarks.test_benchmarks_harness import NoMemory
    from wherry.evaluate.benchmarks.adapters.harness import _Asked

    asked = [
        ("Question: why?\nAnswer:", " so"),
        ("Question: why?\nAnswer:", " because of it"),
        ("Question: why? ", "no"),
        ("", "nothing before"),
    ]
    requests = [Instance("loglikelihood", {}, pair, 0, ("t", 0, 1)) for pair in asked]
    rolling = [Instance("loglikelihood_rolling", {}, ("word " * 150,), 0, ("t", 0, 1))]
    plain = HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(world.base),
        tokenizer=AutoTokenizer.from_pretrained(world.base),
        device="cpu",
        batch_size=1,
        max_length=511,
    )
    ours = _Asked(raw(world, world.base), NoMemory(), Silent())
    found, wanted = ours.loglikelihood(requests), plain.loglikelihood(requests, disable_tqdm=True)
    for one, other in zip(found, wanted, strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-3)
        assert one[1] == other[1]
    assert ours.loglikelihood_rolling(rolling)[0] == pytest.approx(
        plain.loglikelihood_rolling(rolling, disable_tqdm=True)[0], rel=1e-4
    )


def test_only_what_greedy_decoding_says_is_scored_as_greedy(world: World) -> None:
    for folder in (world.base, world.gguf):
        model = raw(world, folder)
        prompt = model.tokens("case 7")
        every = model.score([(prompt, (token,)) for token in range(260)], Silent())
        greedy = [token for token, score in enumerate(every) if score.greedy]
        assert greedy == [max(range(260), key=lambda token: every[token].logprob)]
        assert sum(math.exp(score.logprob) for score in every) == pytest.approx(1, abs=0.02)


def test_scores_do_not_hang_on_what_was_read_before(world: World) -> None:
    for folder in (world.base, world.gguf):
        model = raw(world, folder)
        context, other = model.tokens("Question: who?"), model.tokens("Something else")
        pairs = [(context, (70, 71, 72)), (context, (70, 80)), (other, (70, 71, 72))]
        together = model.score(pairs, Silent())
        for pair, score in zip(pairs, together, strict=True):
            alone = model.score([pair], Silent())[0]
            assert alone.logprob == pytest.approx(score.logprob, abs=0.01)


def test_the_logits_of_a_pass_are_bounded_whatever_the_vocabulary(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.evaluate.raw.adapters import transformers

    model = raw(world, world.base)
    assert isinstance(model, transformers.TransformersRaw)
    pairs = [((70,), tuple(71 + n % 9 for n in range(length))) for length in (30, 2, 40, 40, 35)]
    whole = model.score(pairs, Silent())
    held: list[int] = []
    logits = model._logits

    def measured(inputs: list[tuple[int, ...]], kept: int) -> object:
        held.append((found := logits(inputs, kept)).numel())
        return found

    monkeypatch.setattr(model, "_logits", measured)
    monkeypatch.setattr(transformers, "_LOGITS", most := 80 * 260)
    parts = model.score(pairs, Silent())
    assert len(held) > 2
    assert max(held) <= most
    assert [each.logprob for each in parts] == pytest.approx([each.logprob for each in whole])


def test_choices_are_scored_alike_in_whatever_order_they_come(world: World) -> None:
    model = raw(world, world.gguf)
    context = model.tokens("Question: who was it that came?")
    choices = [(context, (70, 71, 72)), (context, (80, 71)), (context, (90,))]
    forth = model.score(choices, Silent())
    back = model.score(choices[::-1], Silent())[::-1]
    alone = [model.score([choice], Silent())[0] for choice in choices]
    assert forth == back == alone  # to the last bit


def test_stop_texts_and_ends_cut_a_continuation(world: World) -> None:
    for folder in (world.base, world.gguf):
        model = raw(world, folder)
        prompt = model.tokens("case 7")
        whole = model.complete([prompt], max_tokens=8, stop=(), report=Silent())[0]
        cut = model.complete([prompt], max_tokens=8, stop=(whole[2],), report=Silent())[0]
        assert cut == whole[: whole.index(whole[2])]


def test_both_engines_leave_an_assistants_turn_open_alike(world: World) -> None:
    turns = [Message("user", "Who?"), Message("assistant", "The he")]
    for open_turn, messages in ((True, turns[:1]), (False, turns)):
        texts = [
            raw(world, f).render(messages, open_turn=open_turn) for f in (world.base, world.gguf)
        ]
        assert texts[0] == texts[1]
    assert texts[0].endswith("assistant\nThe he")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(world: World, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    tried(world, world.gguf, whole, context=512)
    out = tmp_path / "killed"
    out.mkdir()
    script = (
        "import sys; from wherry.evaluate.benchmarks.adapters import harness; "
        "harness._BATCH = 8; "  # more batches than one, so that there is something to go on with
        "sys.argv[0] = 'x'; from wherry.entry import main; "
        "from wherry.evaluate.benchmarks.run import run; main(run)"
    )
    command = [sys.executable, "-c", script, "--model", str(world.gguf), "--subject", "tried"]
    command += ["--scores", str(out / "scores.json"), "--predictions", str(out / "answers.jsonl")]
    command += ["--data", str(world.data), "--settings", '{"context": 512}']
    environment = os.environ | {"PYTHONPATH": "components"}
    memory = out / ".answers.jsonl.memory"
    started = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (memory.is_file() and len(memory.read_bytes().splitlines()) > 2):
        assert started.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (out / "scores.json").exists()
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    assert (out / "answers.jsonl").read_bytes() == (whole / "answers.jsonl").read_bytes()
    assert (out / "scores.json").read_bytes() == (whole / "scores.json").read_bytes()
    assert not memory.exists()


def test_an_adapter_needs_its_own_base(world: World, tmp_path: Path) -> None:
    from tests.fakes import tiny_model

    with pytest.raises(MissingError, match="without its base"):
        run(world.adapter, tmp_path / "s", tmp_path / "p", "tuned")
    tiny_model.make_base(tmp_path / "other", seed=9)
    with pytest.raises(DigestError, match="trained on a base of digest"):
        tried(world._replace(base=tmp_path / "other"), world.adapter, tmp_path / "out")


def test_a_file_with_another_template_is_refused(world: World, tmp_path: Path) -> None:
    import shutil
    from dataclasses import replace

    from wherry.contracts import Manifest

    copy = tmp_path / "gguf"
    shutil.copytree(world.gguf, copy)
    model = ModelRef.read(copy / "model.json")
    replace(model, template_digest=model.digest).write(copy / "model.json")
    Manifest.seal(copy)
    with pytest.raises(TemplateError, match="has a chat template of digest"):
        tried(world, copy, tmp_path / "out")


def test_a_question_reads_back_as_it_was_written() -> None:
    made = Question(
        "t/0", "1", "0", "1", False, "d", "p", ("task=t",), {"acc": 0.0, "acc_norm": 1.0}
    )
    assert msgspec.json.decode(msgspec.json.encode(made), type=Question) == made
