"""A GGUF file that is cut, prolonged or damaged is found out."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from wherry.contracts.errors import FormatError
from wherry.quantize.header import Entry, Wanted, check, read_table

WANTED = {"a.weight": Wanted((3, 32), 0, 384), "b.weight": Wanted((5,), 1, 10)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("m")
    writer.add_token_list(["one", "two"])
    writer.add_token_scores([0.5, 1.5])
    writer.add_tensor("a.weight", np.ones((3, 32), np.float32))
    writer.add_tensor("b.weight", np.ones(5, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_table_is_what_the_gguf_package_reads(file: Path) -> None:
    assert read_table(file) == {
        tensor.name: Entry(
            tuple(int(n) for n in reversed(tensor.shape)),
            tensor.tensor_type.value,
            int(tensor.data_offset),
        )
        for tensor in gguf.GGUFReader(file).tensors
    }


def test_a_whole_file_passes(file: Path) -> None:
    check(file, WANTED)


@pytest.mark.parametrize("change", [-1, -200, 1, 4096])
def test_a_file_cut_short_or_prolonged_is_refused(file: Path, change: int) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:change] if change < 0 else data + bytes(change))
    with pytest.raises(FormatError, match=r"m\.gguf is not a whole GGUF file"):
        check(file, WANTED)


@pytest.mark.parametrize("length", [0, 3, 10, 40, 100, 150])
def test_a_file_that_ends_in_its_header_is_refused(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(FormatError, match="header is damaged"):
        read_table(file)


def test_another_format_is_refused(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04" + file.read_bytes()[4:])
    with pytest.raises(FormatError, match="does not begin with 'GGUF'"):
        read_table(file)


@pytest.mark.parametrize(
    "wanted",
    [
        {"a.weight": WANTED["a.weight"]},
        {**WANTED, "c.weight": Wanted((1,), 0, 4)},
        {**WANTED, "a.weight": Wanted((32, 3), 0, 384)},
        {**WANTED, "a.weight": Wanted((3, 32), 8, 384)},
    ],
)
def test_a_tensor_of_another_name_shape_or_type_is_refused(
    file: Path, wanted: dict[str, Wanted]
) -> None:
    with pytest.raises(FormatError, match="weight"):
        check(file, wanted)
