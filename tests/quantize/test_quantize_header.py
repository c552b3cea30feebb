"""A GGUF file that is cut, prolonged or damaged is found out."""

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from wherry.contracts.errors import FormatError
from wherry.quantize.header import Entry, Wanted, check, read_table, verify

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


def test_a_whole_file_from_elsewhere_passes(file: Path) -> None:
    verify(file)


def test_a_file_from_elsewhere_may_end_without_padding(file: Path) -> None:
    end = read_table(file)["b.weight"].start + 10
    file.write_bytes(file.read_bytes()[:end])
    verify(file)


@pytest.mark.parametrize("change", [-40, -23, 1, 32, 4096])
def test_a_file_from_elsewhere_cut_short_or_with_something_behind_is_refused(
    file: Path, change: int
) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:change] if change < 0 else data + b"x" * change)
    with pytest.raises(FormatError, match=r"m\.gguf is not a whole GGUF file"):
        verify(file)


def test_something_before_the_first_tensor_is_refused(file: Path) -> None:
    data, start = file.read_bytes(), read_table(file)["a.weight"].start
    for name in (b"a.weight", b"b.weight"):
        at = data.index(name) + len(name)
        (dimensions,) = struct.unpack_from("<I", data, at)
        at += 4 + 8 * dimensions + 4
        (offset,) = struct.unpack_from("<Q", data, at)
        data = data[:at] + struct.pack("<Q", offset + 64) + data[at + 8 :]
    file.write_bytes(data[:start] + b"x" * 64 + data[start:])
    with pytest.raises(FormatError, match=rf"a\.weight begins at byte {start + 64}"):
        verify(file)
    with pytest.raises(FormatError, match=rf"a\.weight is .* at byte {start}"):
        check(file, WANTED)


def _with_hole(file: Path, name: str, size: int) -> None:
    start = read_table(file)[name].start
    data = file.read_bytes()
    file.write_bytes(data[:start] + bytes(size) + data[start + size :])


@pytest.mark.parametrize(("name", "size"), [("a.weight", 384), ("b.weight", 10)])
def test_weights_that_were_never_written_are_refused(file: Path, name: str, size: int) -> None:
    _with_hole(file, name, size)
    with pytest.raises(FormatError, match=rf"{name} is {size} bytes of zeros"):
        verify(file)
    with pytest.raises(FormatError, match=rf"{name} is {size} bytes of zeros"):
        check(file, WANTED)


def test_zeros_that_were_meant_are_not_refused(file: Path) -> None:
    _with_hole(file, "b.weight", 10)
    check(file, {**WANTED, "b.weight": Wanted((5,), 1, 10, zero=True)})


def test_weights_whose_last_number_alone_is_not_zero_pass(file: Path) -> None:
    _with_hole(file, "a.weight", 380)
    verify(file)
    check(file, WANTED)


def test_biases_and_an_adapters_halves_may_be_zero(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    for name in ("blk.0.attn_q.bias", "blk.0.attn_q.weight.lora_b"):
        writer.add_tensor(name, np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    verify(file)


def test_a_hole_is_found_behind_a_large_tensor_as_well(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_tensor("a.weight", np.ones((300, 1000), np.float32))
    writer.add_tensor("b.weight", np.zeros((300, 1000), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(FormatError, match=r"b\.weight is 1200000 bytes of zeros"):
        verify(file)


def _with_entry(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert data.count(old) == 1
    file.write_bytes(data.replace(old, new))


def _entry(shape: tuple[int, int], kind: int, offset: int) -> bytes:
    return b"a.weight" + struct.pack("<IQQIQ", 2, *shape, kind, offset)


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (_entry((32, 3), 99, 0), "unknown type 99"),
        (_entry((32, 3), 4, 0), "unknown type 4"),  # a number that ggml gave up
        (_entry((31, 3), 8, 0), r"a\.weight of shape \(3, 31\) cannot be Q8_0"),
        (_entry((0, 3), 0, 0), "cannot be F32"),
        (_entry((32, 3), 0, 7), "begins at byte"),
        (_entry((1 << 40, 3), 0, 0), "begins at byte|expected"),
        (_entry((32, 3), 0, 1 << 62), "begins at byte"),
        (b"b.weight" + _entry((32, 3), 0, 0)[8:], "two tensors have one name"),
    ],
)
def test_a_tensor_table_that_cannot_be_is_refused(file: Path, new: bytes, why: str) -> None:
    _with_entry(file, _entry((32, 3), 0, 0), new)
    with pytest.raises(FormatError, match=why):
        verify(file)


def test_a_key_that_is_given_twice_is_refused(file: Path) -> None:
    _with_entry(file, b"tokenizer.ggml.scores", b"tokenizer.ggml.tokens")
    with pytest.raises(FormatError, match=r"two values have the key 'tokenizer\.ggml\.tokens'"):
        verify(file)


def test_a_header_that_nests_arrays_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.gguf"
    key = struct.pack("<Q", 1) + b"k" + struct.pack("<I", 9)
    file.write_bytes(
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<IQ", 9, 1) * 200_000
    )
    with pytest.raises(FormatError, match="header is damaged"):
        verify(file)


@given(at=some.integers(0, 400), byte=some.integers(0, 255), length=some.integers(0, 700))
@example(at=4, byte=2, length=700)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_changed_in_a_header_is_refused_or_harmless(
    file: Path, at: int, byte: int, length: int
) -> None:
    data = bytearray(file.read_bytes())
    data[at : at + 1] = bytes([byte])
    damaged = file.with_name("damaged.gguf")
    damaged.write_bytes(data[:length])
    try:
        verify(damaged)
    except FormatError:
        return
    # What still passes describes every byte of the file.
    table = read_table(damaged)
    assert len(data[:length]) >= max(entry.start for entry in table.values())


@given(noise=some.binary(max_size=300))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_behind_the_magic_is_refused(tmp_path: Path, noise: bytes) -> None:
    file = tmp_path / "noise.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<I", 3) + noise)
    with pytest.raises(FormatError):
        verify(file)
