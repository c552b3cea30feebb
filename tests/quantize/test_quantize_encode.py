"""llama.cpp's quantizers, called through C, against gguf's reference code."""

import gguf
import numpy as np
import pytest

from wherry.quantize.adapters.llamacpp import Encoder, encode, quantize_chunk

VALUES = np.random.default_rng(3).normal(size=(6, 512)).astype(np.float32)


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q5_0", "Q5_1"])
def test_llama_cpp_and_gguf_make_the_same_bytes(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    assert np.array_equal(quantize_chunk(VALUES, kind), gguf.quants.quantize(VALUES, kind))


@pytest.mark.parametrize(
    ("name", "error"), [("Q4_K", 0.09), ("Q5_K", 0.05), ("Q6_K", 0.025), ("Q8_0", 0.007)]
)
def test_what_is_encoded_decodes_to_nearly_the_same(name: str, error: float) -> None:
    kind = gguf.GGMLQuantizationType[name]
    decoded = gguf.quants.dequantize(encode(VALUES, name), kind)
    assert decoded.shape == VALUES.shape
    # Of values with a standard deviation of 1; half the limit would be too good to be true.
    assert error / 2 < np.sqrt(np.mean((decoded - VALUES) ** 2)) < error


def test_half_and_full_precision_stay_numbers() -> None:
    assert encode(VALUES, "F16").dtype == np.float16
    assert np.array_equal(encode(VALUES, "F32"), VALUES)


@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "IQ4_XS", "IQ3_XXS", "BF16"])
def test_several_threads_make_the_bytes_of_one(name: str) -> None:
    values = np.random.default_rng(4).normal(size=(37, 512)).astype(np.float32)
    weights = np.random.default_rng(5).uniform(0.1, 9, 512).astype(np.float32)
    made = [Encoder(threads)(values, name, weights) for threads in (1, 3)]
    assert np.array_equal(*made)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_K", "IQ4_NL", "IQ3_XXS"])
def test_columns_that_matter_are_spared(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    weights = np.ones(512, np.float32)
    weights[::4] = 100.0
    error = {
        known: (gguf.quants.dequantize(encode(VALUES, name, given), kind) - VALUES)[:, ::4].std()
        for known, given in (("all", np.ones(512, np.float32)), ("some", weights))
    }
    assert error["some"] < 0.95 * error["all"]
