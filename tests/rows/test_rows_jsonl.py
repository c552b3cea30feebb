"""JSON Lines: good rows around bad lines survive, with their numbers."""

import json
from pathlib import Path

import pytest

from tests.rows.reading import CHAT, line, read
from wherry.contracts import Kind, Message, Row, read_rows
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import FormatError
from wherry.rows import Columns, RowWriter, read_batches

GOOD = line()
NOON = "2026-03-01T12:00:00Z"


def test_canonical_rows_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD)
    (batch,) = [b for b in read_batches(path, "chat") if b.rows][:1]
    assert batch.rows[0] == CHAT
    assert batch.canonical
    assert read(path)[0] == {1: CHAT, 2: CHAT}


@pytest.mark.parametrize("gap", [b"\n", b" \n", b"\r\n", b",\n", b"\n\n", b"\n \n"])
@pytest.mark.parametrize("space", [b"", b" ", b"\r"])
def test_as_many_rows_as_lines_are_not_yet_a_row_a_line(
    tmp_path: Path, gap: bytes, space: bytes
) -> None:
    # Two rows on one line and one over two lines: three of each.
    head, tail = GOOD.split(b", ", 1)
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD + space + GOOD + gap + head + b",\n" + tail + b"\n" + GOOD)
    rows, bad = read(path)
    last = 5 + gap.count(b"\n") - 1
    assert rows == {1: CHAT, last: CHAT}
    assert list(bad) == list(range(2, last))


def test_a_text_of_many_short_lines_is_divided_where_they_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(line(id=str(n)) for n in range(1000)))
    batches = list(read_batches(path, "chat", batch_rows=7))
    assert [row.id for batch in batches for row in batch.rows] == [str(n) for n in range(1000)]
    assert [n for batch in batches for n in batch.lines] == list(range(1, 1001))
    assert all(batch.canonical and len(batch.rows) <= 7 for batch in batches)
    assert sum(batch.bytes_read for batch in batches) <= path.stat().st_size


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (b"", "blank"),
        (b"  \t", "blank"),
        (b"{}", "`prompt` is missing"),
        (b"[1]", "no JSON object"),
        (b"null", "no JSON object"),
        (GOOD[:-1], "no valid JSON"),
        (GOOD + GOOD, "no valid JSON"),
        (line(label=1.5), "`label` must be text or a whole number, got a number"),
        (line(label=True), "got a boolean"),
        (line(group=["x"]), "`group` must be text or a whole number, got a list"),
        (line(messages="words"), "`messages` must be a list of turns, got text"),
        (line(messages=[1]), "each turn of `messages` must be an object, got a number"),
        (line(messages=[{"role": "wizard", "content": "x"}]), "role of a turn"),
        (line(messages=[{"role": "user", "content": None}]), "must be text, got nothing"),
        (line(messages=[{"role": "user", "content": "x"}]), "end with an assistant turn"),
        (GOOD.replace(b"ear ache", b"ear\x00ache"), "no valid JSON"),
        (GOOD.replace(b"ear ache", b"ear\\u0000ache"), "NUL"),
        (GOOD.replace(b"ear ache", b"\xff\xfe"), "not UTF-8"),
        (line(more="x").replace(b'"x"', b'"\xff"'), "not UTF-8"),
        (GOOD.replace(b"ear ache", b"\\ud800"), "surrogate"),
        (line(more="x").replace(b'"x"', b'"\\udc00"'), "surrogate"),
        (b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"more": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested too deep"),
        (line(more=1).replace(b'"more": 1', b'"more": NaN'), "no valid JSON"),
        (line(more=1).replace(b'"more": 1', b'"more": -Infinity'), "no valid JSON"),
        (line(more=1).replace(b'"more": 1', b'"more": ' + b"9" * 5000), "out of range"),
        (line(more=1).replace(b'"more": 1', b'"more": 1e999'), "out of range"),
        (line(more=1).replace(b'"more": 1', b'"label": "x"'), "a key stands twice"),
        (line(more=1).replace(b'"more": 1', b'"label" : "ear"'), "a key stands twice"),
        (line(more=1).replace(b'"more": 1', b'"label"\t:"ear"'), "a key stands twice"),
        (GOOD.replace(b'"role": "user"', b'"role": "user", "role": "user"'), "stands twice"),
        (line(more=1).replace(b'"more": 1', b'"l\\u0061bel": "x"'), "a key stands twice"),
        (line(more=1).replace(b'"more": 1', b'"more": [{"a": 1, "a": 1}]'), "stands twice"),
        (b'"' + b"a" * MAX_LINE_BYTES + b'"', "longer than"),
    ],
)
def test_a_bad_line_is_told_and_its_neighbours_survive(
    tmp_path: Path, bad: bytes, told: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([GOOD, bad, GOOD, bad, bad, GOOD]))
    rows, found = read(path)
    assert rows == {1: CHAT, 3: CHAT, 6: CHAT}
    assert set(found) == {2, 4, 5}
    assert told in found[2]
    assert not {"wizard", "words", "ache"} & set(found[2].replace("`", " ").split())


def test_a_key_that_stands_twice_is_found_in_the_dark(tmp_path: Path) -> None:
    # One line more and one line less than fields: their sum is that of two good lines.
    short = b'{"id": "1", "messages" : [], "label": "a"}'
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([GOOD, short, line().replace(b"{", b'{"id": "0", ', 1)]))
    rows, found = read(path)
    assert rows == {1: CHAT}
    assert "stands twice" in found[3]


def test_text_that_looks_like_keys_is_no_fault(tmp_path: Path) -> None:
    odd = Row("1", (Message("user", '{"a": 1, "a": 2} :'), Message("assistant", ":x")), "ear", "g")
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(odd) + b"\n" + GOOD)
    assert read(path) == ({1: odd, 2: CHAT}, {})
    assert all(batch.canonical for batch in read_batches(path, "chat"))


def test_lines_end_as_on_windows_and_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n" + GOOD + b"\r\n\r\n\n")
    assert read(path) == ({1: CHAT, 2: CHAT}, {})
    assert not all(batch.canonical for batch in read_batches(path, "chat"))


def test_a_file_is_called_canonical_only_if_contracts_read_it_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for content, canonical in [
        (GOOD + b"\n", True),
        (GOOD + b"\r\n" + GOOD, True),
        (line(more=[1]) + b"\n", True),
        (GOOD + b"\n\n", False),
        (b"\xef\xbb\xbf" + GOOD, False),
        (line(id=7), False),
        (GOOD.replace(b"assistant", b"gpt"), False),
    ]:
        path.write_bytes(content)
        batches = list(read_batches(path, "chat"))
        assert all(batch.canonical for batch in batches) == canonical, content
        if canonical:
            assert list(read_rows(path)) == [row for batch in batches for row in batch.rows]


def test_blank_lines_are_bad_but_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n" + GOOD + b"\n\n \n" + GOOD + b"\n\n \r\n\n")
    assert read(path) == (
        {2: CHAT, 5: CHAT},
        dict.fromkeys([1, 3, 4], "the line is blank"),
    )


def test_bad_lines_leave_the_others_canonical(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\nrubbish\n" + GOOD)
    assert all(batch.canonical for batch in read_batches(path, "chat"))


def test_batches_have_at_most_so_many_lines_and_add_up_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line(id=str(i)) + b"\n" for i in range(1000)))
    batches = list(read_batches(path, "chat", batch_rows=64))
    assert max(len(batch.rows) for batch in batches) == 64
    assert [n for batch in batches for n in batch.lines] == list(range(1, 1001))
    assert sum(batch.bytes_read for batch in batches) == path.stat().st_size


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for content in (b"", b"\n\n", b"\xef\xbb\xbf"):
        (tmp_path / "a.jsonl").write_bytes(content)
        assert read(tmp_path / "a.jsonl") == ({}, {})


def test_one_json_array_is_refused_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"id": "1"}], indent=1))
    with pytest.raises(FormatError, match="one JSON array") as refused:
        read(tmp_path / "a.json")
    assert "jq" in refused.value.remedy


def test_json_lines_may_be_named_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(GOOD)
    assert read(tmp_path / "a.json") == ({1: CHAT}, {})


def test_rows_of_a_kind_are_judged_unless_they_are_to_be_measured(tmp_path: Path) -> None:
    odd = Row("1", (Message("user", "x"), Message("user", "y")), "ear", "g")
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(odd))
    assert "end with an assistant turn" in read(path)[1][1]
    assert read(path, strict=False) == ({1: odd}, {})


@pytest.mark.parametrize(
    ("kind", "told"),
    [("preference", "`rejected`"), ("traffic", "`time`"), ("text", "`text`")],
)
def test_rows_that_are_measured_have_the_fields_of_their_kind(
    tmp_path: Path, kind: Kind, told: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD)  # in our own form, which is read without looking at single fields
    rows, bad = read(path, kind, strict=False)
    assert not rows
    assert told in bad[1]


@pytest.mark.parametrize(
    ("kind", "more"), [("preference", {"rejected": "eye"}), ("traffic", {"time": NOON})]
)
def test_rows_with_the_fields_of_their_kind_may_have_turns_out_of_order(
    tmp_path: Path, kind: Kind, more: dict[str, str]
) -> None:
    odd = Row("1", (Message("user", "x"), Message("user", "y")), "ear", "g", **more)
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(odd, **more))
    assert read(path, kind, strict=False) == ({1: odd}, {})
    assert "end with an assistant turn" in read(path, kind)[1][1]


def test_columns_are_those_of_the_team(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"q": "ear ache", "a": {"text": "ear"}, "n": 3}\n{"q": "x"}\n')
    rows, bad = read(path, "instruction", Columns(prompt="q", completion="a.text", id="n"))
    assert rows == {1: Row("3", CHAT.messages)}
    assert bad == {2: "`a.text` is missing"}


def test_a_file_that_was_written_is_canonical(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with RowWriter(path) as writer:
        writer.write_all([CHAT] * 10)
    assert all(batch.canonical for batch in read_batches(path, "chat"))
