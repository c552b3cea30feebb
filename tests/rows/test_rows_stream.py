"""Files of rows that are packed, cut off, made to exhaust memory, or no files at all."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import pytest
import zstandard

from tests.rows.reading import CHAT, line, read
from wherry.contracts.errors import FormatError, MissingError
from wherry.rows import SUFFIXES, read_batches
from wherry.rows.stream import CHUNK

GOOD = line() + b"\n"


def many(count: int) -> bytes:
    return b"".join(line(id=str(number)) + b"\n" for number in range(count))


def packed(data: bytes, packing: str) -> bytes:
    if packing == ".zst":
        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return gzip.compress(data) if packing else data


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", [".jsonl", ".NDJSON", ".json"])
def test_packed_rows_are_read_like_plain_ones(tmp_path: Path, packing: str, suffix: str) -> None:
    path = tmp_path / f"a.b{suffix}{packing}"
    path.write_bytes(packed(many(20_000), packing))
    batches = list(read_batches(path, "chat"))
    assert [n for batch in batches for n in batch.lines] == list(range(1, 20_001))
    assert sum(batch.bytes_read for batch in batches) == path.stat().st_size


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_members_one_after_the_other_are_one_text(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"a.jsonl{packing}"
    half = len(GOOD) // 2
    parts = [GOOD[:half], GOOD[half:], b"", GOOD, many(9000)]
    path.write_bytes(b"".join(packed(part, packing) for part in parts))
    rows, bad = read(path)
    assert (len(rows), bad) == (9002, {})


def test_padding_after_gzip_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD) + bytes(CHUNK))
    assert read(path)[0] == {1: CHAT}


def test_frames_to_be_skipped_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    skipped = struct.pack("<II", 0x184D2A50, 5) + b"hello"
    path.write_bytes(skipped + zstandard.compress(GOOD) + skipped)
    assert read(path)[0] == {1: CHAT}


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_a_file_cut_off_is_told_with_the_line_that_was_reached(
    tmp_path: Path, packing: str, share: float
) -> None:
    path = tmp_path / f"a.jsonl{packing}"
    data = packed(many(20_000), packing)
    path.write_bytes(data[: int(len(data) * share)])
    reached = 0
    with pytest.raises(FormatError, match=r"'a\.jsonl\.(gz|zst)'.*cut off") as refused:
        for batch in read_batches(path, "chat"):
            reached = max(reached, batch.lines[-1])
    assert f"from line {reached + 1:,} on" in refused.value.message
    assert share < 0.9 or reached > 10_000


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_damage_is_told(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"a.jsonl{packing}"
    whole = packed(many(2000), packing)
    for data in (whole + b"junk", b"junk", whole[:500] + b"\xff" * 50 + whole[550:]):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"cannot be read from line"):
            read(path)


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    data = bytearray(gzip.compress(many(10)))
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="damaged"):
        read(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    for packing in (".gz", ".zst"):
        path = tmp_path / f"a.jsonl{packing}"
        path.write_bytes(packed(bytes(40 << 20), packing))
        with pytest.raises(FormatError, match="unpacks to more than 1000 times its size"):
            read(path)


def test_a_bomb_in_one_kilobyte_of_zstd_is_refused(tmp_path: Path) -> None:
    block = struct.pack("<I", (128 << 10) << 3 | 1 << 1)[:3] + b"x"  # 128 KiB of one byte
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block * 10_000
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(frame)
    with pytest.raises(FormatError, match="unpacks to more than 1000 times its size"):
        read(path)


def test_a_frame_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    settings = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(packer.compress(GOOD) + packer.flush())
    with pytest.raises(FormatError, match="needs too much memory"):
        read(path)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.jsonl", gzip.compress(GOOD), "it is a .gz file"),
        ("a.csv", zstandard.compress(GOOD), "it is a .zst file"),
        ("a.jsonl", b"PAR1xxxxPAR1", "it is a .parquet file"),
        ("a.jsonl", GOOD.decode().encode("utf-16"), "it is UTF-16"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(GOOD)), "it is a .gz file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=told):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gz", "a.parquet.gz", ".jsonl", "a.jsonl.bz2"])
def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(GOOD)
    with pytest.raises(FormatError, match="expected one of") as refused:
        read(tmp_path / name)
    assert all(suffix in refused.value.message for suffix in SUFFIXES)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.jsonl").write_bytes(GOOD)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    (tmp_path / "lost.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, told in {
        "link.jsonl": "a symbolic link",
        "lost.jsonl": "a symbolic link",
        "folder.jsonl": "a folder",
        "pipe.jsonl": "a pipe",
    }.items():
        with pytest.raises(FormatError, match=told):
            read_batches(tmp_path / name, "chat")
    with pytest.raises(MissingError, match="There is no file"):
        read_batches(tmp_path / "none.jsonl", "chat")


def test_a_line_of_any_length_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for length in (CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3):
        path.write_bytes(GOOD + b"x" * length + b"\n" + GOOD + b"y" * length)
        rows, bad = read(path)
        assert rows == {1: CHAT, 3: CHAT}
        assert bad[2].endswith("bytes" if length >= CHUNK else "character")
        assert set(bad) == {2, 4}


def test_many_blank_lines_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n" * 100_000 + GOOD)
    assert max(len(batch.bad) for batch in read_batches(path, "chat", batch_rows=100)) == 100
    rows, bad = read(path)
    assert list(rows) == [100_001]
    assert len(bad) == 100_000


def test_gzip_input_that_ends_on_a_full_chunk_of_output_is_whole(tmp_path: Path) -> None:
    # All input is taken, yet zlib still holds output back.
    data = (line(id="x" * 100) + b"\n") * 40_000
    packer = zlib.compressobj(9, wbits=31)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packer.compress(data) + packer.flush())
    assert len(read(path)[0]) == 40_000
