"""A base of 170,000 weights and data of every kind: real tuning in a second."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wherry.contracts import Kind, ModelRef
from wherry.contracts.curve import LossCurve
from wherry.tune.run import run


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_model import make_base

    folder = tmp_path_factory.mktemp("tiny") / "base"
    make_base(folder)
    return folder


@pytest.fixture(scope="session")
def tied_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with one matrix for its embeddings and its head, as SmolLM2 and Gemma have it."""
    import shutil
    from dataclasses import replace

    from transformers import LlamaForCausalLM

    from wherry.contracts import Manifest, digest_file

    folder = tmp_path_factory.mktemp("tiny") / "tied"
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("manifest.json"))
    model = LlamaForCausalLM.from_pretrained(base)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(folder)
    weights, origin = folder / "model.safetensors", ModelRef.read(base / "model.json")
    digest, size = digest_file(weights), weights.stat().st_size
    replace(origin, digest=digest, base_digest=digest, size=size).write(folder / "model.json")
    Manifest.seal(folder)
    return folder


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_model import make_base

    folder = tmp_path_factory.mktemp("tiny") / "teacher"
    make_base(folder, seed=5)
    return folder


@pytest.fixture(scope="session")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    from tests.fakes.tiny_model import make_dataset

    root, made = tmp_path_factory.mktemp("data"), {}

    def of(kind: Kind) -> Path:
        if kind not in made:
            make_dataset(root / kind, rows=24, kind=kind)
            made[kind] = root / kind
        return made[kind]

    return of


@pytest.fixture
def dataset(data_of: Callable[[Kind], Path]) -> Path:
    return data_of("chat")


class Tuner:
    """Tunes in a folder of its own and reads what came of it."""

    def __init__(self, folder: Path, base: Path, dataset: Path) -> None:
        self.folder, self.base, self.dataset = folder, base, dataset

    def __call__(
        self, name: str = "adapter", dataset: Path | None = None, **given: Any
    ) -> ModelRef:
        paths = {key: given.pop(key) for key in ("merged", "start", "teacher") if key in given}
        small = {"threads": 1, "rank": 4, "learning_rate": 0.01, "batch_size": 4}
        raw = json.dumps({**small, "precision": "float32", **given})
        run(dataset or self.dataset, self.base, self.folder / name, self.curve_path(name), raw,
            **paths)  # fmt: skip
        return ModelRef.verified(self.folder / name)

    def curve_path(self, name: str = "adapter") -> Path:
        return self.folder / f"{name}.json"

    def curve(self, name: str = "adapter") -> LossCurve:
        return LossCurve.read(self.curve_path(name))

    def eval_losses(self, name: str = "adapter") -> list[float]:
        return [p.eval_loss for p in self.curve(name).points if p.eval_loss is not None]


@pytest.fixture
def tuned(base: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tuner:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    return Tuner(tmp_path, base, dataset)
