"""Two ranks that torchrun starts learn what one learns from the same batches."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wherry.contracts import Kind, ModelRef
from wherry.contracts.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tune.conftest import Tuner

pytestmark = [pytest.mark.local, pytest.mark.slow]

SMALL = {"threads": 1, "rank": 4, "learning_rate": 0.01, "precision": "float32", "batch_size": 5,
         "epochs": 2, "frozen_share": 0.5}  # fmt: skip
"""24 rows in batches of 5: one rank has a row more, or one fewer, than the other."""


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture
def tied(tied_base: Path, dataset: Path, tuned: "Tuner") -> "Tuner":
    return type(tuned)(tuned.folder, tied_base, dataset)


def by_two(
    tuned: "Tuner", name: str = "two", *, curve: Path | None = None, **given: Any
) -> subprocess.CompletedProcess[str]:
    """Tunes with two ranks."""
    paths = {key: given.pop(key) for key in ("start", "teacher", "dataset") if key in given}
    paths = {"dataset": tuned.dataset, "base": tuned.base, "adapter": tuned.folder / name,
             "curve": curve or tuned.curve_path(name), **paths}  # fmt: skip
    options = [f"--{key}={path}" for key, path in paths.items()]
    settings = json.dumps({**SMALL, **given})
    command = [*TORCHRUN, "-m", "--", "wherry.tune", *options, "--settings", settings]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def train_losses(tuned: "Tuner", name: str) -> list[float]:
    return [p.train_loss for p in tuned.curve(name).points if p.train_loss]


def assert_alike(tuned: "Tuner") -> None:
    """Holds the run `two` against the run `one`: losses, and the weights themselves."""
    from safetensors.torch import load_file

    assert train_losses(tuned, "two") == pytest.approx(train_losses(tuned, "one"), rel=2e-3)
    assert tuned.eval_losses("two") == pytest.approx(tuned.eval_losses("one"), rel=2e-3)
    one, two = (ModelRef.verified(tuned.folder / name) for name in ("one", "two"))
    weights = [load_file(tuned.folder / m / r.file) for m, r in (("one", one), ("two", two))]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        assert weights[1][name].shape == weight.shape
        assert float((weights[1][name] - weight).abs().max()) < 0.02 * float(weight.abs().max())


@pytest.mark.parametrize("shard", ["none", "full"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_ranks_learn_what_one_does(tuned: "Tuner", method: str, shard: str) -> None:
    tuned("one", **{**SMALL, "method": method})
    done = by_two(tuned, method=method, shard=shard)
    assert done.returncode == 0, done.stderr
    assert_alike(tuned)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_of_a_tied_head_learns_the_same_spread(tied: "Tuner", method: str) -> None:
    tied("one", **{**SMALL, "method": method})
    done = by_two(tied, method=method, shard="full")
    assert done.returncode == 0, done.stderr
    assert_alike(tied)


def test_a_tied_head_that_would_be_trained_spread_is_refused(tied: "Tuner") -> None:
    done = by_two(tied, method="full", shard="full", frozen_share=0.0)
    assert done.returncode != 0
    assert "E_SETTINGS: shard: full cannot train the matrix" in done.stderr
    assert "Set frozen_share above 0" in done.stderr
    assert not (tied.folder / "two").exists()


def test_each_rank_keeps_half_of_a_spread_models_weights(base: Path) -> None:
    program = Path(__file__).parent / "programs" / "spread_sizes.py"
    done = subprocess.run([*TORCHRUN, str(program), str(base)], check=True, capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    told = re.findall(r"rank (\d+) keeps (\d+) of (\d+)", done.stdout)
    (_, first, whole), (_, second, _) = sorted(tuple(map(int, one)) for one in told)
    assert first + second == whole
    assert first == pytest.approx(whole / 2, rel=0.01)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "given",
    [
        {"micro_batch": 1},
        {"recompute": True, "method": "full", "frozen_share": 0.0},
        {"method": "dora"},
        {"precision": "bfloat16"},
    ],
    ids=lambda given: "-".join(given),
)
def test_a_spread_model_learns_the_same_with_other_settings(
    tuned: "Tuner", given: dict[str, Any]
) -> None:
    tuned("one", **{**SMALL, **given})
    done = by_two(tuned, shard="full", **given)
    assert done.returncode == 0, done.stderr
    if "precision" in given:  # bfloat16 rounds other sums otherwise
        assert tuned.eval_losses("two") == pytest.approx(tuned.eval_losses("one"), rel=0.02)
    else:
        assert_alike(tuned)


@pytest.mark.nightly
def test_a_spread_model_goes_on_from_an_adapter_against_what_that_was(
    tuned: "Tuner", data_of: "Callable[[Kind], Path]"
) -> None:
    tuned("first", epochs=2)
    given = {"objective": "dpo", "start": tuned.folder / "first", "dataset": data_of("preference")}
    tuned("one", **{**SMALL, **given})
    done = by_two(tuned, shard="full", **given)
    assert done.returncode == 0, done.stderr
    assert_alike(tuned)


@pytest.mark.parametrize("shard", [pytest.param("none", marks=pytest.mark.nightly), "full"])
def test_a_teacher_is_held_whole_on_every_rank_and_teaches_the_same(
    tuned: "Tuner", teacher: Path, shard: str
) -> None:
    given = {"objective": "distill", "teacher": teacher}
    tuned("one", **{**SMALL, **given})
    done = by_two(tuned, shard=shard, **given)
    assert done.returncode == 0, done.stderr
    assert_alike(tuned)
    program = Path(__file__).parent / "programs" / "teacher_sizes.py"
    told = subprocess.run([*TORCHRUN, str(program), str(tuned.base), str(teacher)], check=True,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    # Both write to one pipe: a line's end may come behind the other's line.
    sizes = re.findall(r"rank (\d+) holds (\d+) of (\d+), (\d+)", told.stdout)
    assert sorted(rank for rank, *_ in sizes) == ["0", "1"]
    assert all(int(kept) == int(all_) > int(student) for _, kept, all_, student in sizes)


@pytest.mark.nightly
def test_ranks_share_the_asking_of_a_teacher_and_learn_the_same_answers(
    tuned: "Tuner", teacher: Path
) -> None:
    given = {"objective": "imitate", "teacher": teacher, "answer_tokens": 60}
    tuned("one", **{**SMALL, **given})
    done = by_two(tuned, **given)
    assert done.returncode == 0, done.stderr
    assert tuned.curve("two").rows == tuned.curve("one").rows
    assert_alike(tuned)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "given",
    [
        {"method": "lora", "shard": "full"},
        {"method": "full", "shard": "full"},
        {"dropout": 0.3},  # of which each rank draws another number, for its rows
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_several_ranks_go_on_from_their_checkpoint_to_the_same_bytes(
    tuned: "Tuner", given: dict[str, Any]
) -> None:
    given = {**given, "checkpoint_every": 3, "eval_points": 5}
    assert by_two(tuned, "whole", **given, seed=0).returncode == 0
    # Nothing can be written below a file: the run ends in an error once all is learnt.
    failed = by_two(tuned, "parts", curve=tuned.base / "model.json" / "curve.json", **given)
    assert failed.returncode != 0
    done = by_two(tuned, "parts", **given)
    assert done.returncode == 0, done.stderr
    assert tuned.curve("parts").resumed_at == 9
    assert tuned.eval_losses("parts") == tuned.eval_losses("whole")
    digests = {ModelRef.verified(tuned.folder / name).digest for name in ("parts", "whole")}
    assert len(digests) == 1


@pytest.mark.parametrize("method", ["qlora", "prefix", "ia3", "pissa"])
def test_a_method_that_cannot_be_spread_is_refused(tuned: "Tuner", method: str) -> None:
    with pytest.raises(SettingsError, match="method must be one of lora, dora, rslora, full"):
        tuned(method=method, shard="full")


def test_one_rank_alone_has_nothing_to_spread(tuned: "Tuner") -> None:
    assert tuned("plain").digest == tuned("spread", shard="full").digest
