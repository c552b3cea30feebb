"""Quantizes a model for GPUs, weights alone, as a folder for transformers and vLLM.

The form is llm-compressor's ``pack-quantized``, which vLLM loads without a package of its own:
https://docs.vllm.ai/projects/llm-compressor. Each number is rounded to the nearest, which
needs no GPU; rows of data decide the scales alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from compressed_tensors.compressors import ModelCompressor, compress_module
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    apply_quantization_config,
    fake_quantize,
)
from compressed_tensors.quantization.utils import calculate_qparams, is_module_quantized
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from wherry.contracts import Message
from wherry.contracts.errors import FormatError
from wherry.cores import usable_cores
from wherry.quantize.step import Logits, Rendered, Sample

Importance = Mapping[str, NDArray[np.float32]]
"""How much each input channel of a matrix matters: the mean square of what it is multiplied with,
shape [row length], by the weight's name."""

WEIGHTS_NAME: Final = "model.safetensors"
_FORM: Final = "pack-quantized"
_HEAD: Final = "lm_head"
"""Stays as it is: small errors there change the answer most."""
_GROUPS: Final = (128, 64, 32)
"""Values of a row that may share a scale in INT4: what vLLM's kernels know, the smallest file
first."""
_SHARES: Final = tuple(1 - step / 40 for step in range(17))
"""Of the scale that leaves the largest value as it is: a smaller one serves the others better."""


def write(merged: Path, folder: Path, kind: str, importance: Importance | None = None) -> Path:
    """Writes the quantized model and its tokenizer into a folder.

    Args:
        merged: the folder of the unquantized model, for transformers.
        folder: an empty folder.
        kind: ``INT8``, one scale a row, or ``INT4``, one scale a group of values.
        importance: what INT4 should spare most, or None.

    Returns:
        The weights' file, safetensors.

    Raises:
        FormatError: if no group of INT4 fits the model's rows.
    """
    disable_progress_bar()
    model: Any = AutoModelForCausalLM.from_pretrained(
        merged, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    weighed = importance if kind == "INT4" else None
    found = _quantized(model, _arguments(model, kind), weighed or {})
    # What is not packed is kept as GPUs compute.
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="1000GB")
    ModelCompressor(quantization_config=found).update_config(str(folder))
    AutoTokenizer.from_pretrained(merged, local_files_only=True).save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # transformers writes the weights readable by their owner alone
    return folder / WEIGHTS_NAME


def _arguments(model: Any, kind: str) -> QuantizationArgs:
    if kind == "INT8":
        return QuantizationArgs(num_bits=8, strategy="channel", symmetric=True)
    rows = {
        module.in_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != _HEAD
    }
    fitting = [size for size in _GROUPS if not any(length % size for length in rows)]
    if not fitting:
        raise FormatError(
            f"INT4 needs rows that divide by {_GROUPS[-1]}, this model has rows of "
            f"{', '.join(map(str, sorted(rows)))}.",
            remedy="Choose INT8, or a GGUF type.",
        )
    # Without zero points: transformers cannot load those of groups unless told to unpack them.
    return QuantizationArgs(num_bits=4, strategy="group", group_size=fitting[0], symmetric=True)


def _quantized(
    model: Any, arguments: QuantizationArgs, importance: Importance
) -> QuantizationConfig:
    """Packs the matrices of all blocks in place, and gives what a reader must know of them."""
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
    told = QuantizationConfig(config_groups={"group_0": scheme}, format=_FORM, ignore=[_HEAD])
    apply_quantization_config(model, told, show_progress=False)
    for name, module in model.named_modules():
        if is_module_quantized(module):
            scale = _scale(module.weight.detach(), arguments, importance.get(f"{name}.weight"))
            module.weight_scale.data.copy_(scale)
            compress_module(module, _FORM)
    return QuantizationConfig.from_pretrained(model, _FORM)


def _scale(
    weights: torch.Tensor, arguments: QuantizationArgs, importance: NDArray[np.float32] | None
) -> torch.Tensor:
    """Gives one scale a group, [rows, groups]: that of the largest value, or of the least error."""
    shape = (-1, arguments.group_size or weights.shape[-1])
    groups = weights.unflatten(-1, shape)
    largest, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), arguments)
    if importance is None:
        return _kept(largest)
    matters = torch.from_numpy(importance)

    def error(scale: torch.Tensor) -> torch.Tensor:
        lost = fake_quantize(weights, scale, None, arguments) - weights
        return (lost.square() * matters).unflatten(-1, shape).sum(-1)

    tried = torch.stack([_kept(largest * share) for share in _SHARES])
    errors = torch.stack([error(scale) for scale in tried])
    return tried.gather(0, errors.argmin(0, keepdim=True))[0]


def _kept(scale: torch.Tensor) -> torch.Tensor:
    """Rounds a scale as the file keeps it, so that weights are divided by that very number."""
    return scale.bfloat16().float()


class QuantizedModel:
    """A quantized folder, read back from the disk, for its logits.

    Args:
        folder: what `write` made.
        threads: CPU threads; 0 means all that this process may use.
    """

    def __init__(self, folder: Path, *, threads: int) -> None:
        torch.set_num_threads(threads or usable_cores())
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        # Unpacked while it is read: there is no kernel for packed weights here.
        config.quantization_config["dequantize"] = True
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True
        )
        self._model: Any = model.eval().to(self._device)

    def close(self) -> None:
        """Frees the model."""
        self._model = None

    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        """Gives for each sample its logits, shape [kept positions, vocabulary]."""
        for sample in samples:
            with torch.inference_mode():
                found = self._model(
                    input_ids=torch.tensor([sample.ids], device=self._device),
                    logits_to_keep=torch.tensor(sample.keep, device=self._device),
                    use_cache=False,
                )
                logits = found.logits[0].float().cpu().numpy()
            yield logits

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders a conversation and opens the assistant's turn, as vLLM does."""
        turns = [msgspec.structs.asdict(message) for message in messages]
        text = str(
            self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        )
        return Rendered(text, tuple(self._tokenizer.encode(text, add_special_tokens=False)))
