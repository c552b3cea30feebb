"""Copies a GGUF file with another chat template in its header; not a weight is changed."""

from pathlib import Path
from typing import Final

from gguf import GGUFReader, GGUFValueType, GGUFWriter

_TEMPLATE: Final = "tokenizer.chat_template"
_TEMPLATES: Final = ("tokenizer.chat_template.", "tokenizer.chat_templates")
"""Further ones, for tools and the like, by name."""
_END: Final = "tokenizer.ggml.eos_token_id"
_ARCHITECTURE: Final = "general.architecture"


def copy_with(source: Path, target: Path, template: str, end: int | None) -> None:
    """Copies a GGUF file.

    Args:
        source: the file.
        target: the file to make.
        template: its chat template from now on; empty for none.
        end: the token that ends a turn, or None to leave that as it is.
    """
    reader = GGUFReader(source)
    names = reader.fields
    writer = GGUFWriter(target, names[_ARCHITECTURE].contents(), endianess=reader.endianess)
    writer.data_alignment = reader.alignment
    for name, field in names.items():
        kind, *inner = field.types
        # The writer refuses an empty list, which says no more than none.
        empty = kind == GGUFValueType.ARRAY and not inner
        own = name == _ARCHITECTURE or name.startswith("GGUF.") or _replaced(name, end)
        if not own and not empty:
            writer.add_key_value(name, field.contents(), kind, inner[-1] if inner else None)
    if template:
        writer.add_chat_template(template)
    if end is not None:
        writer.add_eos_token_id(end)
    _copy_tensors(reader, writer)


def _replaced(name: str, end: int | None) -> bool:
    return name == _TEMPLATE or name.startswith(_TEMPLATES) or (name == _END and end is not None)


def _copy_tensors(reader: GGUFReader, writer: GGUFWriter) -> None:
    for tensor in reader.tensors:
        data = tensor.data
        writer.add_tensor_info(tensor.name, data.shape, data.dtype, data.nbytes, tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        writer.write_tensor_data(tensor.data, tensor_endianess=reader.endianess)
    writer.close()
