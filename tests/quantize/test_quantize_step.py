"""Which type each tensor gets, and when two forms are the same model."""

import math
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from wherry.contracts import ModelRef, digest_bytes
from wherry.contracts.errors import DigestError, FormatError, TemplateError
from wherry.quantize.settings import QuantizeSettings
from wherry.quantize.step import (
    Divergence,
    Rendered,
    Sample,
    Seen,
    check_pair,
    conclude,
    distinct_samples,
    diverge,
    file_name,
    judge,
    token_agreement,
)
from wherry.quantize.tensor_types import Shape, tensor_type

DIGEST = digest_bytes(b"x")
SETTINGS = QuantizeSettings()
FORMS = ("one", "other")


def _smollm2() -> dict[str, tuple[int, ...]]:
    """The tensors of SmolLM2-135M, whose rows of 576 no K type divides."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (49152, 576)}
    for layer in range(30):
        block = f"blk.{layer}."
        shapes |= {f"{block}{part}_norm.weight": (576,) for part in ("attn", "ffn")}
        shapes |= {f"{block}attn_{part}.weight": (576, 576) for part in ("q", "output")}
        shapes |= {f"{block}attn_{part}.weight": (192, 576) for part in ("k", "v")}
        shapes |= {f"{block}ffn_{part}.weight": (1536, 576) for part in ("gate", "up")}
        shapes[f"{block}ffn_down.weight"] = (576, 1536)
    return shapes | {"output_norm.weight": (576,)}


@pytest.mark.parametrize(
    ("quantization", "counts"),
    [
        # As llama.cpp's own llama-quantize types them.
        ("F16", {"F16": 211, "F32": 61}),
        ("Q8_0", {"Q8_0": 211, "F32": 61}),
        ("Q4_0", {"Q4_0": 210, "Q8_0": 1, "F32": 61}),
        ("Q6_K", {"Q6_K": 30, "Q8_0": 181, "F32": 61}),
        ("Q4_K_M", {"Q4_K": 16, "Q6_K": 14, "Q5_0": 166, "Q8_0": 15, "F32": 61}),
        ("Q5_K_M", {"Q5_K": 16, "Q6_K": 14, "Q5_1": 166, "Q8_0": 15, "F32": 61}),
    ],
)
def test_tensors_get_the_types_that_llama_cpp_gives_them(
    quantization: str, counts: dict[str, int]
) -> None:
    found = Counter(
        tensor_type(name, shape, quantization, Shape(30, tied=True, gqa=3))
        for name, shape in _smollm2().items()
    )
    assert found == counts


def test_a_head_of_its_own_is_kept_wide_and_the_embedding_is_not() -> None:
    shape = (32000, 4096)
    kinds = [
        tensor_type(name, shape, "Q4_K_M", Shape(32, tied=False))
        for name in ("output.weight", "token_embd.weight")
    ]
    assert kinds == ["Q6_K", "Q4_K"]


def test_a_row_that_nothing_divides_stays_half_precision() -> None:
    assert tensor_type("blk.0.attn_q.weight", (8, 20), "Q8_0", Shape(1, tied=True)) == "F16"


def test_kl_of_a_case_counted_by_hand() -> None:
    one = np.log(np.array([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05]], np.float32))
    other = np.log(np.array([[0.25, 0.5, 0.25], [0.9, 0.05, 0.05]], np.float32)) + 3
    found = diverge([one], [other])
    assert found.positions == 2
    assert found.agreement == 0.5
    assert found.kl == pytest.approx((0.5 * math.log(2) - 0.25 * math.log(2)) / 2, abs=1e-6)


def test_a_large_vocabulary_is_compared_in_little_memory() -> None:
    one, other = (
        np.random.default_rng(seed).normal(size=(400, 20_000)).astype(np.float32) for seed in (1, 2)
    )
    tracemalloc.start()
    found = diverge([one], [other])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6  # all at once it takes 250 MB
    parts = [diverge([one[at : at + 1]], [other[at : at + 1]]).kl for at in range(400)]
    assert found.kl == pytest.approx(np.mean(parts), rel=1e-9)


def test_equal_logits_do_not_diverge() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 50)).astype(np.float32)
    assert diverge([logits], [logits]) == Divergence(7, 1.0, 0.0)


@pytest.mark.parametrize(
    "found",
    [
        diverge([], []),
        Divergence(9, 1.0, math.nan),
        Divergence(9, 1.0, 99.0),
        Divergence(9, 0.1, 0.0),
    ],
)
def test_nothing_unknown_or_too_far_passes(found: Divergence) -> None:
    assert not judge("quantization", FORMS, found, SETTINGS).passed


def test_conversion_is_held_tighter_than_quantization() -> None:
    found = Divergence(500, 0.99, 0.005)
    assert judge("quantization", FORMS, found, SETTINGS).passed
    assert not judge("conversion", FORMS, found, SETTINGS).passed


def test_a_shared_prompt_weighs_once() -> None:
    assert distinct_samples([[1, 2, 3], [1, 2, 4], [1, 2, 3]], 99) == [
        Sample((1, 2, 3), (0, 1, 2)),
        Sample((1, 2, 4), (2,)),
    ]


def test_contexts_stop_at_the_limit() -> None:
    samples = distinct_samples([[1, 2, 3], [4, 5, 6]], 4)
    assert samples == [Sample((1, 2, 3), (0, 1, 2)), Sample((4,), (0,))]


def test_token_agreement_wants_text_and_tokens() -> None:
    right = Rendered("a", (1,))
    assert token_agreement([right] * 4, [right, right, Rendered("b", (1,)), right]) == 0.75
    assert token_agreement([], []) == 0.0


def test_a_verdict_names_every_part_that_failed() -> None:
    good = judge("merge", FORMS, Divergence(9, 1.0, 0.0), SETTINGS)
    bad = judge("quantization", FORMS, Divergence(9, 0.5, math.nan), SETTINGS)
    verdict = conclude(Seen(4, 0.75, (good, bad)), DIGEST, DIGEST, SETTINGS)
    assert not verdict.passed
    assert len(verdict.reasons) == 2
    assert "75.0% of 4 rows" in verdict.reasons[0]
    assert "no finite KL" in verdict.reasons[1] and "0.500" in verdict.reasons[1]


def test_a_verdict_on_nothing_does_not_pass() -> None:
    assert not conclude(Seen(0, 1.0, ()), DIGEST, DIGEST, SETTINGS).passed
    passed = judge("merge", FORMS, Divergence(9, 1.0, 0.0), SETTINGS)
    assert conclude(Seen(4, 1.0, (passed,)), DIGEST, DIGEST, SETTINGS).passed


def _model(kind: str, **changes: str) -> ModelRef:
    made = ModelRef(
        name="m",
        format=kind,  # type: ignore[arg-type]  # a test's own text
        file="f",
        digest=digest_bytes(kind.encode()),
        size=1,
        base_uri="",
        base_digest=digest_bytes(b"transformers"),
        template_digest=DIGEST,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # by keyword


def test_an_adapter_must_belong_to_the_base() -> None:
    base, adapter = _model("transformers"), _model("adapter")
    check_pair(base, adapter)
    with pytest.raises(FormatError, match="got adapter and adapter"):
        check_pair(adapter, adapter)
    with pytest.raises(DigestError, match="trained on a base of digest"):
        check_pair(base, _model("adapter", base_digest=DIGEST))
    with pytest.raises(TemplateError, match="chat template"):
        check_pair(base, _model("adapter", template_digest=digest_bytes(b"y")))


def test_a_file_name_has_no_odd_characters() -> None:
    assert file_name("My model/1", "Q8_0") == "My-model-1.Q8_0.gguf"
