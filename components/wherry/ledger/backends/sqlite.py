"""Keeps the store in a SQLite file: durable, shared by the processes of one machine."""

import sqlite3
import time
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from wherry.contracts.errors import FileAccessError, NoSpaceError, StoreError, WherryError
from wherry.ledger.backends.mounts import network_file_system

BUSY_SECONDS: Final = 30.0
"""How long a process waits for another one's transaction."""


class SqliteFile:
    """A SQLite file with a write-ahead log, synced at each commit.

    Args:
        path: made with its folder if it is not there.
    """

    # The write lock is taken at once, so that what a transaction reads stays true.
    writing = "BEGIN IMMEDIATE"
    reading = "BEGIN"
    rules = "SELECT name FROM sqlite_master WHERE type = 'trigger'"

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path

    def engine(self) -> Engine:
        """Gives an engine for connections that commit each statement by itself.

        Raises:
            StoreError: if the file would lie on a network file system.
        """
        self._check_local()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return create_engine(
            URL.create("sqlite", database=str(self._path)),
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_SECONDS},
            poolclass=NullPool,
            hide_parameters=True,
        )

    def prepare(self, connection: Connection) -> None:
        """Sets up a new connection.

        Raises:
            StoreError: if the file cannot keep a write-ahead log.
        """
        held = connection.connection.driver_connection
        if held is not None:
            held.text_factory = _text
        self._use_log(connection)
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")

    def explain(self, error: SQLAlchemyError) -> WherryError:
        """Says what went wrong in our words."""
        code, told = _code(error), getattr(error, "orig", error)
        if code == sqlite3.SQLITE_FULL:
            return NoSpaceError(
                f"No space is left for {self.where}.",
                remedy="Free some space and run the same command again: nothing half-written is "
                "kept.",
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreError(
                f"{self.where} was locked by another process for {BUSY_SECONDS:.0f} s.",
                remedy="Run the same command again; if it lasts, end the process that holds it.",
            )
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            return FileAccessError(
                f"{self.where}: {told}.",
                remedy="Check that its folder exists and that you may write the files in it. "
                "Of one that you may only read, look into a copy, with its `-wal` file: "
                "WHERRY_STORE=sqlite:///COPY",
            )
        return StoreError(
            f"{self.where} does not hold together: {told}.",
            remedy="Restore it from a backup; `ledger.db-wal` and `ledger.db-shm` belong to it.",
        )

    def _check_local(self) -> None:
        # There its locks may not hold, and its shared memory never does: https://sqlite.org/wal.html
        if kind := network_file_system(self._path):
            raise StoreError(
                f"{self.where} lies on a network file system ({kind}), expected a local disk.",
                remedy="Keep the store on a local disk, or in PostgreSQL: "
                "WHERRY_STORE=postgresql://USER@HOST/DATABASE.",
            )

    def _use_log(self, connection: Connection) -> None:
        # Several first processes may switch a new file to WAL at once. SQLite answers some of
        # them "locked" without waiting, to avoid a deadlock: https://sqlite.org/wal.html
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                mode = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
                break
            except DBAPIError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        if mode != "wal":
            raise StoreError(
                f"{self.where} cannot keep a write-ahead log, only {mode!r}.",
                remedy="Keep the store on a local disk.",
            )


def _text(stored: bytes) -> str | bytes:
    """Gives a text; damaged bytes as they are, so that `verify` names their row."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _code(error: SQLAlchemyError) -> int:
    # The low byte is the primary code: https://sqlite.org/rescode.html
    return int(getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)) & 0xFF
