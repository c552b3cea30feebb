"""What is written is counted, hashed, and the same for the same rows."""

from pathlib import Path

import pytest

from tests.rows.reading import CHAT
from wherry.contracts import Row, digest_file, read_rows
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import DataError
from wherry.rows import RowWriter


def test_empty_fields_are_left_out_and_the_rest_has_its_order(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "a.jsonl") as writer:
        writer.write(CHAT)
        writer.write(Row("2", text="häh\n", time="2026-01-01T00:00:00Z"))
    assert (tmp_path / "a.jsonl").read_text().splitlines() == [
        '{"id":"1","messages":[{"role":"user","content":"ear ache"},'
        '{"role":"assistant","content":"ear"}],"label":"ear","group":"H60"}',
        '{"id":"2","text":"häh\\n","time":"2026-01-01T00:00:00Z"}',
    ]
    assert (writer.rows, writer.size) == (2, (tmp_path / "a.jsonl").stat().st_size)
    assert writer.digest == digest_file(tmp_path / "a.jsonl")


def test_a_row_that_was_read_is_written_as_one_that_was_made(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "a.jsonl") as first:
        first.write(CHAT)
    with RowWriter(tmp_path / "b.jsonl") as second:
        second.write_all(read_rows(tmp_path / "a.jsonl"))
    assert first.digest == second.digest


@pytest.mark.parametrize(
    ("text", "told"), [("\ud800", "surrogate"), ("x" * MAX_LINE_BYTES, "more than 1,048,576")]
)
def test_a_row_that_no_reader_would_take_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with RowWriter(tmp_path / "a.jsonl") as writer:
        writer.write(CHAT)
        with pytest.raises(DataError, match=told) as refused:
            writer.write(Row("2", text=text))
    assert "Row 2 of 'a.jsonl'" in refused.value.message
    assert list(read_rows(tmp_path / "a.jsonl")) == [CHAT]


def test_the_longest_row_that_is_written_is_read(tmp_path: Path) -> None:
    frame = len(b'{"id":"1","text":""}\n')
    with RowWriter(tmp_path / "a.jsonl") as writer:
        writer.write(Row("1", text="x" * (MAX_LINE_BYTES - frame)))
    assert next(read_rows(tmp_path / "a.jsonl")).id == "1"
