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

from wherry.base.adapters.gguf_header import copy_with
from wherry.base.adapters.positions import turn_as_file
from wherry.base.adapters.turns import end_turns_as_given, end_turns_as_own
from wherry.base.step import Facts
from wherry.contracts.errors import FormatError


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

    def convert(self, source: Path, folder: Path, template: str | None = None) -> Facts:
        """Writes the model for transformers into `folder`; see `wherry.base.step.Converter`."""
        disable_progress_bar()
        convert = _from_gguf if source.is_file() else _from_folder
        return convert(source, folder, template)

    def copy_with_template(self, source: Path, target: Path, facts: Facts) -> None:
        """Copies a GGUF file with the chat template and the end of a turn that it was given."""
        copy_with(source, target, facts.template, facts.end)


class FolderTokenizer:
    """The tokenizer of a folder for transformers."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a text."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens


def _from_gguf(source: Path, folder: Path, template: str | None) -> Facts:
    reader = _reader(source)
    meta = _metadata(reader)
    where: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    # Else the model counts as quantized, and save_pretrained refuses it.
    plain = {"quantization_config": GgufConfig(dequantize=True)}
    model = _loaded(source, source.parent, **where, **plain)
    turn_as_file(model.config, reader, meta)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
    if pre := PRE_TOKENIZERS.get(meta.get("tokenizer.ggml.pre", "")):
        tokenizer.backend_tokenizer.pre_tokenizer = pre()
    end = _spoken(model, tokenizer, template)
    _save(model, tokenizer, folder)
    kind = LlamaFileType(meta.get("general.file_type", 0)).name.removeprefix("MOSTLY_")
    return Facts(
        template=meta.get("tokenizer.chat_template", "") if template is None else template,
        precision=f"float32, dequantized from {kind}",
        licence=meta.get("general.license", ""),
        end=end,
    )


def _from_folder(source: Path, folder: Path, template: str | None) -> Facts:
    safe = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    model = _loaded(source, source, **safe)
    tokenizer = AutoTokenizer.from_pretrained(
        source, local_files_only=True, trust_remote_code=False
    )
    end = _spoken(model, tokenizer, template)
    _save(model, tokenizer, folder)
    return Facts(template=tokenizer.chat_template or "", precision="float32", end=end)


def _loaded(source: Path, place: Path, **how: Any) -> Any:
    """Loads a model in float32, every weight of it from the file.

    Raises:
        FormatError: if transformers cannot, or would fill in weights that are missing at random.
    """
    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32, output_loading_info=True, **how
        )
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's, not the model's
        raise FormatError(
            f"{source.name} cannot be loaded: {str(error).strip().partition(chr(10))[0]}",
            remedy="Choose a text model that transformers knows, as GGUF or in safetensors.",
        ) from error
    if missing := sorted(told["missing_keys"]):
        raise FormatError(
            f"{source.name} lacks {len(missing)} weights of a {type(model).__name__}, such as "
            f"{missing[0]}: they would be random.",
            remedy="Take the whole model; if it is one part of several, join them first "
            "(llama-gguf-split --merge).",
        )
    return model


def _reader(source: Path) -> GGUFReader:
    try:
        return GGUFReader(source)
    except (ValueError, IndexError, KeyError) as error:
        raise FormatError(
            f"{source.name} is no whole GGUF file: {error}.", remedy="Fetch or make it again."
        ) from error


def _spoken(model: Any, tokenizer: Any, template: str | None) -> int | None:
    """Settles how the model writes a conversation; gives the end of a turn in a given template."""
    if template is not None:
        return end_turns_as_given(model, tokenizer, template)
    end_turns_as_own(model, tokenizer)
    return None


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    # One shard: a model's identity is the digest of one file.
    model.save_pretrained(folder, max_shard_size="1000GB")
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # transformers writes the weights readable by their owner alone


def _metadata(reader: GGUFReader) -> dict[str, Any]:
    """Reads the fields of a GGUF file that are no lists; those are the vocabulary."""
    fields = reader.fields.values()
    return {f.name: f.contents() for f in fields if f.types and f.types[0] != GGUFValueType.ARRAY}
