"""What `auto` and the other settings of a device come to: precision, threads, whose GPU."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.tune.test_tune_run import RECIPE
from wherry.cores import usable_cores

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner
    from wherry.tune.settings import Method

pytestmark = pytest.mark.local

AUTO = replace(RECIPE, precision="auto", device="cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16 sse", "bfloat16"),
        ("fpu amx_bf16", "bfloat16"),
        ("fpu avx512f avx512_vnni", "float32"),
        ("", "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_cpu_has_units_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, expected: str
) -> None:
    import torch

    from wherry.tune.adapters.pytorch import device

    info = tmp_path / "cpuinfo"
    if flags:
        info.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(device, "_CPU_INFO", info)
    found = device.precision_of(AUTO, torch.device("cpu"))
    assert found == getattr(torch, expected)


def test_a_precision_that_is_named_is_taken_as_it_is() -> None:
    import torch

    from wherry.tune.adapters.pytorch.device import precision_of

    for name in ("float32", "bfloat16"):
        chosen = replace(AUTO, precision=name)  # type: ignore[arg-type] # its choices
        assert precision_of(chosen, torch.device("cpu")) == getattr(torch, name)


def dtypes(base: Path, method: "Method", *, learns: bool = True) -> tuple[set[str], set[str]]:
    """Of what is learnt, and of what is not."""
    from wherry.tune.adapters.pytorch.model import Trainable

    recipe = replace(RECIPE, method=method, precision="bfloat16", frozen_share=0.5)
    model = Trainable(base, recipe, learns=learns)
    learnt = dict(model.named_weights())
    every = dict(model._adapted.named_parameters())
    kept = {str(w.dtype) for name, w in every.items() if name not in learnt}
    return {str(w.dtype) for w in learnt.values()}, kept


def test_an_adapter_is_learnt_in_float32_on_a_base_of_the_precision(base: Path) -> None:
    assert dtypes(base, "lora") == ({"torch.float32"}, {"torch.bfloat16"})


def test_a_whole_model_stays_in_float32_for_it_is_saved(base: Path) -> None:
    assert dtypes(base, "full") == ({"torch.float32"}, {"torch.float32"})


def test_a_teacher_is_held_in_the_precision_and_learns_nothing(base: Path) -> None:
    assert dtypes(base, "full", learns=False) == (set(), {"torch.bfloat16"})


@pytest.mark.parametrize("threads", [0, 1])
def test_no_number_of_threads_is_all_that_this_process_may_use(threads: int) -> None:
    import torch

    from wherry.tune.adapters.pytorch.device import make_repeatable

    before = torch.get_num_threads()
    try:
        make_repeatable(replace(AUTO, threads=threads))
        assert torch.get_num_threads() == (threads or usable_cores())
    finally:
        torch.set_num_threads(before)


def test_a_teacher_answers_with_the_threads_of_the_recipe_too(
    tuned: "Tuner", teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from wherry.tune.adapters.pytorch import bench

    seen: list[int] = []
    ask = bench.answers

    def watched(*given: Any) -> list[str]:
        seen.append(torch.get_num_threads())
        return ask(*given)

    monkeypatch.setattr(bench, "answers", watched)
    torch.set_num_threads(2)
    tuned(objective="imitate", teacher=teacher, answer_tokens=60, threads=1)
    assert seen == [1]


def test_a_teacher_lies_on_its_ranks_own_device(
    base: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process of a machine must not put its teacher beside the first one's."""
    import torch

    from wherry.tune.adapters.pytorch import bench, model

    asked: list[int] = []

    def device_of(settings: object, local_rank: int = 0) -> torch.device:
        asked.append(local_rank)
        return torch.device("cpu")

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(model, "device_of", device_of)
    bench._teacher(base, teacher, RECIPE)
    assert asked == [1]
