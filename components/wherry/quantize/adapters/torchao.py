"""Quantizes a model for GPUs, weights alone, as a folder for transformers and vLLM."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TorchAoConfig
from transformers.utils.logging import disable_progress_bar

from wherry.contracts import Message
from wherry.contracts.errors import ExtraMissingError, FormatError
from wherry.quantize.step import Logits, Rendered, Sample

WEIGHTS_NAME: Final = "model.safetensors"
_GROUP: Final = 128
"""Values of a row that share a scale in INT4."""


def write(merged: Path, folder: Path, kind: str) -> Path:
    """Writes the quantized model and its tokenizer into a folder.

    Args:
        merged: the folder of the unquantized model, for transformers.
        folder: an empty folder.
        kind: ``INT8``, one scale a row, or ``INT4``, one a group of 128 values.

    Returns:
        The weights' file, safetensors.

    Raises:
        ExtraMissingError: on INT4 without a CUDA device: its packing has no CPU form.
        FormatError: if torchao refuses the model's shapes.
    """
    disable_progress_bar()
    if kind == "INT4" and not torch.cuda.is_available():
        raise ExtraMissingError(
            "INT4 needs a CUDA device to be packed on, this machine has none.",
            remedy="Choose INT8, or Q4_K_M for CPUs, or run this stage on a GPU.",
        )
    recipe = Int8WeightOnlyConfig() if kind == "INT8" else Int4WeightOnlyConfig(group_size=_GROUP)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            merged,
            dtype=torch.bfloat16,
            quantization_config=TorchAoConfig(recipe),
            device_map="cuda" if torch.cuda.is_available() else "cpu",
            local_files_only=True,
            use_safetensors=True,
        )
    except (RuntimeError, ValueError, ImportError) as error:
        why = str(error).partition("\n")[0]
        raise FormatError(
            f"torchao cannot make {kind} of this model: {why}.",
            remedy="Choose INT8, or a GGUF type.",
        ) from error
    model.save_pretrained(folder, max_shard_size="1000GB")
    AutoTokenizer.from_pretrained(merged, local_files_only=True).save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # transformers writes the weights readable by their owner alone
    return folder / WEIGHTS_NAME


class QuantizedModel:
    """A quantized folder, read back from the disk, for its logits.

    Args:
        folder: what `write` made.
        threads: CPU threads; 0 means all that this process may use.
    """

    def __init__(self, folder: Path, *, threads: int) -> None:
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, device_map=self._device, local_files_only=True, use_safetensors=True
        ).eval()

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
