"""A real LoRA on a model of 170,000 weights: what training promises, in seconds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from wherry.contracts import Manifest, ModelRef
from wherry.contracts.curve import LossCurve
from wherry.tune.run import run
from wherry.tune.settings import TuneSettings
from wherry.tune.step import Example

pytestmark = pytest.mark.local

RECIPE = TuneSettings(batch_size=4, learning_rate=1e-2, rank=4, threads=1)
PREFIX = (3, 4, 5)
BATCH = [
    Example((*PREFIX, 9, 10, 11), (20, 2)),
    Example((*PREFIX, 12), (21, 22, 2)),
    Example((*PREFIX, 13, 14), (23, 2)),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_model import make_base

    folder = tmp_path_factory.mktemp("tiny") / "base"
    make_base(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_model import make_dataset

    folder = tmp_path_factory.mktemp("tiny") / "dataset"
    make_dataset(folder, rows=24)
    return folder


@pytest.fixture
def tuned(base: Path, dataset: Path, tmp_path: Path) -> Callable[..., ModelRef]:
    def tune(name: str = "adapter", **settings: object) -> ModelRef:
        raw = json.dumps({"threads": 1, "rank": 4, "learning_rate": 0.01, **settings})
        run(dataset, base, tmp_path / name, tmp_path / f"{name}.json", raw)
        return ModelRef.verified(tmp_path / name)

    return tune


def test_computing_the_shared_prefix_once_changes_no_loss(base: Path) -> None:
    from wherry.tune.adapters.lora import LoraLearner

    plain, shared = LoraLearner(base, RECIPE), LoraLearner(base, RECIPE, PREFIX)
    for _ in range(3):  # the later losses follow from the gradients of the earlier ones
        assert shared.learn(BATCH, 1e-2) == pytest.approx(plain.learn(BATCH, 1e-2), rel=1e-4)


def test_a_rows_loss_does_not_depend_on_the_padding_that_others_bring(base: Path) -> None:
    from wherry.tune.adapters.lora import LoraLearner

    learner = LoraLearner(base, RECIPE)
    alone = [learner.loss([example]) * len(example.completion) for example in BATCH]
    tokens = sum(len(example.completion) for example in BATCH)
    assert learner.loss(BATCH) == pytest.approx(sum(alone) / tokens, rel=1e-4)


def test_learning_lowers_the_loss_and_measuring_does_not(base: Path) -> None:
    from wherry.tune.adapters.lora import LoraLearner

    learner = LoraLearner(base, RECIPE)
    before = learner.loss(BATCH)
    assert learner.loss(BATCH) == before
    for _ in range(10):
        learner.learn(BATCH, 1e-2)
    assert learner.loss(BATCH) < 0.8 * before


@pytest.mark.parametrize(("share", "layers"), [(0.0, {"0", "1"}), (0.5, {"1"})])
def test_the_lower_share_of_the_layers_gets_no_lora(
    base: Path, tmp_path: Path, share: float, layers: set[str]
) -> None:
    from safetensors import safe_open

    from wherry.tune.adapters.lora import LoraLearner

    learner = LoraLearner(base, replace(RECIPE, frozen_share=share))
    with safe_open(learner.save(tmp_path, "file:tiny"), framework="numpy") as weights:
        assert {name.partition("layers.")[2][0] for name in weights.keys()} == layers  # noqa: SIM118


def test_an_adapter_loads_in_peft_and_has_the_loss_that_it_was_saved_with(
    base: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    from wherry.tune.adapters.lora import LoraLearner, collate

    learner = LoraLearner(base, RECIPE, PREFIX)
    learner.learn(BATCH, 1e-2)
    learner.save(tmp_path, "file:tiny")
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path)
    inputs, rows, positions, targets = collate(BATCH, 0)
    logits = loaded.eval()(input_ids=inputs).logits[rows, positions]
    assert float(cross_entropy(logits, targets)) == pytest.approx(learner.loss(BATCH), rel=1e-4)


def test_the_same_seed_gives_the_same_adapter_byte_for_byte(
    tuned: Callable[..., ModelRef], tmp_path: Path
) -> None:
    first, second, third = tuned("first"), tuned("second"), tuned("third", seed=1)
    assert first.digest == second.digest != third.digest
    manifests = [Manifest.verified(tmp_path / name).digest for name in ("first", "second")]
    assert len(set(manifests)) == 1


def test_a_run_gives_a_sealed_adapter_of_its_base_and_a_curve(
    tuned: Callable[..., ModelRef], base: Path, tmp_path: Path
) -> None:
    adapter = tuned(epochs=4, eval_points=3)
    source = ModelRef.read(base / "model.json")
    assert (adapter.format, adapter.base_digest) == ("adapter", source.digest)
    assert adapter.template_digest == source.template_digest
    curve = LossCurve.read(tmp_path / "adapter.json")
    losses = [point.eval_loss for point in curve.points if point.eval_loss is not None]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert (curve.rows, curve.epochs, curve.base_digest) == (24, 4, source.digest)


def test_fewer_rows_can_be_asked_for(tuned: Callable[..., ModelRef], tmp_path: Path) -> None:
    tuned(rows=5)
    assert LossCurve.read(tmp_path / "adapter.json").rows == 5
