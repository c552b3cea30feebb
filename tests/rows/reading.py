"""What the tests of reading share: one good row, and a whole file read at once."""

import json
from pathlib import Path
from typing import Any, Final

from wherry.contracts import Kind, Message, Row
from wherry.rows import Columns, read_batches

CHAT = Row("1", (Message("user", "ear ache"), Message("assistant", "ear")), "ear", "H60")


def line(row: Row = CHAT, **more: Any) -> bytes:
    """Gives a chat row as a line of JSON without its end."""
    turns = [{"role": m.role, "content": m.content} for m in row.messages]
    values = {"id": row.id, "messages": turns, "label": row.label, "group": row.group}
    return json.dumps(values | more).encode()


OWN: Final = Columns()


def read(
    path: Path, kind: Kind = "chat", columns: Columns = OWN, **options: Any
) -> tuple[dict[int, Row], dict[int, str]]:
    """Gives the rows and the reasons of bad lines by their lines."""
    rows: dict[int, Row] = {}
    bad: dict[int, str] = {}
    for batch in read_batches(path, kind, columns, **options):
        assert len(batch.lines) == len(batch.rows)
        rows |= dict(zip(batch.lines, batch.rows, strict=True))
        bad |= {found.line: found.reason for found in batch.bad}
        assert batch.bad == sorted(batch.bad, key=lambda found: found.line)
    return rows, bad
