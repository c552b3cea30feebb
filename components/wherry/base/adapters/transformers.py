"""Rewrites a GGUF file or a model folder as one folder in float32, through transformers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from gguf import GGUFReader, GGUFValueType, LlamaFileType
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar
from transformers.utils.quantization_config import GgufConfig

from wherry.base.step import Facts


def _smollm() -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


PRE_TOKENIZERS: Final[dict[str, Callable[[], Any]]] = {"smollm": _smollm}
"""By GGUF's ``tokenizer.ggml.pre``: what transformers' loader of GGUF files gets wrong."""


class TransformersConverter:
    """A converter that loads the model and saves it again, as float32."""

    def convert(self, source: Path, folder: Path) -> Facts:
        """Writes the model for transformers into `folder`; see `wherry.base.step.Converter`."""
        disable_progress_bar()
        return _from_gguf(source, folder) if source.is_file() else _from_folder(source, folder)


class FolderTokenizer:
    """The tokenizer of a folder for transformers."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a text."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens


def _from_gguf(source: Path, folder: Path) -> Facts:
    meta = _metadata(source)
    where: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        dtype=torch.float32,
        # Else the model counts as quantized, and save_pretrained refuses it.
        quantization_config=GgufConfig(dequantize=True),
        **where,
    )
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
    if pre := PRE_TOKENIZERS.get(meta.get("tokenizer.ggml.pre", "")):
        tokenizer.backend_tokenizer.pre_tokenizer = pre()
    _save(model, tokenizer, folder)
    kind = LlamaFileType(meta.get("general.file_type", 0)).name.removeprefix("MOSTLY_")
    return Facts(
        template=meta.get("tokenizer.chat_template", ""),
        precision=f"float32, dequantized from {kind}",
        licence=meta.get("general.license", ""),
    )


def _from_folder(source: Path, folder: Path) -> Facts:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    _save(model, tokenizer, folder)
    return Facts(template=tokenizer.chat_template or "", precision="float32")


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    # One shard: a model's identity is the digest of one file.
    model.save_pretrained(folder, max_shard_size="1000GB")
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # transformers writes the weights readable by their owner alone


def _metadata(source: Path) -> dict[str, Any]:
    """Reads the fields of a GGUF file that are no lists; those are the vocabulary."""
    fields = GGUFReader(source).fields.values()
    return {f.name: f.contents() for f in fields if f.types and f.types[0] != GGUFValueType.ARRAY}
