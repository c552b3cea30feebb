"""Real tuning of a model of 170,000 weights: what a run promises, in seconds."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wherry.contracts import Dataset, Manifest, ModelRef, digest_bytes
from wherry.contracts.curve import LossCurve
from wherry.contracts.errors import DigestError, MemoryShortError, SettingsError
from wherry.tune.examples import Example
from wherry.tune.settings import TuneSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.tune.conftest import Tuner
    from wherry.contracts import Kind
    from wherry.tune.adapters.pytorch.learner import TorchLearner

pytestmark = pytest.mark.local

LABELS = ("bone", "heart", "skin")
RECIPE = TuneSettings(batch_size=4, learning_rate=1e-2, rank=4, threads=1, precision="float32")
PREFIX = (3, 4, 5)
BATCH = [
    Example((*PREFIX, 9, 10, 11), (20, 2)),
    Example((*PREFIX, 12), (21, 22, 2)),
    Example((*PREFIX, 13, 14), (23, 2)),
]


def learner(
    base: Path, recipe: TuneSettings = RECIPE, prefix: tuple[int, ...] = ()
) -> "TorchLearner":
    from wherry.tune.adapters.pytorch.learner import TorchLearner
    from wherry.tune.adapters.pytorch.model import Trainable
    from wherry.tune.adapters.pytorch.objectives import CrossEntropy
    from wherry.tune.adapters.pytorch.ranks import Ranks

    return TorchLearner(Trainable(base, recipe, prefix), CrossEntropy(), recipe, Ranks())


def test_threads_are_told_how_long_to_spin_before_torch_loads() -> None:
    program = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Watch())
import wherry.tune.adapters.pytorch.bench
"""
    env = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run([sys.executable, "-c", program], env=env, check=True,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.stdout.splitlines()[0] == "GOMP_SPINCOUNT 10000"


def test_computing_the_shared_prefix_once_changes_no_loss(base: Path) -> None:
    plain, shared = learner(base), learner(base, prefix=PREFIX)
    for _ in range(3):  # the later losses follow from the gradients of the earlier ones
        assert shared.learn(BATCH, 1e-2) == pytest.approx(plain.learn(BATCH, 1e-2), rel=1e-4)


def test_a_rows_loss_does_not_depend_on_the_padding_that_others_bring(base: Path) -> None:
    one = learner(base)
    alone = [one.loss([example]) * len(example.completion) for example in BATCH]
    tokens = sum(len(example.completion) for example in BATCH)
    assert one.loss(BATCH) == pytest.approx(sum(alone) / tokens, rel=1e-4)


def test_learning_lowers_the_loss_and_measuring_does_not(base: Path) -> None:
    one = learner(base)
    before = one.loss(BATCH)
    assert one.loss(BATCH) == before
    for _ in range(10):
        one.learn(BATCH, 1e-2)
    assert one.loss(BATCH) < 0.8 * before


class Failing:
    """An objective that ends in an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def weight(self, batch: Sequence[Example]) -> int:
        return len(batch)

    def begin(self, model: object, batch: Sequence[Example]) -> None:
        raise self.error

    def total(self, model: object, batch: Sequence[Example]) -> "Tensor":
        raise AssertionError


def failing(base: Path, error: Exception) -> "TorchLearner":
    one = learner(base)
    one._objective = Failing(error)
    return one


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: ..."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_memory_that_runs_out_names_the_setting_to_lower(base: Path, error: Exception) -> None:
    with pytest.raises(MemoryShortError, match="3 rows of up to 8 tokens") as short:
        failing(base, error).loss(BATCH)
    assert short.value.remedy.startswith("Lower micro_batch")
    assert short.value.__cause__ is error


def test_one_row_at_once_cannot_be_fewer_so_that_its_length_is_named(base: Path) -> None:
    one = learner(base, replace(RECIPE, micro_batch=1))
    one._objective = Failing(MemoryError())
    with pytest.raises(MemoryShortError, match="1 rows of up to 8 tokens") as short:
        one.loss(BATCH)
    assert short.value.remedy.startswith("Lower max_length")


def test_memory_that_runs_out_for_the_optimizer_is_told_too(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = learner(base)

    def step() -> None:
        raise MemoryError

    monkeypatch.setattr(one._optimizer, "step", step)
    with pytest.raises(MemoryShortError) as short:
        one.learn(BATCH, 1e-2)
    assert "a higher frozen_share or a lower rank" in short.value.remedy


@pytest.mark.parametrize(
    ("objective", "place", "setting"),
    [
        ("sft", "model.load", "precision: bfloat16 or method: qlora"),
        ("distill", "bench._teacher_model", "precision: bfloat16 or method: qlora"),
        ("dpo", "bench.Reference", "Lower micro_batch"),
        ("imitate", "teacher.load", "Lower batch_size"),
    ],
)
def test_memory_that_runs_out_before_the_first_step_is_told(
    tuned: "Tuner",
    teacher: Path,
    data_of: "Callable[[Kind], Path]",
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    place: str,
    setting: str,
) -> None:
    # All of them first: a module that is imported meanwhile would keep what it is handed.
    from wherry.tune.adapters.pytorch import bench  # noqa: F401 - see above

    def short(*_args: object, **_given: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(f"wherry.tune.adapters.pytorch.{place}", short)
    taught = {"teacher": teacher} if objective in ("distill", "imitate") else {}
    data = data_of("preference" if objective == "dpo" else "chat")
    with pytest.raises(MemoryShortError) as raised:
        tuned(dataset=data, objective=objective, **taught)
    assert setting in raised.value.remedy


def test_a_gradient_that_is_no_number_is_told_before_a_weight_is_spoilt(base: Path) -> None:
    import torch

    class Bending(Failing):
        """Has a loss of one, and no gradient at all: the root's is infinite at zero."""

        def begin(self, model: object, batch: Sequence[Example]) -> None:
            """Needs nothing."""

        def total(self, model: Any, batch: Sequence[Example]) -> "Tensor":
            return sum((w.sum() * 0).sqrt() for _, w in model.named_weights()) + len(batch)

    one = learner(base)
    one._objective = Bending(MemoryError())
    before = {name: weight.detach().clone() for name, weight in one.model.named_weights()}
    assert one.loss(BATCH) == 1.0
    assert math.isnan(one.learn(BATCH, 1e-2))
    assert all(torch.equal(weight, before[name]) for name, weight in one.model.named_weights())


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_no_more_than_a_micro_batch_goes_through_the_model_at_once(
    tuned: "Tuner",
    data_of: "Callable[[Kind], Path]",
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
) -> None:
    from wherry.tune.adapters.pytorch.model import Trainable

    seen: list[int] = []
    logits = Trainable.logits

    def counted(self: Trainable, inputs: "Tensor", *given: "Tensor") -> "Tensor":
        seen.append(len(inputs))
        return logits(self, inputs, *given)

    monkeypatch.setattr(Trainable, "logits", counted)
    tuned(dataset=data_of("preference"), objective=objective, micro_batch=1, rows=8)
    assert max(seen) == 2  # a pair's two answers


def test_any_other_error_stays_what_it_is(base: Path) -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError) as raised:
        failing(base, error).loss(BATCH)
    assert raised.value is error
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("change", [{"micro_batch": 1}, {"micro_batch": 2}, {"recompute": True}])
def test_what_only_saves_memory_changes_no_loss(base: Path, change: dict[str, int]) -> None:
    saving = learner(base, replace(RECIPE, **change), PREFIX)  # type: ignore[arg-type]
    whole = learner(base, prefix=PREFIX)
    for _ in range(3):
        assert saving.learn(BATCH, 1e-2) == pytest.approx(whole.learn(BATCH, 1e-2), rel=1e-4)


@pytest.mark.parametrize(("share", "layers"), [(0.0, {"0", "1"}), (0.5, {"1"})])
def test_the_lower_share_of_the_layers_gets_no_lora(
    base: Path, tmp_path: Path, share: float, layers: set[str]
) -> None:
    from safetensors import safe_open

    model = learner(base, replace(RECIPE, frozen_share=share)).model
    with safe_open(model.save(tmp_path, "file:tiny"), framework="numpy") as weights:
        assert {name.partition("layers.")[2][0] for name in weights.keys()} == layers  # noqa: SIM118


def test_the_same_seed_gives_the_same_adapter_byte_for_byte(tuned: "Tuner") -> None:
    first, second, third = tuned("first"), tuned("second"), tuned("third", seed=1)
    assert first.digest == second.digest != third.digest
    manifests = [Manifest.verified(tuned.folder / name).digest for name in ("first", "second")]
    assert len(set(manifests)) == 1


def test_a_run_gives_a_sealed_adapter_of_its_base_and_a_curve(tuned: "Tuner", base: Path) -> None:
    adapter = tuned(epochs=4, eval_points=3)
    source = ModelRef.read(base / "model.json")
    assert (adapter.format, adapter.base_digest) == ("adapter", source.digest)
    assert adapter.template_digest == source.template_digest
    losses, curve = tuned.eval_losses(), tuned.curve()
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert (curve.rows, curve.epochs, curve.base_digest) == (24, 4, source.digest)
    assert (curve.steps, curve.kept_step) == (24, 24)


def test_fewer_rows_can_be_asked_for(tuned: "Tuner") -> None:
    tuned(rows=5)
    assert LossCurve.read(tuned.curve_path()).rows == 5


def test_the_weights_of_the_lowest_eval_loss_are_kept(tuned: "Tuner") -> None:
    # So fast that it runs past the best weights.
    tuned("best", learning_rate=1.0, schedule="constant", epochs=8, eval_points=9, clip_norm=9,
          diverged_at=1e6)  # fmt: skip
    losses, curve = tuned.eval_losses("best"), tuned.curve("best")
    assert losses[-1] > min(losses)
    assert curve.kept_step == next(p.step for p in curve.points if p.eval_loss == min(losses))


def test_a_run_stops_when_the_eval_loss_no_longer_falls(tuned: "Tuner") -> None:
    tuned(learning_rate=1.0, schedule="constant", epochs=8, eval_points=17, patience=2,
          clip_norm=9, diverged_at=1e6)  # fmt: skip
    assert tuned.curve().steps < 48
    assert tuned.curve().kept_step < tuned.curve().steps


def test_a_run_that_would_wait_for_an_eval_loss_needs_rows_to_measure_it_on(
    tuned: "Tuner", tmp_path: Path
) -> None:
    shutil.copytree(tuned.dataset, tmp_path / "data")
    made = Dataset.read(tmp_path / "data/dataset.json")
    splits = tuple(split for split in made.splits if split.name != "eval")
    replace(made, splits=splits).write(tmp_path / "data/dataset.json")
    Manifest.seal(tmp_path / "data")
    with pytest.raises(SettingsError, match="patience 2 waits for a lower eval loss"):
        tuned(dataset=tmp_path / "data", patience=2)
    assert tuned(dataset=tmp_path / "data").format == "adapter"


@pytest.mark.parametrize(("method", "most"), [("lora", 40), ("prompt", 24)])
def test_a_row_that_is_longer_than_the_model_reads_is_refused(
    tuned: "Tuner", tmp_path: Path, method: str, most: int
) -> None:
    """Positions that it never saw would be learnt, and never be served."""
    short = tmp_path / "short"
    shutil.copytree(tuned.base, short)
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 100}))
    Manifest.seal(short)
    tuned.base = short
    assert tuned(method=method, max_length=84).format == "adapter"
    config["max_position_embeddings"] = 40
    (short / "config.json").write_text(json.dumps(config))
    Manifest.seal(short)
    with pytest.raises(SettingsError, match="tokens.* and the model reads 40") as refused:
        tuned(method=method)
    assert f"max_length: {most}" in refused.value.remedy


def test_that_nothing_learnt_was_kept_is_said(
    tuned: "Tuner", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is learnt of some answers makes others less likely."""
    data = tmp_path / "data"
    shutil.copytree(tuned.dataset, data)
    rows = (data / "eval.jsonl").read_bytes()
    for label in LABELS:
        rows = rows.replace(f'"content":"{label}"'.encode(), b'"content":"QZQZQZQZQZQZ"')
    (data / "eval.jsonl").write_bytes(rows)
    made, digest = Dataset.read(data / "dataset.json"), digest_bytes(rows)
    splits = [replace(s, digest=digest) if s.name == "eval" else s for s in made.splits]
    replace(made, splits=tuple(splits)).write(data / "dataset.json")
    Manifest.seal(data)
    tuned(dataset=data, method="full", frozen_share=0.0, learning_rate=0.1, epochs=4,
          eval_points=2)  # fmt: skip
    assert tuned.curve().kept_step == 0
    assert (
        "kept the weights it began with: no step lowered the eval loss" in capsys.readouterr().err
    )
    tuned("better")
    assert "kept" not in capsys.readouterr().err


def test_a_start_from_another_base_is_refused(
    tuned: "Tuner", teacher: Path, tmp_path: Path
) -> None:
    from tests.fakes.tiny_model import make_adapter

    make_adapter(tmp_path / "stranger", teacher)
    with pytest.raises(DigestError, match="trained on a base of digest"):
        tuned(start=tmp_path / "stranger")
    assert not (tmp_path / "adapter").exists()


def test_going_on_with_pissa_trains_the_adapter_that_is_there(
    tuned: "Tuner", tmp_path: Path
) -> None:
    """It has no singular values to begin with: the base is whole."""
    tuned("first")
    given = {"start": tmp_path / "first", "seed": 3}
    assert tuned("second", method="pissa", **given).digest == tuned("third", **given).digest


@pytest.mark.parametrize(
    ("begun", "method"), [("prefix", "lora"), ("lora", "prefix"), ("prompt", "prompt")]
)
def test_virtual_tokens_are_not_gone_on_with(
    tuned: "Tuner", tmp_path: Path, begun: str, method: str
) -> None:
    tuned("first", method=begun)
    with pytest.raises(SettingsError, match=f"method {method} cannot go on.*virtual tokens"):
        tuned(method=method, start=tmp_path / "first")


@pytest.mark.parametrize("method", ["dora", "ia3"])
def test_every_other_kind_of_adapter_is_gone_on_with(
    tuned: "Tuner", tmp_path: Path, method: str
) -> None:
    tuned("first", method=method, epochs=3)
    tuned("second", epochs=3, start=tmp_path / "first")
    assert tuned.eval_losses("second")[0] == pytest.approx(tuned.eval_losses("first")[-1], rel=1e-3)
    assert tuned.eval_losses("second")[-1] < tuned.eval_losses("second")[0]


def test_a_model_that_does_more_to_its_logits_is_refused(base: Path, tmp_path: Path) -> None:
    from transformers import CohereConfig, CohereForCausalLM

    from wherry.tune.adapters.pytorch.model import Trainable

    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
             "num_attention_heads": 2, "vocab_size": 64, "logit_scale": 0.0625}  # fmt: skip
    CohereForCausalLM(CohereConfig(**small)).save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match="CohereForCausalLM does more to its logits"):
        Trainable(tmp_path, RECIPE)


def test_granites_logits_are_its_own(tmp_path: Path) -> None:
    import torch
    from transformers import GraniteConfig, GraniteForCausalLM

    from wherry.tune.adapters.pytorch.model import Trainable

    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
             "num_attention_heads": 2, "vocab_size": 64, "logits_scaling": 8.0}  # fmt: skip
    granite = GraniteForCausalLM(GraniteConfig(**small)).eval()
    granite.save_pretrained(tmp_path)
    tokens = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        found = Trainable(tmp_path, RECIPE).logits(tokens, torch.tensor([0]), torch.tensor([2]))
        assert torch.allclose(found, granite(input_ids=tokens).logits[:, 2], atol=1e-5)


def test_an_objective_without_its_teacher_is_refused(tuned: "Tuner", teacher: Path) -> None:
    with pytest.raises(SettingsError, match="distill needs a teacher"):
        tuned(objective="distill")
    with pytest.raises(SettingsError, match="sft has no use for a teacher"):
        tuned(teacher=teacher)
