"""A large file is checked in parts, and nobody can tell."""

from pathlib import Path

import pytest

from tests.fakes.rows import lines, row, rows
from wherry.contracts.errors import FormatError
from wherry.ingest.clean.parts import Seen, seen

BAD = b'{"id": 1}\n'


def told(tmp_path: Path, text: bytes, smallest: int) -> list[Seen]:
    (tmp_path / "train.jsonl").write_bytes(text)
    [found] = seen([tmp_path / "train.jsonl"], "chat", tmp_path / f"{smallest}", smallest)
    return list(found)


def sums(parts: list[Seen]) -> tuple[object, ...]:
    return (
        sum(part.rows for part in parts),
        sum(part.lines for part in parts),
        sum(part.bytes_read for part in parts),
        {label for part in parts for label in part.labels},
        [bad for part in parts for bad in part.bad],
        all(part.canonical for part in parts),
    )


@pytest.mark.parametrize("end", [b"\n", b"\n\n", b'\n{"id": 2}'])
def test_parts_give_what_the_whole_gives(
    tmp_path: Path, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.ingest.clean.parts.usable_cores", lambda: 3)
    good = [lines([one]) for one in rows(300)]
    text = b"".join([*good[:100], BAD, *good[100:250], BAD, *good[250:]]).rstrip(b"\n") + end
    whole, parts = told(tmp_path, text, 1 << 30), told(tmp_path, text, 4096)
    assert len(list((tmp_path / "4096").iterdir())) == 3
    assert [bad.line for one in parts for bad in one.bad][:2] == [101, 252]
    if end != b"\n\n":  # a blank end is no canonical file: then the whole is read again
        assert sums(parts) == sums(whole)
    assert all(part.canonical for part in parts) == (end != b"\n\n")


def test_each_file_has_its_own_rows_and_lines_whoever_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.ingest.clean.parts.usable_cores", lambda: 3)
    counts = (0, 40, 1, 30)
    long = lines([row(0, label="x" * 3000)])
    paths = [tmp_path / f"{name}.jsonl" for name in "abcd"]
    for path, count in zip(paths, counts, strict=True):
        path.write_bytes(lines(rows(count)) + long * (count > 1) + BAD * (count > 0))
    whole, parts = (
        [sums(list(one)) for one in seen(paths, "chat", tmp_path / f"{smallest}", smallest)]
        for smallest in (1 << 30, 1000)
    )
    assert len(list((tmp_path / "1000").iterdir())) == 5
    assert parts == whole
    assert [one[0] for one in parts] == [count + (count > 1) for count in counts]


def test_what_is_wrong_with_a_file_is_told_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.ingest.clean.parts.usable_cores", lambda: 2)
    packed = b"\x1f\x8b" + lines(rows(300))
    with pytest.raises(FormatError, match=r"train\.jsonl"):
        told(tmp_path, packed, 4096)
