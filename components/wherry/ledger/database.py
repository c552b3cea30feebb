"""Opens the SQLite file: durable, shared by processes, its errors in our words."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from wherry.contracts.errors import FileAccessError, NoSpaceError, StoreError, WherryError
from wherry.ledger.schema import SCHEMA_VERSION, STATEMENTS

BUSY_SECONDS: Final = 30.0
"""How long a process waits for another one's transaction."""


class Database:
    """One connection to the store; belongs to the thread that opened it.

    Args:
        path: of the SQLite file; made with its tables if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _in_our_words(path):
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Makes all statements of the block one transaction: all of them or none.

        The write lock is taken at once, so that what the block reads stays true.
        """
        with _in_our_words(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite has already rolled back by itself on some errors, a full disk for one.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Makes all queries of the block see the same state."""
        with _in_our_words(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def execute(self, statement: str, *values: object) -> None:
        """Runs one statement that changes something; only inside `writing`."""
        self._db.execute(statement, values)

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yields the rows of a query one at a time."""
        with _in_our_words(self.path):
            yield from self._db.execute(query, values)

    def first(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """Gives the first row of a query, or None."""
        return next(self.rows(query, *values), None)

    def one(self, query: str, *values: object) -> tuple[Any, ...]:
        """Gives the first row of a query that always has one."""
        row = self.first(query, *values)
        if row is None:
            raise StoreError(
                f"{self.path} lacks a row that it must have.", remedy="Restore it from a backup."
            )
        return row

    def close(self) -> None:
        """Closes the connection; the last one folds the log into the file."""
        self._db.close()

    def _prepare(self) -> None:
        with _in_our_words(self.path):
            self._use_log()
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
        if self._version() < SCHEMA_VERSION:
            self._make_tables()
        if self._version() > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema {self._version()}, expected at most {SCHEMA_VERSION}.",
                remedy="Install the newer version of Wherry that made it.",
            )

    def _use_log(self) -> None:
        # Several first processes may switch a new file to WAL at once. SQLite answers some of
        # them "locked" without waiting, to avoid a deadlock: https://sqlite.org/wal.html
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                (mode,) = self._db.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        if mode != "wal":
            raise StoreError(
                f"{self.path} cannot keep a write-ahead log, only {mode!r}.",
                remedy="Keep the store on a local disk.",
            )

    def _version(self) -> int:
        with _in_our_words(self.path):
            if not self.first("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'"):
                return 0
            row = self.first("SELECT max(version) FROM schema_version")
            return int(row[0]) if row and row[0] else 0

    def _make_tables(self) -> None:
        with self.writing():
            if self._version() == 0:
                for statement in STATEMENTS:
                    self.execute(statement)
                self.execute("INSERT INTO schema_version VALUES (?)", SCHEMA_VERSION)


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _as_wherry_error(error, path) from error


def _as_wherry_error(error: sqlite3.Error, path: Path) -> WherryError:
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return NoSpaceError(
            f"No space is left for {path}.",
            remedy="Free some space and run the same command again: nothing half-written is kept.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"{path} was locked by another process for {BUSY_SECONDS:.0f} s.",
            remedy="Run the same command again; if it lasts, end the process that holds it.",
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return FileAccessError(
            f"{path}: {error}.",
            remedy="Check that its folder exists and that you may write the files in it.",
        )
    return StoreError(
        f"{path} does not hold together: {error}.",
        remedy="Restore it from a backup; `ledger.db-wal` and `ledger.db-shm` belong to it.",
    )


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code: https://sqlite.org/rescode.html
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
