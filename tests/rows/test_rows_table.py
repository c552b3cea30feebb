"""CSV and TSV: records that span lines, and quotes that are left open."""

from pathlib import Path

import pytest

from tests.rows.reading import read
from wherry.contracts import Message, Row
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import FormatError
from wherry.rows import Columns

QA = Columns(prompt="q", completion="a", id="n")


def row(name: str, asked: str = "x", told: str = "y") -> Row:
    return Row(name, (Message("user", asked), Message("assistant", told)))


def table(folder: Path, text: str, name: str = "a.csv") -> Path:
    (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    return folder / name


def test_records_are_told_by_the_line_where_they_start(tmp_path: Path) -> None:
    path = table(tmp_path, 'n,q,a,more\r\n1,x,y,\r\n2,"x\r\n\r\n""x""",y,z\r\n3,x,y,z\r\n')
    rows, bad = read(path, "instruction", QA)
    assert rows == {2: row("1"), 3: row("2", 'x\r\n\r\n"x"'), 6: row("3")}
    assert bad == {}


def test_tabs_separate_in_tsv(tmp_path: Path) -> None:
    path = table(tmp_path, "\ufeffn\tq\ta\n1\tx, x\ty\n", "a.tsv")
    assert read(path, "instruction", QA)[0] == {2: row("1", "x, x")}


def test_messages_stand_as_json_in_a_column(tmp_path: Path) -> None:
    cell = '[{""role"": ""user"", ""content"": ""x""}, {""from"": ""gpt"", ""value"": ""y""}]'
    twice = cell.replace("{", '{""content"": ""z"", ', 1)
    path = table(tmp_path, f'id,messages\n1,"{cell}"\n2,words\n3,\n4,"{twice}"\n')
    rows, bad = read(path)
    assert rows == {2: row("1")}
    assert bad == {
        3: "`messages` must be a JSON list of turns",
        4: "`prompt` is missing",
        5: "in `messages` a key stands twice in one object",
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1,x", "fewer fields"),
        ("1,x,y,z", "more fields"),
        ("", "blank"),
        ("1,\udcff,y", "not UTF-8"),
        ("1,\0,y", "NUL"),
        ('1,"x"x,y', "quotes of a field"),
        ('1,"x,y', "quotes of a field"),
        (f"1,{'x' * MAX_LINE_BYTES},y", "longer than"),
        (f"1,{'x' * (3 * MAX_LINE_BYTES)},y", "longer than"),
    ],
)
def test_a_bad_record_is_told_and_its_neighbours_survive(
    tmp_path: Path, line: str, told: str
) -> None:
    path = table(tmp_path, f"n,q,a\n1,x,y\n{line}\n3,x,y\n{line}\n5,x,y\n")
    rows, bad = read(path, "instruction", QA)
    assert rows == {2: row("1"), 4: row("3"), 6: row("5")}
    assert set(bad) == {3, 5}
    assert told in bad[3]


def test_a_quote_left_open_costs_one_line_of_a_long_file(tmp_path: Path) -> None:
    lines = [f"{n},x,y" for n in range(20_000)]
    lines[7] = '7,"x,y'
    rows, bad = read(table(tmp_path, "\n".join(["n,q,a", *lines])), "instruction", QA)
    assert len(rows) == 19_999
    assert set(bad) == {9}


def test_a_long_line_inside_quotes_costs_what_it_touches(tmp_path: Path) -> None:
    path = table(tmp_path, f'n,q,a\n1,"x\n{"x" * MAX_LINE_BYTES}\n",y\n3,x,y\n')
    rows, bad = read(path, "instruction", QA)
    assert rows == {5: row("3")}
    assert "longer than" in bad[2]


def test_a_field_as_long_as_a_row_may_be_is_read(tmp_path: Path) -> None:
    text = f"{'x' * 99}\n" * 10_000
    path = table(tmp_path, f'n,q,a\n1,"{text}",y\n2,x,y\n')
    assert read(path, "instruction", QA)[0] == {2: row("1", text), 10_003: row("2")}


def test_quotes_left_open_all_over_end_in_an_error_not_in_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.rows.table._FREE", 1 << 16)
    # Read from its start, each of these lines leaves a quote open; read on, it closes one and
    # opens the next. So each would be read again and again, up to the longest row.
    path = table(tmp_path, "n,q,a\n" + 'a","\n' * 60_000)
    with pytest.raises(FormatError, match="quotes left open all over, up to line"):
        read(path, "instruction", QA)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no header"),
        ("\n1,x,y\n", "has no header"),
        ("n,q\n1,x\n", "a header without 'a'"),
        ("n,q,a,q\n", "names a column twice"),
        (",,\n1,x,y\n", "has no header"),
        ("n;q;a\n1;x;y\n", "one column with ';' in it, expected ','"),
        ("n\tq\ta\n1\tx\ty\n", r"one column with '\\t' in it, expected ','"),
        (",".join(map(str, range(5000))), "has 5,000 columns"),
        ('"n,q', "has no header"),
    ],
)
def test_a_header_that_does_not_serve_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        read(table(tmp_path, text), "instruction", QA)


def test_a_table_of_another_separator_is_told_how_to_export_it(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as refused:
        read(table(tmp_path, "n;q;a\n1;x;y\n"), "instruction", QA)
    assert "',' between the columns" in refused.value.remedy


def test_columns_without_a_name_as_spreadsheets_leave_them_are_no_fault(tmp_path: Path) -> None:
    columns = Columns(prompt="q", completion="a")
    rows, bad = read(table(tmp_path, ",q,a,,\n0,x,y,,\n1,x,z,,\n"), "instruction", columns)
    assert [row.completion for row in rows.values()] == ["y", "z"]
    assert bad == {}


def test_a_header_that_is_data_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as refused:
        read(table(tmp_path, "ann@example.com,x,y\n"), "instruction", QA)
    assert "ann" not in str(refused.value)


def test_batches_add_up_to_the_file(tmp_path: Path) -> None:
    from wherry.rows import read_batches

    path = table(tmp_path, "n,q,a\n" + "".join(f"{n},x,y\n" for n in range(1000)))
    batches = list(read_batches(path, "instruction", QA, batch_rows=64))
    assert max(len(batch.rows) for batch in batches) == 64
    assert sum(len(batch.rows) for batch in batches) == 1000
    assert sum(batch.bytes_read for batch in batches) == path.stat().st_size
