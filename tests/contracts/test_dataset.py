"""Rows are read strictly, and a bad one is named by file and line."""

from pathlib import Path

import pytest

from wherry.contracts import Kind, Message, Row, fault_of, read_rows
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.contracts.errors import DataError

GOOD = (
    '{"id": "1", "messages": [{"role": "user", "content": "ear ache"}, '
    '{"role": "assistant", "content": "ear"}], "label": "ear", "group": "H60"}'
)


def test_a_row_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(GOOD + "\n" + GOOD)
    row = next(read_rows(tmp_path / "a.jsonl"))
    assert row == Row("1", (Message("user", "ear ache"), Message("assistant", "ear")), "ear", "H60")
    assert row.prompt == (Message("user", "ear ache"),)
    assert row.completion == "ear"
    assert len(list(read_rows(tmp_path / "a.jsonl"))) == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "truncated"),
        (b"{}", "missing required field `id`"),
        (b'{"id": "1", "messages": []}', "end with an assistant turn"),
        (GOOD.replace("assistant", "user").encode(), "end with an assistant turn"),
        (GOOD.replace("assistant", "wizard").encode(), "wizard"),
        (GOOD.replace('"ear ache"', "null").encode(), "Expected `str`"),
        (GOOD.replace("ear ache", "ear\x00ache").encode(), "invalid character"),
        (GOOD.encode().replace(b"ear ache", b"\xff\xfe"), "utf-8"),
        (GOOD.replace("ear ache", "\\ud800").encode(), "surrogate"),
        (b'{"extra": ' + b"[" * 100_000, "recursion"),
        (b'{"id": NaN}', "invalid"),
        (b'"' + b"a" * (MAX_LINE_BYTES + 10) + b'"', ""),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: bytes, told: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD.encode() + b"\n" + line + b"\n")
    with pytest.raises(DataError, match=r"a\.jsonl, line 2") as refused:
        list(read_rows(tmp_path / "a.jsonl"))
    assert told in refused.value.message


def chat(*roles: str) -> tuple[Message, ...]:
    return tuple(Message(role, "words") for role in roles)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("instruction", Row("1", chat("user", "assistant"))),
        ("instruction", Row("1", chat("system", "user", "assistant"))),
        ("chat", Row("1", chat("system", "user", "assistant", "user", "assistant"))),
        ("preference", Row("1", chat("user", "assistant"), rejected="worse")),
        ("text", Row("1", text="words")),
        ("traffic", Row("1", chat("user", "assistant"), time="2026-03-01T12:00:00Z")),
    ],
)
def test_a_row_of_its_kind_has_no_fault(kind: Kind, row: Row) -> None:
    assert fault_of(row, kind) == ""


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("chat", Row("1"), "end with an assistant turn"),
        ("chat", Row("1", chat("assistant")), "after at least one other"),
        ("chat", Row("1", chat("user", "system", "assistant")), "alternate"),
        ("chat", Row("1", chat("user", "user", "assistant")), "alternate"),
        ("chat", Row("1", chat("system", "assistant")), "alternate"),
        ("chat", Row("1", chat("user", "assistant"), text="x"), "no `text`"),
        ("instruction", Row("1", chat("user", "assistant", "user", "assistant")), "one question"),
        ("preference", Row("1", chat("user", "assistant")), "`rejected`"),
        ("text", Row("1", chat("user", "assistant")), "has `text`"),
        ("text", Row("1"), "has `text`"),
        ("traffic", Row("1", chat("user", "assistant")), "`time`"),
    ],
)
def test_a_row_of_another_kind_is_told_by_its_fields(kind: Kind, row: Row, told: str) -> None:
    assert told in fault_of(row, kind)
