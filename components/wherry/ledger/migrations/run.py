"""Runs the migrations that a store still lacks."""

import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

_VERSION_1: Final = "schema_version"
"""The table that a store had before there were migrations."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""Alembic keeps what it works on in globals."""


def migrate(connection: Connection) -> None:
    """Brings the tables to this version's form, inside the transaction that was begun.

    Args:
        connection: to the store; holds its write lock.
    """
    config = Config()
    # A percent sign begins a substitution in such a file.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    tables = inspect(connection)
    with _ONE_AT_A_TIME:
        if tables.has_table(_VERSION_1) and not tables.has_table("alembic_version"):
            command.stamp(config, "0001")
        command.upgrade(config, "head")
