"""What was answered serves only the same model on the same engine in the same version."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.conftest import labelled_dataset
from wherry.contracts import Manifest, Message, ModelRef, digest_bytes
from wherry.evaluate import identity
from wherry.evaluate.benchmarks.run import _owner
from wherry.evaluate.benchmarks.settings import BenchmarkSettings
from wherry.evaluate.exam import Asked, Sitting
from wherry.evaluate.identity import engine_with_versions, files_of
from wherry.evaluate.opening import Opened
from wherry.evaluate.settings import EvaluateSettings
from wherry.evaluate.step import Answer, Model
from wherry.progress import Report, Silent

TEMPLATE = digest_bytes(b"template")
WEIGHTS = digest_bytes(b"weights")


class Engine:
    """Answers some rows, and dies when it was asked as many as it was told."""

    template_digest = TEMPLATE

    def __init__(self, engine: str = "llama.cpp", rows: int = 100) -> None:
        self.engine = engine
        self._left = rows
        self.asked = 0

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        if self._left < len(prompts):
            raise KeyboardInterrupt
        self._left -= len(prompts)
        self.asked += len(prompts)
        return [Answer("heart", (-1.0, -0.1, -2.0)) for _ in prompts]


def version_is(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(identity, "version", lambda _: value)


def hold(tmp_path: Path, engine: Engine, files: str = "") -> int:
    data = tmp_path / "data"
    wanted = EvaluateSettings(save_every=2, resamples=100)
    opened = Sitting.opened(
        data if data.exists() else labelled_dataset(data),
        wanted,
        tmp_path / "scores.json",
        tmp_path / "predictions.jsonl",
    )
    asked = Asked("tuned", WEIGHTS, TEMPLATE, files=files)
    opened.hold(Model(engine), asked, tuple, Silent())
    return engine.asked


def test_an_engine_is_named_with_what_computes_its_answers() -> None:
    named = engine_with_versions("transformers")
    assert named.startswith("transformers torch=")
    assert " transformers=" in named and " wherry=" in named
    assert engine_with_versions("openai").split("=")[0] == "openai wherry"


@pytest.mark.parametrize(
    ("version", "files", "asked"), [("1", "a", 2), ("2", "a", 6), ("1", "b", 6)]
)
def test_a_killed_evaluation_goes_on_with_the_same_engine_and_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, files: str, asked: int
) -> None:
    version_is(monkeypatch, "1")
    with pytest.raises(KeyboardInterrupt):
        hold(tmp_path, Engine(rows=4), "a")
    version_is(monkeypatch, version)
    assert hold(tmp_path, Engine(), files) == asked


def test_what_a_judge_said_in_one_version_is_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def who(files: str = "") -> str:
        engine: Any = Engine()
        return Opened(engine, "judge", WEIGHTS, verified=True, files=files).identity

    version_is(monkeypatch, "1")
    before = who()
    assert before == who() != who("other")
    version_is(monkeypatch, "2")
    assert before != who()


def model(kind: str, base: str = "base") -> ModelRef:
    values = {
        "name": "m",
        "format": kind,
        "file": "weights",
        "size": 1,
        "base_uri": "x",
        "digest": WEIGHTS,
        "base_digest": digest_bytes(base.encode()),
        "template_digest": TEMPLATE,
    }
    return ModelRef.from_json(json.dumps({**values, "schema": "wherry.model/1"}))


def test_benchmark_answers_of_another_version_are_anothers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def owner(files: str = "") -> str:
        return _owner(model("gguf"), files, "llama.cpp", BenchmarkSettings())

    version_is(monkeypatch, "1")
    before = owner()
    assert before == owner() != owner("other")
    version_is(monkeypatch, "2")
    assert before != owner()


def sealed(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    Manifest.seal(folder)
    return folder


def test_a_models_files_are_all_that_it_is_loaded_from(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "adapter", weights="w", config="alpha 16")
    base = sealed(tmp_path / "base", weights="b", tokenizer="t")
    first = files_of(model("adapter"), folder, base)
    assert first == files_of(model("adapter"), folder, base)
    sealed(base, tokenizer="u")
    other_base = files_of(model("adapter"), folder, base)
    sealed(folder, config="alpha 32")
    assert len({first, other_base, files_of(model("adapter"), folder, base)}) == 3
    # A model that stands alone does not hang on a base that happens to be handed over.
    alone = files_of(model("transformers"), folder, base)
    assert alone == files_of(model("transformers"), folder, None)


def test_a_gguf_file_has_all_in_it_and_needs_no_sealed_folder(tmp_path: Path) -> None:
    assert files_of(model("gguf"), tmp_path, None) == WEIGHTS
