"""One connection to the store's database: transactions, and errors in our words."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, Self

from sqlalchemy import Connection, Engine, Executable, column, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from wherry.contracts.errors import InternalError, StoreError, WherryError
from wherry.ledger.backends.postgresql import PostgresqlDatabase
from wherry.ledger.backends.sqlite import SqliteFile
from wherry.ledger.schema import SCHEMA

EMPTY: Final = "0000"
_VERSIONS: Final = "alembic_version"


class Backend(Protocol):
    """What the databases do each in their own way."""

    where: str
    """For messages; holds no password."""

    @property
    def writing(self) -> str:
        """The statements that begin a transaction and take the write lock."""

    @property
    def reading(self) -> str:
        """The statement that begins a transaction of one unchanging state."""

    @property
    def rules(self) -> str:
        """The query of the triggers that there are."""

    def engine(self) -> Engine:
        """Gives an engine for connections that commit each statement by itself."""

    def prepare(self, connection: Connection) -> None:
        """Sets up a new connection, and refuses a database that cannot keep what it is given."""

    def explain(self, error: SQLAlchemyError) -> WherryError:
        """Says what went wrong in our words."""


class Database:
    """One connection to the store; belongs to the thread that opened it.

    Args:
        backend: the database; its tables are made or brought up to date.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._busy = False
        with self._in_our_words():
            self._engine = backend.engine()
            self._db = self._engine.connect()
        try:
            with self._in_our_words():
                backend.prepare(self._db)
                self._bring_up_to_date()
        except BaseException:
            self.close()
            raise

    @property
    def on_a_server(self) -> bool:
        """Whether it is PostgreSQL."""
        return self._db.dialect.name == "postgresql"

    @classmethod
    def open(cls, address: Path | str) -> Self:
        """Opens a SQLite file by its path, or a PostgreSQL database by its URL.

        Raises:
            StoreError: if it cannot be opened, does not hold together or is newer.
        """
        return cls(_backend(address))

    @staticmethod
    def exists(address: str) -> bool:
        """Says whether a server's database holds a store, without making one."""
        backend = PostgresqlDatabase(address)
        with _in_words_of(backend), backend.engine().connect() as connection:
            return inspect(connection).has_table(_VERSIONS)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Makes all statements of the block one transaction: all of them or none.

        One process at a time is inside, so that what the block reads stays true.
        """
        with self._transaction(self._backend.writing, "COMMIT"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Makes all queries of the block see the same state."""
        with self._transaction(self._backend.reading, "ROLLBACK"):
            yield

    def execute(self, statement: Executable) -> None:
        """Runs one statement that changes something; only inside `writing`."""
        self._db.execute(statement)

    def rows(self, query: Executable) -> list[tuple[Any, ...]]:
        """Gives the rows of a query, which must be few."""
        with self._in_our_words():
            return [tuple(row) for row in self._db.execute(query)]

    def first(self, query: Executable) -> tuple[Any, ...] | None:
        """Gives the first row of a query, or None."""
        return next(iter(self.rows(query)), None)

    def one(self, query: Executable) -> tuple[Any, ...]:
        """Gives the first row of a query that always has one."""
        row = self.first(query)
        if row is None:
            raise StoreError(
                f"{self._backend.where} lacks a row that it must have.",
                remedy="Restore it from a backup.",
            )
        return row

    def rules(self) -> set[str]:
        """Gives the names of the triggers that refuse changes."""
        with self._in_our_words():
            return {str(name) for (name,) in self._db.exec_driver_sql(self._backend.rules)}

    def close(self) -> None:
        """Closes the connection; SQLite's last one folds the log into the file."""
        with suppress(SQLAlchemyError):  # of a server that is gone nothing is left to close
            self._db.close()
        self._engine.dispose()

    @contextmanager
    def _transaction(self, begin: str, end: str) -> Iterator[None]:
        if self._busy:
            # PostgreSQL would let the inner one end the outer one.
            raise InternalError("a transaction is open already.", remedy="Report this.")
        self._busy = True
        try:
            with self._in_our_words():
                self._db.exec_driver_sql(begin)
                yield
                self._db.exec_driver_sql(end)
        except BaseException:
            # It may be undone already: by SQLite after a full disk, by a server that is gone.
            with suppress(SQLAlchemyError):
                self._db.exec_driver_sql("ROLLBACK")
            raise
        finally:
            self._busy = False

    def _in_our_words(self) -> AbstractContextManager[None]:
        return _in_words_of(self._backend)

    def _bring_up_to_date(self) -> None:
        if self._schema() != SCHEMA:
            with self.writing():
                # Another process may have done it while this one waited.
                self._migrate(self._schema())

    def _migrate(self, found: str) -> None:
        if found > SCHEMA:
            raise StoreError(
                f"{self._backend.where} has schema {found}, expected at most {SCHEMA}.",
                remedy="Install the newer version of Wherry that made it.",
            )
        if found < SCHEMA:
            from wherry.ledger.migrations.run import migrate

            migrate(self._db)

    def _schema(self) -> str:
        if not inspect(self._db).has_table(_VERSIONS):
            return EMPTY
        row = self.first(select(column("version_num")).select_from(table(_VERSIONS)))
        return str(row[0]) if row else EMPTY


def _backend(address: Path | str) -> Backend:
    return SqliteFile(address) if isinstance(address, Path) else PostgresqlDatabase(address)


@contextmanager
def _in_words_of(backend: Backend) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise backend.explain(error) from error
