"""Parquet: nested messages in, and no crash on what only looks like it."""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest

from tests.rows.reading import read
from wherry.contracts import Message, Row
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import FormatError
from wherry.rows import Columns, read_batches

TURNS = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
PAIR = (Message("user", "x"), Message("assistant", "y"))


def written(folder: Path, name: str = "a.parquet", **columns: list[object]) -> Path:
    pl.DataFrame(columns).write_parquet(folder / name, row_group_size=1000)
    return folder / name


def test_nested_messages_are_read_across_row_groups(tmp_path: Path) -> None:
    path = written(tmp_path, id=[str(n) for n in range(3000)], messages=[TURNS] * 3000)
    rows, bad = read(path)
    assert rows == {n + 1: Row(str(n), PAIR) for n in range(3000)}
    assert bad == {}


def test_paths_lead_into_structs(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        request=[{"messages": TURNS[:1]}],
        response=[{"choices": [{"message": TURNS[1]}]}],
        at=[datetime(2026, 3, 1)],
        size=[5],
    )
    columns = Columns(
        messages="request.messages",
        completion="response.choices.0.message.content",
        time="at",
        id="size",
    )
    assert read(path, "traffic", columns)[0] == {1: Row("5", PAIR, time="2026-03-01T00:00:00Z")}


def test_decimals_without_places_are_the_whole_numbers_that_warehouses_mean(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    whole = pl.Decimal(38, 0)
    pl.DataFrame(
        {
            "text": ["x", "y"],
            "id": pl.Series([7, 8], dtype=whole),
            "group": pl.Series([3, None], dtype=whole),
            "time": pl.Series([1_700_000_000, None], dtype=whole),
            "label": pl.Series([None, Decimal("2.50")], dtype=pl.Decimal(10, 2)),
        }
    ).write_parquet(path)
    rows, bad = read(path, "text")
    assert rows == {1: Row("7", group="3", text="x", time="2023-11-14T22:13:20Z")}
    assert bad == {2: "`label` must be text or a whole number, got a number"}


def test_a_time_with_a_zone_is_read_without_pytz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytz", None)
    monkeypatch.setenv("TZ", "America/New_York")
    noon = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
    rows, bad = read(written(tmp_path, id=["1", "2"], text=["x"] * 2, time=[noon, None]), "text")
    assert [row.time for row in rows.values()] == ["2026-03-01T03:00:00Z", ""]
    assert bad == {}


def test_a_time_with_a_zone_inside_of_turns_and_structs_needs_no_pytz_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytz", None)
    monkeypatch.setenv("TZ", "America/New_York")
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    turns = [{**turn, "at": noon} for turn in TURNS]
    path = written(tmp_path, id=["1"], messages=[turns], meta=[{"asked": noon}])
    rows, bad = read(path, "traffic", Columns(time="meta.asked"))
    assert rows == {1: Row("1", PAIR, time="2026-03-01T12:00:00Z")}
    assert bad == {}


def test_bad_rows_are_told_by_their_numbers(tmp_path: Path) -> None:
    texts: list[object] = ["x", None, "", "x" * MAX_LINE_BYTES, "a\0b", "x"]
    rows, bad = read(written(tmp_path, id=list("123456"), text=texts), "text")
    assert list(rows) == [1, 6]
    assert bad[2] == "`text` is missing"
    assert bad[3] == "a text row has `text` and no `messages`"
    assert bad[4] == "the row is longer than 1,048,576 bytes"
    assert bad[5] == "`text` holds a NUL character"


def test_wrong_types_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, text=["x"], label=[1.5])
    assert read(path, "text")[1] == {1: "`label` must be text or a whole number, got a number"}
    path = written(tmp_path, text=["x"], label=[b"1"])
    assert read(path, "text")[1] == {1: "`label` must be text or a whole number, got bytes"}
    path = written(tmp_path, text=["x"], time=[date(2026, 3, 1)])
    assert read(path, "text")[1] == {1: "`time` must be a time, got a date without a time"}


def test_an_id_that_is_a_uuid_is_a_name(tmp_path: Path) -> None:
    name, path = UUID(int=7), tmp_path / "a.parquet"
    duckdb.sql(f"SELECT 'x' AS text, '{name}'::UUID AS id").write_parquet(str(path))
    assert read(path, "text")[0][1].id == str(name)


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    written(tmp_path, "ab.parquet", text=["other"])
    (tmp_path / "k=v").mkdir()
    path = written(tmp_path / "k=v", "a[b]*'\".parquet", text=["mine"], k=["own"])
    rows, _ = read(path, "text", Columns(label="k"))
    assert (rows[1].text, rows[1].label) == ("mine", "own")


def test_a_column_name_is_no_sql(tmp_path: Path) -> None:
    odd = 'q" FROM x; --'
    path = written(tmp_path, **{odd: ["mine"]})
    assert read(path, "text", Columns(text=odd.replace(".", "")))[0][1].text == "mine"


def test_a_mapped_column_that_is_missing_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, body=["x"])
    with pytest.raises(FormatError, match=r"has no 'words', only 'body'"):
        read(path, "text", Columns(text="words"))
    with pytest.raises(FormatError, match="has no column that a row has"):
        read(path, "text")


def test_batches_add_up_to_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, text=["x" * 10] * 3000)
    batches = list(read_batches(path, "text", batch_rows=512))
    assert max(len(batch.rows) for batch in batches) == 512
    size = path.stat().st_size
    # Each batch is rounded down to whole bytes.
    assert size - len(batches) < sum(batch.bytes_read for batch in batches) <= size


def test_long_rows_come_in_small_batches(tmp_path: Path) -> None:
    path = written(tmp_path, text=[str(n) + "x" * 900_000 for n in range(40)])
    assert max(len(batch.rows) for batch in read_batches(path, "text")) <= 5


@pytest.mark.parametrize("damage", ["empty", "short", "magic", "tail", "cut", "zeros", "footer"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path, text=[f"ann{n}@example.com" for n in range(3000)])
    data = path.read_bytes()
    broken = {
        "empty": b"",
        "short": b"PAR1PAR1",
        "magic": b"PAR2" + data[4:],
        "tail": data[:-1],
        "cut": data[:100] + data[-100:],
        "zeros": data[:4] + bytes(len(data) - 8) + data[-4:],
        "footer": data[:-8] + b"\xff\xff\xff\x7f" + data[-4:],
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(FormatError, match=r"a\.parquet") as refused:
        read(path, "text")
    assert "example" not in str(refused.value)


def test_flipped_bytes_end_in_rows_or_in_an_error_of_ours(tmp_path: Path) -> None:
    path = written(tmp_path, id=[str(n) for n in range(50)], messages=[TURNS] * 50)
    data, chance = bytearray(path.read_bytes()), random.Random(3)
    ends = Counter[str]()
    for _ in range(20):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(4, len(data) - 4)] = chance.randrange(256)
        path.write_bytes(broken)
        try:
            rows, bad = read(path)
        except FormatError as error:
            assert "a.parquet" in error.message
            ends["refused"] += 1
        else:
            assert sorted([*rows, *bad]) == list(range(1, 51))
            ends["read"] += 1
    assert min(ends["refused"], ends["read"]) > 0, "the bytes that are flipped test one end alone"


@pytest.mark.slow
def test_rows_as_long_as_a_row_may_be_are_read_from_small_row_groups(tmp_path: Path) -> None:
    long = {"role": "user", "content": "x" * (MAX_LINE_BYTES - 300)}
    turns: list[object] = [[long, TURNS[1]]]
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"id": [str(n) for n in range(600)], "messages": turns * 600})
    frame.write_parquet(path, row_group_size=256)
    batches = list(_sizes(path))
    assert sum(rows for rows, _ in batches) == 600
    assert sum(bad for _, bad in batches) == 0


def _sizes(path: Path) -> Iterator[tuple[int, int]]:
    for batch in read_batches(path, "chat"):
        yield len(batch.rows), len(batch.bad)


@pytest.mark.slow
def test_rows_that_unpack_to_more_than_memory_are_refused(tmp_path: Path) -> None:
    turns: list[object] = [[{"role": "user", "content": "x" * 1_000_000}, TURNS[1]]]
    path = written(tmp_path, messages=turns * 2000)
    assert path.stat().st_size < 10_000_000
    with pytest.raises(FormatError, match="after row 0: .*take more than 1GB") as refused:
        read(path)
    assert "256 rows a row group" in refused.value.remedy
