"""What a base's GGUF file must say of itself before anything is made of it."""

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from wherry.contracts.errors import FormatError
from wherry.quantize.adapters.gguf_file import Source, write
from wherry.quantize.adapters.llamacpp import encode


def _source(folder: Path, architecture: str = "llama", **numbers: int) -> Source:
    writer = gguf.GGUFWriter(folder / "source.gguf", architecture)
    writer.add_name("Tiny")
    told = {"block_count": 1, "attention.head_count": 2, **numbers}
    for key, value in told.items():
        if value >= 0:
            writer.add_uint32(f"{architecture}.{key}", value)
    writer.add_string("quantize.imatrix.dataset", "somebody's texts")
    writer.add_tensor("token_embd.weight", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Source.of_folder(folder)


def test_a_dense_model_is_opened(tmp_path: Path) -> None:
    source = _source(tmp_path, expert_count=0)
    assert (source.layers, source.gqa) == (1, 1)


def test_a_model_of_experts_is_refused_as_such_though_its_architecture_is_known(
    tmp_path: Path,
) -> None:
    with pytest.raises(FormatError, match="8 experts a layer") as refused:
        _source(tmp_path, expert_count=8)
    assert refused.value.remedy == "Use a dense base."


def test_an_architecture_of_experts_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="'qwen3moe' cannot be written as GGUF yet"):
        _source(tmp_path, "qwen3moe", expert_count=128)


@pytest.mark.parametrize("value", [-1, 0])
@pytest.mark.parametrize("key", ["block_count", "attention.head_count"])
def test_what_a_source_must_say_and_does_not_is_named(tmp_path: Path, key: str, value: int) -> None:
    with pytest.raises(FormatError, match=rf"llama\.{key}=(None|0), expected a whole number"):
        _source(tmp_path, **{key: value})


def test_a_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    _source(tmp_path)
    path = tmp_path / "source.gguf"
    path.write_bytes(path.read_bytes().replace(b"somebody", b"some\xff\xfedy"))
    source = Source.of_folder(tmp_path)
    with pytest.raises(FormatError, match=r"quantize\.imatrix\.dataset is not UTF-8"):
        source.value("quantize.imatrix.dataset")


def test_an_empty_list_is_left_out(tmp_path: Path) -> None:
    _source(tmp_path)
    path, made = tmp_path / "source.gguf", tmp_path / "made" / "m.gguf"
    made.parent.mkdir()
    text, empty = struct.pack("<IQ", 8, 4) + b"Tiny", struct.pack("<IIQ", 9, 8, 0)
    assert path.read_bytes().count(text) == 1
    path.write_bytes(path.read_bytes().replace(text, empty))
    source = Source.of_folder(tmp_path)
    assert source.value("general.name") == []
    write(made, {"token_embd.weight": np.ones((4, 32), np.float32)}, source, "F16", encode)
    assert "general.name" not in gguf.GGUFReader(made).fields


def test_what_is_true_of_the_source_alone_is_not_copied(tmp_path: Path) -> None:
    made = tmp_path / "made.gguf"
    write(
        made, {"token_embd.weight": np.ones((4, 32), np.float32)}, _source(tmp_path), "F16", encode
    )
    fields = gguf.GGUFReader(made).fields
    assert fields["general.name"].contents() == "Tiny"
    assert "quantize.imatrix.dataset" not in fields
