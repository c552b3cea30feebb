"""Keeps the store in a PostgreSQL database: shared by the machines that reach it."""

import re
from importlib.util import find_spec
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from wherry.contracts.errors import (
    ExtraMissingError,
    FileAccessError,
    NoSpaceError,
    StoreError,
    WherryError,
)

BUSY_SECONDS: Final = 30
"""How long a process waits for another one's transaction."""
_CONNECT: Final = {"application_name": "wherry", "client_encoding": "utf8", "connect_timeout": 10}
_LOCK: Final = 0x57485259
"""Says to the server that a lock is Wherry's."""
# One round trip. The lock makes changes follow each other, so that what one reads stays true and
# the chain has one end; it is of the table, for users may reach that by other search paths. A
# server that may lose a commit is told not to.
_WRITING: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL lock_timeout = '{BUSY_SECONDS}s';
    SELECT set_config('synchronous_commit', 'on', true)
        WHERE current_setting('synchronous_commit') = 'off';
    SELECT pg_advisory_xact_lock(
        {_LOCK}, hashtext(coalesce(to_regclass('audit')::oid::text, current_schema()))
    )
"""
_REACH: Final = "Check WHERRY_STORE and the network, and run the same command again."


class PostgresqlDatabase:
    """A database of a PostgreSQL server; in its current schema lies one store.

    Args:
        url: ``postgresql://USER@HOST/DATABASE``; a password in it is never shown.
    """

    writing = _WRITING
    reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    # Of the store's own schema; one that was switched off keeps nothing.
    rules = """
        SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('audit'))
    """

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):
            # Its text may hold a password.
            raise StoreError(
                "WHERRY_STORE is a 'postgresql' address that cannot be read.",
                remedy="Write it as postgresql://USER@HOST:PORT/DATABASE; a colon, slash or @ in "
                "a password as %3A, %2F or %40.",
            ) from None
        port = f":{self._url.port}" if self._url.port else ""
        self.where = f"postgresql://{self._url.host or ''}{port}/{self._url.database or ''}"

    def engine(self) -> Engine:
        """Gives an engine for connections that commit each statement by itself.

        Raises:
            ExtraMissingError: without psycopg.
        """
        if find_spec("psycopg") is None:
            raise ExtraMissingError(
                "WHERRY_STORE is a PostgreSQL database, which needs psycopg.",
                remedy='Run: pip install "wherry[postgresql]"',
            )
        return create_engine(
            self._url,
            isolation_level="AUTOCOMMIT",
            connect_args=_CONNECT,
            poolclass=NullPool,
            hide_parameters=True,
        )

    def prepare(self, connection: Connection) -> None:
        """Checks that the server keeps what it acknowledges.

        Raises:
            StoreError: if it does not, or the database's texts are not in UTF-8.
        """
        for setting, expected in (("fsync", "on"), ("server_encoding", "UTF8")):
            found = connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
            if found != expected:
                raise StoreError(
                    f"{self.where} has {setting} = {found!r}, expected {expected!r}.",
                    remedy="Correct the server's settings, or choose another database.",
                )

    def explain(self, error: SQLAlchemyError) -> WherryError:
        """Says what went wrong in our words."""
        cause = getattr(error, "orig", None) or error
        state = getattr(cause, "sqlstate", None) or ""
        # Its first line alone: what follows may be a whole row.
        first = getattr(getattr(cause, "diag", None), "message_primary", None)
        told = self._without_secrets(first or str(cause))
        if state == "53100":
            return NoSpaceError(
                f"No space is left for {self.where}: {told}.",
                remedy="Free some on its server and run the same command again: nothing "
                "half-written is kept.",
            )
        if state in ("55P03", "40001", "40P01"):
            return StoreError(
                f"{self.where} was locked by another process for {BUSY_SECONDS} s: {told}.",
                remedy="Run the same command again; if it lasts, end the process that holds it.",
            )
        if state in ("25006", "42501", "58030", "53300"):
            return FileAccessError(
                f"{self.where} refuses: {told}.",
                remedy="Check that this is the primary server and that its user may write there.",
            )
        if not state or state[:2] in ("08", "28", "3D", "57"):
            return StoreError(
                f"{self.where} does not answer: {told}.",
                # A change whose answer was lost is known again by its key or its digest.
                remedy=_REACH,
            )
        return StoreError(
            f"{self.where} does not hold together: {told}.", remedy="Restore it from a backup."
        )

    def _without_secrets(self, text: str) -> str:
        secrets = [self._url.password, *(v for k, v in self._url.query.items() if "pass" in k)]
        for secret in filter(None, map(str, secrets)):
            text = text.replace(secret, "***")
        return re.sub(r"\s+", " ", text).strip().rstrip(".")
