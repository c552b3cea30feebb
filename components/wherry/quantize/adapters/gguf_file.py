"""Writes merged weights as GGUF, with the metadata of the file that the base came from.

The tokenizer, its merges, the chat template and the hyperparameters are copied verbatim from
the base's own GGUF, so nothing of them is guessed. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray

from wherry.contracts.errors import FormatError
from wherry.quantize.ending import put
from wherry.quantize.families import FAMILIES
from wherry.quantize.header import Wanted, check, verify
from wherry.quantize.tensor_types import Shape, tensor_type

Tensors = Mapping[str, NDArray[np.float32]]
Importance = Mapping[str, NDArray[np.float32]]
"""How much each input channel of a matrix matters: the mean square of what it is multiplied with,
shape [row length], by the tensor's GGUF name."""
Encode = Callable[[NDArray[np.float32], str, NDArray[np.float32] | None], NDArray[Any]]
"""Turns a matrix into the bytes of a GGUF type, given by name, with its importance or None."""

_FILE_TYPES: Final = {kind.name.removeprefix("MOSTLY_"): kind for kind in gguf.LlamaFileType}
_OWN_KEYS: Final = (
    "GGUF.",  # the reader's own names for counts
    "general.architecture",
    "general.alignment",  # we write the default
    "general.file_type",
    "general.quantization_version",
    "quantize.imatrix.",  # tells of the matrix that the source was made with, not of ours
)
"""Metadata that the writer makes itself, or that is not true of what it writes."""
_ROPE_TABLES: Final = (
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
)
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
            FormatError: if there is not exactly one, it is not whole, or of an architecture
                that cannot be written, such as one of experts.
        """
        files = sorted(folder.glob("*.gguf"))
        if len(files) != 1:
            raise FormatError(
                f"{folder} holds {len(files)} GGUF files, expected the one that the base was "
                "taken from.",
                remedy="Take the base from a GGUF: its tokenizer is copied into the new file.",
            )
        verify(files[0])
        source = cls(files[0], _reader(files[0]))
        if source.architecture not in FAMILIES:
            raise FormatError(
                f"The base's architecture {source.architecture!r} cannot be written as GGUF yet.",
                remedy=f"Use a base of one of: {', '.join(FAMILIES)}.",
            )
        _check_hyperparameters(source)
        return source

    def value(self, key: str) -> Any:
        """Gives a metadata value, or None.

        Raises:
            FormatError: if it is a text that is not UTF-8.
        """
        field = self.reader.get_field(key)
        return None if field is None else _contents(field)

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
    def gqa(self) -> int:
        """Query heads that share a key head."""
        heads = self.value(f"{self.architecture}.attention.head_count")
        keys = self.value(f"{self.architecture}.attention.head_count_kv") or heads
        return int(heads) // int(keys)

    def named(self, old: str) -> str:
        """Gives the GGUF name of one of transformers' weights; unknown names stay as they are."""
        return str(self._names.get_name(old, try_suffixes=(".weight", ".bias")) or old)

    @cached_property
    def _names(self) -> gguf.TensorNameMap:
        return gguf.get_tensor_name_map(_architecture(self.architecture), self.layers)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape as numpy has it, the row length last."""
        return {
            tensor.name: tuple(int(n) for n in reversed(tensor.shape))
            for tensor in self.reader.tensors
        }


def _check_hyperparameters(source: Source) -> None:
    """Refuses a source that lacks what conversion asks of it, before minutes are spent."""
    name = source.architecture
    if experts := source.value(f"{name}.expert_count"):
        raise FormatError(
            f"The base has {experts} experts a layer; models of experts cannot be written as GGUF "
            "yet.",
            remedy="Use a dense base.",
        )
    for key in (f"{name}.block_count", f"{name}.attention.head_count"):
        if not isinstance(found := source.value(key), int) or found < 1:
            raise FormatError(
                f"{source.path.name} says {key}={found!r}, expected a whole number of at least 1.",
                remedy="Take the base from a whole GGUF file.",
            )


def to_gguf(weights: Tensors, source: Source) -> dict[str, NDArray[np.float32]]:
    """Names and orders transformers' weights as GGUF does, in the source file's order.

    Raises:
        FormatError: if a tensor of the source is missing, too many, or of another shape.
    """
    change = FAMILIES[source.architecture]
    made = {}
    for old, values in weights.items():
        new = source.named(old)
        made[new] = change(new, values, source.value)
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


def write(
    path: Path,
    tensors: Tensors,
    source: Source,
    quantization: str,
    encode: Encode,
    importance: Importance | None = None,
) -> None:
    """Writes a GGUF file and checks what then lies on the disk.

    Args:
        path: the new file.
        tensors: float32, in GGUF's naming and order, see `to_gguf`.
        source: whose metadata is copied.
        quantization: the file's type, such as ``Q8_0``.
        encode: makes a tensor's bytes.
        importance: what the encoder should spare most, or None.

    Raises:
        FormatError: if the written file is not what was meant.
    """
    writer = gguf.GGUFWriter(path, source.architecture)
    _copy_metadata(writer, source, quantization)
    tied, weighed = "output.weight" not in tensors, importance is not None
    model, meant = Shape(source.layers, tied, source.gqa, weighed), {}
    for name, values in tensors.items():
        label = tensor_type(name, values.shape, quantization, model)
        kind = gguf.GGMLQuantizationType[label]
        data = encode(values, label, (importance or {}).get(name))
        writer.add_tensor(name, data, raw_dtype=kind)
        meant[name] = Wanted(values.shape, kind.value, data.nbytes, zero=not data.any())
    put(writer, path)
    check(path, meant)


def _copy_metadata(writer: gguf.GGUFWriter, source: Source, quantization: str) -> None:
    for key, field in source.reader.fields.items():
        kind, *inner = field.types
        # The writer refuses an empty list, which says no more than none.
        if not key.startswith(_OWN_KEYS) and (inner or kind != gguf.GGUFValueType.ARRAY):
            writer.add_key_value(key, _contents(field), kind, inner[-1] if inner else None)
    writer.add_file_type(_FILE_TYPES[quantization])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _contents(field: gguf.ReaderField) -> Any:
    try:
        return field.contents()
    except UnicodeDecodeError as error:
        raise FormatError(
            f"The GGUF file's {field.name} is not UTF-8: {error}.", remedy="Take the base again."
        ) from error


def _reader(path: Path) -> gguf.GGUFReader:
    try:
        return gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError) as error:
        raise FormatError(
            f"{path} is no readable GGUF file: {error}.", remedy="Take or make it again."
        ) from error
