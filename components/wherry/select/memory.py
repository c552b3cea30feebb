"""Estimates the memory that a model takes to tune and to serve, from its architecture alone.

Every formula names its source. The constants that no source gives were measured on two models,
SmolLM2-135M and Gemma 3 270M, with ``benchmarks/memory.py``, which also shows how far the
estimates are from the peaks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from wherry.select.catalogue import Architecture
from wherry.select.settings import Recipe

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

BLOCKS: Final[Mapping[str, tuple[int, int]]] = {
    "F32": (4, 1),
    "F16": (2, 1),
    "BF16": (2, 1),
    "Q8_0": (34, 32),
    "Q6_K": (210, 256),
    "Q5_K": (176, 256),
    "Q5_1": (24, 32),
    "Q5_0": (22, 32),
    "Q4_K": (144, 256),
    "Q4_0": (18, 32),
}
"""Bytes of a block, and how many values it holds: llama.cpp's ``ggml/src/ggml-common.h``."""
NARROWER: Final = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What stands in where a row does not divide by 256: ``llama-quant.cpp``."""
PRECISIONS: Final = ("float32", "bf16", "F16", "Q8_0", "Q4_K_M")
"""What weights can be estimated in: the first two to tune, the others to serve."""


@dataclass(frozen=True)
class Estimate:
    """Bytes, and what they are for."""

    parts: Mapping[str, int]
    reclaimable: int = 0
    """Of the peak, pages of a mapped file that nobody reads again: under a limit the kernel takes
    them back."""

    @property
    def peak(self) -> int:
        """All parts together: what the resident set reaches where memory is plenty."""
        return sum(self.parts.values())

    @property
    def needed(self) -> int:
        """What has to be there."""
        return self.peak - self.reclaimable


@dataclass(frozen=True)
class Tensor:
    """One matrix of a model, as GGUF names and shapes it."""

    name: str
    """Without its layer, such as ``attn_v``."""
    rows: int
    columns: int
    """Values of a row: blocks of a quantized type lie along it."""
    layer: int = -1
    """Counted from 0; -1 outside the layers."""

    @property
    def values(self) -> int:
        """How many there are."""
        return self.rows * self.columns


def tensors(of: Architecture) -> Iterator[Tensor]:
    """Gives the matrices of the text decoder; biases and norms are `vectors`."""
    yield Tensor("token_embd", of.vocab, of.hidden)
    if not of.tied:
        yield Tensor("output", of.vocab, of.hidden)
    for layer in range(of.layers):
        yield from _mixing(of, layer)
        yield from _feed_forward(of, layer)


def _mixing(of: Architecture, layer: int) -> Iterator[Tensor]:
    if _is_recurrent(of, layer):
        # Two projections in, one out, and a block-diagonal matrix for each of the two gates.
        yield from (Tensor(f"rec_{i}", of.hidden, of.hidden, layer) for i in range(3))
        block = of.hidden // of.heads
        yield from (Tensor(f"gate_{i}", of.hidden, block, layer) for i in range(2))
        return
    if of.fused:
        yield Tensor("attn_qkv", of.query_width + 2 * of.kv_width, of.hidden, layer)
    else:
        yield Tensor("attn_q", of.query_width, of.hidden, layer)
        yield Tensor("attn_k", of.kv_width, of.hidden, layer)
        yield Tensor("attn_v", of.kv_width, of.hidden, layer)
    yield Tensor("attn_output", of.hidden, of.query_width, layer)


def _feed_forward(of: Architecture, layer: int) -> Iterator[Tensor]:
    wide = of.experts * of.intermediate
    if of.gated:
        yield Tensor("ffn_gate", wide, of.hidden, layer)
    yield Tensor("ffn_up", wide, of.hidden, layer)
    yield Tensor("ffn_down", of.experts * of.hidden, of.intermediate, layer)
    if of.experts > 1:
        yield Tensor("ffn_gate_inp", of.experts, of.hidden, layer)


def _is_recurrent(of: Architecture, layer: int) -> bool:
    # Griffin repeats recurrent, recurrent, attention: arXiv:2402.19427.
    return of.recurrent_layers > 0 and layer % 3 != 2


def vectors(of: Architecture) -> int:
    """Gives how many values stand in norms, biases and other vectors of the text decoder."""
    norms = {"two": 2, "four": 4, "one": 2}[of.norms] * of.hidden
    attention = of.layers - of.recurrent_layers
    qk = 2 * of.head_dim if of.qk_norm else 0
    qkv = of.query_width + 2 * of.kv_width if of.bias in ("qkv", "all") else 0
    out = 2 * of.hidden + of.intermediate * (1 + of.gated) if of.bias in ("all", "out") else 0
    # A recurrent block: two biases in, four taps of a convolution and their bias, the biases of
    # two gates and the decay.
    recurrent = of.recurrent_layers * (2 + 4 + 1 + 2 + 1) * of.hidden
    # A layer norm has a bias, and Phi-2, which has one, has a bias in its head too.
    final = 2 * of.hidden + of.vocab if of.norms == "one" else of.hidden
    return of.layers * (norms + out) + attention * (qk + qkv) + recurrent + final


def parameters(of: Architecture) -> int:
    """Counts all parameters, a tied embedding once."""
    return sum(tensor.values for tensor in tensors(of)) + vectors(of) + of.other_parameters


def weights(of: Architecture, precision: str) -> int:
    """Gives the bytes of the weights.

    Args:
        of: the architecture; a vision tower counts as F16 beside a GGUF file.
        precision: one of `PRECISIONS`.
    """
    if precision in ("float32", "bf16"):
        return parameters(of) * (4 if precision == "float32" else 2)
    matrices = sum(stored(tensor, of, precision) for tensor in tensors(of))
    return matrices + 4 * vectors(of) + 2 * of.other_parameters


def stored(tensor: Tensor, of: Architecture, precision: str) -> int:
    """Gives the bytes of one tensor in a GGUF file."""
    size, values = BLOCKS[tensor_type(tensor, of, precision)]
    return tensor.rows * -(-tensor.columns // values) * size


def tensor_type(tensor: Tensor, of: Architecture, precision: str) -> str:
    """Gives the type of one tensor in a GGUF file of a type.

    As ``llama_tensor_get_type`` of llama.cpp's ``llama-quant.cpp`` chooses it without an
    importance matrix; a row that does not divide by 256 gets the next type with shorter blocks.
    """
    if tensor.name in ("ffn_gate_inp",) or tensor.name.startswith("gate_"):
        return "F32"
    wanted = _mixed(tensor, of) if precision == "Q4_K_M" else precision
    if wanted in NARROWER and tensor.columns % 256:
        wanted = NARROWER[wanted]
    return "F16" if wanted not in ("F16", "F32") and tensor.columns % 32 else wanted


def _mixed(tensor: Tensor, of: Architecture) -> str:
    if tensor.name == ("token_embd" if of.tied else "output"):
        return "Q6_K"
    if of.experts == 8 and tensor.name in ("attn_k", "attn_v"):
        return "Q8_0"
    if tensor.name == "attn_qkv" or (of.experts == 8 and tensor.name == "attn_output"):
        return "Q5_K"
    if tensor.name in ("attn_v", "ffn_down") and _more_bits(tensor.layer, of.layers):
        return "Q6_K"
    return "Q4_K"


def _more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def kv_cache(of: Architecture, context: int, parallel: int = 1) -> int:
    """Gives the bytes of the keys and values that a server keeps, in F16.

    A layer keeps ``2 * kv_heads * head_dim`` values a token (arXiv:2305.13245, grouped-query
    attention). One with a sliding window keeps the window for each conversation and one batch
    more, as llama.cpp's ``llama-kv-cache-iswa.cpp`` does. A recurrent layer keeps its state in
    float32 and the last three inputs of its convolution (arXiv:2402.19427).

    Args:
        of: the architecture.
        context: tokens of one conversation.
        parallel: conversations at the same time.
    """
    whole = context * parallel
    windowed = min(whole, of.window * parallel + UBATCH)
    full = of.layers - of.window_layers - of.recurrent_layers
    cells = full * whole + of.window_layers * windowed
    state = of.recurrent_layers * parallel * of.hidden * (4 + 2 * 3)
    return cells * 2 * of.kv_width * 2 + state


UBATCH: Final = 512
"""Tokens that llama.cpp computes at once: its default ``n_ubatch``."""
ENGINE: Final = 60 * MIB
"""Python with llama.cpp loaded; measured."""
SERVER: Final = 190 * MIB
"""The same with KServe's server around it, as ``wherry serve`` runs it; measured."""
VOCABULARY: Final = 180
"""Bytes llama.cpp keeps of a token of the vocabulary: text, score, hash entry; measured."""
SLOT: Final = 24
"""Bytes a conversation keeps for each token of the vocabulary: logits and candidates."""


def serve(
    of: Architecture, quantization: str, context: int, parallel: int = 1, *, server: bool = True
) -> Estimate:
    """Estimates the peak of serving a GGUF file with llama.cpp on a CPU.

    The file is mapped: what is repacked stands twice until the kernel needs the pages.

    Args:
        of: the architecture.
        quantization: ``F16``, ``Q8_0`` or ``Q4_K_M``.
        context: tokens of one conversation.
        parallel: conversations at the same time.
        server: whether KServe's server stands around llama.cpp.
    """
    repacked = _repacked(of, quantization)
    return Estimate(
        {
            "weights": weights(of, quantization),
            "repacked": repacked,
            "kv cache": kv_cache(of, context, parallel),
            "compute": _compute(of),
            "vocabulary": of.vocab * (VOCABULARY + SLOT * (parallel - 1)),
            "runtime": SERVER if server else ENGINE,
        },
        reclaimable=repacked,
    )


def _repacked(of: Architecture, quantization: str) -> int:
    # llama.cpp lays Q4_K out anew for AVX2 and NEON, beside the mapped file:
    # ggml/src/ggml-cpu/repack.cpp. An embedding is looked up in, not multiplied, and stays.
    matrices = (tensor for tensor in tensors(of) if tensor.name != "token_embd")
    return sum(
        stored(tensor, of, quantization)
        for tensor in matrices
        if tensor_type(tensor, of, quantization) == "Q4_K"
    )


def _compute(of: Architecture) -> int:
    # What one layer holds at once for a batch, in float32, and half as much again for what the
    # threads convert it to; later layers use the same space.
    wide = 3 * of.intermediate + 4 * of.hidden + 2 * (of.query_width + of.kv_width)
    return UBATCH * wide * 6


TRAINER: Final = 450 * MIB
"""torch, transformers and PEFT loaded; measured."""
HELD: Final = 2.0
"""glibc's malloc keeps about as much again as the activations take, in holes between them, for
its threshold for giving memory back grows with what is freed (mallopt(3)); measured 1.9 to 2.1."""
HELD_TRIMMED: Final = 1.1
"""The same with that threshold fixed; measured 1.0."""
LOGIT_COPIES: Final = 3
"""Logits, their log-softmax and its gradient; measured 2.8."""


def tune(of: Architecture, recipe: Recipe) -> Estimate:
    """Estimates the peak of tuning on a CPU with Wherry's own loop.

    The weights stand once. A trained value has its gradient, AdamW's two moments (arXiv:1412.6980)
    and its best value so far beside it, in float32. Activations are kept for the way back in the
    layers that are trained, see `activations`. The head is applied to answers alone.

    Args:
        of: the architecture.
        recipe: method, batch and lengths.
    """
    size = 4 if recipe.precision == "float32" else 2
    kept = 4 if recipe.method == "full" else size  # what is trained is not rounded
    answers = recipe.batch * recipe.completion
    held = HELD_TRIMMED if recipe.trimmed else HELD
    return Estimate(
        {
            "weights": parameters(of) * kept,
            "gradients and optimizer": _trained(of, recipe),
            "activations": int(held * activations(of, recipe) * size),
            "logits": answers * of.vocab * 4 * LOGIT_COPIES,
            "runtime": TRAINER,
        }
    )


BESIDE: Final = 4
"""Values beside a trained one: its gradient, AdamW's two moments, and the best so far."""


def _trained(of: Architecture, recipe: Recipe) -> int:
    if recipe.method == "full":
        return parameters(of) * BESIDE * 4
    return adapter(of, recipe) * (1 + BESIDE) * 4  # its own weights stand beside the model's


def adapter(of: Architecture, recipe: Recipe) -> int:
    """Counts the values of LoRA on every linear layer but the head (arXiv:2106.09685)."""
    lowest = int(of.layers * recipe.frozen_share)
    inside = (tensor for tensor in tensors(of) if tensor.layer >= lowest)
    return sum(recipe.rank * (tensor.rows + tensor.columns) for tensor in inside)


def activations(of: Architecture, recipe: Recipe) -> int:
    """Counts the values that the forward pass keeps for the backward pass.

    In a trained layer, for each token: the residual stream before each of the two norms and what
    each norm gives; queries and attention's result; keys and values; gate, its activation, up and
    their product; and what each LoRA matrix hands to the next. So torch's
    ``saved_tensors_hooks`` counts it for a Llama layer. Below the lowest trained layer nothing is
    kept. Where prompts share a beginning, attention takes a mask, and keys and values are kept
    once for each query head.
    """
    trained = of.layers - (0 if recipe.method == "full" else int(of.layers * recipe.frozen_share))
    tokens = recipe.batch * recipe.length
    streams = {"two": 4, "four": 6, "one": 2}[of.norms] * of.hidden
    inner = (4 if of.gated else 2) * of.experts * of.intermediate
    a_token = streams + 2 * of.query_width + inner + _handed_on(of, recipe)
    reach = recipe.batch * (recipe.length + recipe.shared)
    keys = 2 * (of.query_width if recipe.shared else of.kv_width) * reach
    return trained * (tokens * a_token + keys)


def _handed_on(of: Architecture, recipe: Recipe) -> int:
    if recipe.method == "full":
        return 0
    return recipe.rank * sum(tensor.layer == of.layers - 1 for tensor in tensors(of))
