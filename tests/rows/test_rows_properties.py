"""What holds for any rows and any bytes."""

import csv
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import polars as pl
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rows.reading import CHAT, line, read
from wherry.contracts import Kind, Message, Row
from wherry.contracts.errors import WherryError
from wherry.rows import Columns, RowWriter, read_batches
from wherry.rows.canonical import encoded
from wherry.rows.jsonl import read_jsonl
from wherry.rows.lines import read_blocks
from wherry.rows.mapping import Mapper
from wherry.rows.stream import Piece

TEXT: Final = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
)
NAME: Final = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)
TIME: Final = st.datetimes().map(lambda time: time.isoformat() + "Z")
PACKINGS: Final = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


@st.composite
def turns_of(draw: st.DrawFn, pairs: int) -> tuple[Message, ...]:
    system = (Message("system", draw(TEXT)),) if draw(st.booleans()) else ()
    talk = (Message(role, draw(TEXT)) for _ in range(pairs) for role in ("user", "assistant"))
    return (*system, *talk)


@st.composite
def rows_of(draw: st.DrawFn, kind: Kind) -> Row:
    """Makes any row of a kind."""
    pairs = 1 if kind == "instruction" else draw(st.integers(1, 3))
    return Row(
        id=draw(NAME),
        messages=() if kind == "text" else draw(turns_of(pairs)),
        label=draw(TEXT),
        group=draw(TEXT),
        rejected=draw(NAME) if kind == "preference" else "",
        text=draw(NAME) if kind == "text" else "",
        time=draw(TIME) if kind == "traffic" else draw(st.just("") | TIME),
        model=draw(TEXT),
    )


KINDS: Final = st.sampled_from(["instruction", "chat", "preference", "text", "traffic"])
SETS: Final = KINDS.flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(rows_of(kind), max_size=9))
)


@given(SETS, st.sampled_from(sorted(PACKINGS)), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(drawn: tuple[Kind, list[Row]], packing: str, most: int) -> None:
    kind, rows = drawn
    with TemporaryDirectory() as folder:
        with RowWriter(Path(folder, "a.jsonl")) as writer:
            writer.write_all(rows)
        path = Path(folder, f"b.jsonl{packing}")
        path.write_bytes(PACKINGS[packing](Path(folder, "a.jsonl").read_bytes()))
        batches = list(read_batches(path, kind, batch_rows=most))
    assert [row for batch in batches for row in batch.rows] == rows
    assert [n for batch in batches for n in batch.lines] == list(range(1, len(rows) + 1))
    assert all(batch.canonical for batch in batches)


GAPS: Final = st.sampled_from(["\n"] * 4 + ["", " ", "\n\n", "\n \n", "\r\n", ",\n", "\r"])


@given(SETS, st.lists(GAPS, min_size=9, max_size=9), st.data())
@settings(max_examples=200, deadline=None)
def test_lines_read_as_one_text_are_what_they_are_alone(
    drawn: tuple[Kind, list[Row]], gaps: list[str], data: st.DataObject
) -> None:
    kind, rows = drawn
    content = "".join(encoded(row).decode() + gap for row, gap in zip(rows, gaps, strict=False))
    if data.draw(st.booleans()) and content:
        place = data.draw(st.integers(0, len(content)))
        content = content[:place] + data.draw(GAPS) + content[place:]
    found = list(read_blocks(iter([Piece(content.encode(), 1)]), "a", 100))
    cut = [replace(block, text=None, cut=block.lines) for block in found]
    as_text, alone = (
        list(read_jsonl(iter(each), Mapper(kind, Columns()))) for each in (found, cut)
    )
    assert as_text == alone


@given(KINDS, st.lists(KINDS.flatmap(rows_of), min_size=1, max_size=4), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_rows_are_taken_all_at_once_only_if_each_is_sound(
    kind: Kind, rows: list[Row], times: int
) -> None:
    mapper = Mapper(kind, Columns())
    faults = [mapper.fault(row) for row in rows]
    if mapper.takes_all(rows):
        assert not any(faults)
    row = msgspec.structs.replace(rows[0], time="")
    assert mapper.takes_all([row] * times) == (not mapper.fault(row))


@given(SETS, st.sampled_from([".csv", ".tsv"]))
@settings(max_examples=50, deadline=None)
def test_what_a_table_holds_is_read(drawn: tuple[Kind, list[Row]], suffix: str) -> None:
    kind, rows = drawn
    names = ["id", "messages", "label", "group", "rejected", "text", "time", "model"]
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter="," if suffix == ".csv" else "\t")
    table.writerow(names)
    starts = []
    for row in rows:
        starts.append(text.getvalue().count("\n") + 1)
        turns = [{"from": turn.role, "value": turn.content} for turn in row.messages]
        cells = [getattr(row, name) for name in names[2:]]
        table.writerow([row.id, json.dumps(turns), *cells])
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        path.write_bytes(text.getvalue().encode())
        found, bad = read(path, kind)
    assert bad == {}
    assert found == dict(zip(starts, rows, strict=True))


@given(SETS)
@settings(max_examples=10, deadline=None)
def test_what_parquet_holds_is_read(drawn: tuple[Kind, list[Row]]) -> None:
    kind, rows = drawn
    turn = pl.Struct({"role": pl.String, "content": pl.String})
    names = ["id", "label", "group", "rejected", "text", "time", "model"]
    schema: dict[str, Any] = dict.fromkeys(names, pl.String) | {"messages": pl.List(turn)}
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    turns = [[{"role": m.role, "content": m.content} for m in row.messages] for row in rows]
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.parquet")
        pl.DataFrame(columns | {"messages": turns}, schema=schema).write_parquet(path)
        found, bad = read(path, kind)
    assert bad == {}
    assert found == dict(enumerate(rows, 1))


LINES: Final = st.lists(
    st.binary(max_size=30).map(lambda data: data.replace(b"\n", b" "))
    | st.sampled_from([b"", b" ", b"{}", b"[]", line(), line(label=5), b'{"id":"1","id":"2"}'])
    | st.binary(max_size=9).map(lambda data: line() + data.replace(b"\n", b"")),
    max_size=12,
)


@given(LINES, st.sampled_from(sorted(PACKINGS)), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_each_line_is_a_row_or_bad_and_good_ones_survive(
    lines: list[bytes], packing: str, most: int
) -> None:
    lines = [b"!", *lines]  # so that no first bytes are those of another format
    whole = b"\n".join(text for given in lines for text in (given, line()))
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a.jsonl{packing}")
        path.write_bytes(PACKINGS[packing](whole))
        rows, bad = read(path, batch_rows=most)
    assert sorted([*rows, *bad]) == list(range(1, 2 * len(lines) + 1))
    assert all(rows[number] == CHAT for number in range(2, 2 * len(lines) + 1, 2))


SUFFIXES: Final = st.sampled_from(
    [".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".csv.zst", ".jsonl.zst", ".parquet"]
)
MAGIC: Final = st.sampled_from(
    [b"", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", b"\x28\xb5\x2f\xfd", b"PAR1", b"\xef\xbb\xbf", b"["]
)


@given(MAGIC, st.binary(max_size=200), SUFFIXES, KINDS)
@settings(max_examples=100, deadline=None)
def test_any_bytes_end_in_rows_or_in_an_error_of_ours(
    magic: bytes, data: bytes, suffix: str, kind: Kind
) -> None:
    columns = Columns(text="body") if suffix == ".csv" else Columns()
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        path.write_bytes(magic + data + (b"PAR1" if suffix == ".parquet" else b""))
        try:
            rows, bad = read(path, kind, columns)
        except WherryError as error:
            assert f"a{suffix}" in error.message
        else:
            assert len({*rows, *bad}) == len(rows) + len(bad)
