"""Audit logs of a few rows, with a key that signs them, and what a forger does to them."""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tests.fakes.releases import NAME, candidate
from wherry.contracts import Deployment, digest_bytes
from wherry.ledger import CHAMPION, Actor, Ledger, canonical
from wherry.ledger.events import staged
from wherry.ledger.records import Stage
from wherry.signing import KeyFolder

ANN = Actor(id="ann", kind="human", authenticated="os-user")
BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def open_log(folder: Path, *, actor: Actor = ANN, step: timedelta = timedelta(minutes=1)) -> Ledger:
    """A store whose clock goes one step further whenever it is asked."""
    ticks = count()
    return Ledger.open(folder / ".wherry", actor=actor, clock=lambda: BEGUN + next(ticks) * step)


def fill(folder: Path, versions: int = 2, *, first: int = 1, actor: Actor = ANN) -> Path:
    """Writes three rows a version: registered, promoted, deployed; gives the SQLite file."""
    with open_log(folder, actor=actor) as ledger:
        for version in range(first, first + versions):
            release = ledger.register(candidate(ledger, folder, f"content {version}".encode()))
            generation = ledger.switch(
                CHAMPION, NAME, version, expected_generation=version - 1, reason=f"try {version}"
            )
            ledger.record_deployment(
                Deployment(NAME, version, release.digest, "local", "http://x", generation, True)
            )
    return folder / ".wherry" / "ledger.db"


def lengthen(folder: Path, rows: int) -> Path:
    """Writes rows about stages in one transaction; gives the SQLite file."""
    with open_log(folder) as ledger, ledger._tables.writing():
        for number in range(rows):
            ledger._journal.write(staged(Stage(f"stage {number}"), (), ""))
    return folder / ".wherry" / "ledger.db"


def keys(folder: Path, owner: str = "ann") -> KeyFolder:
    """A folder with a key of its own."""
    made = KeyFolder(folder / ".wherry" / "keys")
    made.init(owner, BEGUN)
    return made


def rewrite(path: Path, *statements: str) -> None:
    """Changes the file as someone would who has it: its triggers away meanwhile, then back."""
    with sqlite3.connect(path) as db:
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        made = db.execute(triggers).fetchall()
        for name, _ in made:
            db.execute(f"DROP TRIGGER {name}")
        for statement in (*statements, *(text for _, text in made)):
            db.execute(statement)


def forge(path: Path, change: Callable[[dict[str, Any]], None], *, since: int = 1) -> None:
    """Changes every row from one on, and chains the log anew without a flaw."""
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT seq, hash, record FROM audit ORDER BY seq").fetchall()
    statements, prev = [], ""
    for seq, hash, text in rows:
        record = json.loads(text)
        if seq >= since:
            change(record)
        record["prev"] = prev or record["prev"]
        new = canonical(record).decode()
        prev = digest_bytes(new.encode())
        if (prev, new) != (hash, text):
            quoted = new.replace("'", "''")
            statements.append(
                f"UPDATE audit SET record = '{quoted}', hash = '{prev}' WHERE seq = {seq}"
            )
    rewrite(path, *statements)
