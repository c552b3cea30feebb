"""Writes merged weights as GGUF, with the metadata of the file that the base came from.

The tokenizer, its merges, the chat template and the hyperparameters are copied verbatim from
the base's own GGUF, so nothing of them is guessed. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray

from wherry.contracts.errors import FormatError
from wherry.quantize.header import Wanted, check
from wherry.quantize.step import tensor_type

Tensors = Mapping[str, NDArray[np.float32]]
Encode = Callable[[NDArray[np.float32], str], NDArray[Any]]
"""Turns a matrix into the bytes of a GGUF type, given by name."""

_FILE_TYPES: Final = {
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_K_M": gguf.LlamaFileType.MOSTLY_Q4_K_M,
    "Q5_K_M": gguf.LlamaFileType.MOSTLY_Q5_K_M,
    "Q6_K": gguf.LlamaFileType.MOSTLY_Q6_K,
}
_OWN_KEYS: Final = (
    "GGUF.",  # the reader's own names for counts
    "general.architecture",
    "general.alignment",  # we write the default
    "general.file_type",
    "general.quantization_version",
)
"""Metadata that the writer makes itself."""
_ROPE_TABLES: Final = ("rope_freqs.weight",)
"""Tensors that follow from the configuration; transformers keeps no weights of them."""


@dataclass(frozen=True)
class Source:
    """The GGUF file that a base model was taken from."""

    path: Path
    reader: gguf.GGUFReader

    @classmethod
    def of_folder(cls, folder: Path) -> "Source":
        """Opens the one GGUF file of a base's folder.

        Raises:
            FormatError: if there is not exactly one, it is no GGUF, or of an architecture
                that cannot be written.
        """
        files = sorted(folder.glob("*.gguf"))
        if len(files) != 1:
            raise FormatError(
                f"{folder} holds {len(files)} GGUF files, expected the one that the base was "
                "taken from.",
                remedy="Take the base from a GGUF: its tokenizer is copied into the new file.",
            )
        source = cls(files[0], _reader(files[0]))
        if source.architecture not in _ARCHITECTURES:
            raise FormatError(
                f"The base's architecture {source.architecture!r} cannot be written as GGUF yet.",
                remedy=f"Use a base of one of: {', '.join(_ARCHITECTURES)}.",
            )
        return source

    def value(self, key: str) -> Any:
        """Gives a metadata value, or None."""
        field = self.reader.get_field(key)
        return None if field is None else field.contents()

    @property
    def architecture(self) -> str:
        """Such as ``llama``."""
        return str(self.value("general.architecture"))

    @property
    def template(self) -> str:
        """The chat template's text; empty if there is none."""
        return str(self.value("tokenizer.chat_template") or "")

    @property
    def layers(self) -> int:
        """The number of blocks."""
        return int(self.value(f"{self.architecture}.block_count"))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape as numpy has it, the row length last."""
        return {
            tensor.name: tuple(int(n) for n in reversed(tensor.shape))
            for tensor in self.reader.tensors
        }


def _llama(name: str, weights: NDArray[np.float32], source: Source) -> NDArray[np.float32]:
    # llama.cpp rotates neighbouring pairs, transformers the two halves of a head.
    for suffix, key in (("attn_q", "head_count"), ("attn_k", "head_count_kv")):
        if name.endswith((f"{suffix}.weight", f"{suffix}.bias")):
            heads = source.value(f"llama.attention.{key}") or source.value(
                "llama.attention.head_count"
            )
            return pair_rows(weights, int(heads))
    return weights


_ARCHITECTURES: Final = {"llama": _llama}
"""How each architecture's weights differ from transformers' form."""


def pair_rows(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Orders a head's rows as llama.cpp's rotary embedding pairs them.

    Args:
        weights: shape [heads * size, …]; rows i and i + size/2 of a head become neighbours.
        heads: query heads, or key heads for the keys.
    """
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def to_gguf(weights: Tensors, source: Source) -> dict[str, NDArray[np.float32]]:
    """Names and orders transformers' weights as GGUF does, in the source file's order.

    Raises:
        FormatError: if a tensor of the source is missing, too many, or of another shape.
    """
    change = _ARCHITECTURES[source.architecture]
    names = gguf.get_tensor_name_map(_architecture(source.architecture), source.layers)
    made = {}
    for old, values in weights.items():
        new = names.get_name(old, try_suffixes=(".weight", ".bias")) or old
        made[new] = change(new, values, source)
    made |= {name: _copied(name, source) for name in _ROPE_TABLES if name in source.shapes}
    _check_complete(made, source)
    return {name: made[name] for name in source.shapes}


def _architecture(name: str) -> gguf.MODEL_ARCH:
    return next(arch for arch, known in gguf.MODEL_ARCH_NAMES.items() if known == name)


def _copied(name: str, source: Source) -> NDArray[np.float32]:
    tensor = next(tensor for tensor in source.reader.tensors if tensor.name == name)
    return np.asarray(gguf.dequantize(tensor.data, tensor.tensor_type))


def _check_complete(made: Tensors, source: Source) -> None:
    wanted, found = source.shapes, {name: values.shape for name, values in made.items()}
    if wrong := sorted(name for name in wanted | found if wanted.get(name) != found.get(name)):
        raise FormatError(
            f"{len(wrong)} tensors do not match {source.path.name}, such as {wrong[0]}: shape "
            f"{found.get(wrong[0])}, expected {wanted.get(wrong[0])}.",
            remedy="Use the base that the adapter was trained on, without new tokens.",
        )


def write(path: Path, tensors: Tensors, source: Source, quantization: str, encode: Encode) -> None:
    """Writes a GGUF file and checks what then lies on the disk.

    Args:
        path: the new file.
        tensors: float32, in GGUF's naming and order, see `to_gguf`.
        source: whose metadata is copied.
        quantization: the file's type, such as ``Q8_0``.
        encode: makes a tensor's bytes.

    Raises:
        FormatError: if the written file is not what was meant.
    """
    writer = gguf.GGUFWriter(path, source.architecture)
    _copy_metadata(writer, source, quantization)
    tied, meant = "output.weight" not in tensors, {}
    for name, values in tensors.items():
        label = tensor_type(name, values.shape, quantization, layers=source.layers, tied=tied)
        kind, data = gguf.GGMLQuantizationType[label], encode(values, label)
        writer.add_tensor(name, data, raw_dtype=kind)
        meant[name] = Wanted(values.shape, kind.value, data.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    check(path, meant)


def _copy_metadata(writer: gguf.GGUFWriter, source: Source, quantization: str) -> None:
    for key, field in source.reader.fields.items():
        if not key.startswith(_OWN_KEYS):
            kind, *inner = field.types
            writer.add_key_value(key, field.contents(), kind, inner[-1] if inner else None)
    writer.add_file_type(_FILE_TYPES[quantization])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _reader(path: Path) -> gguf.GGUFReader:
    try:
        return gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError) as error:
        raise FormatError(
            f"{path} is no readable GGUF file: {error}.", remedy="Take or make it again."
        ) from error
