"""Runs the migrations on a connection that is inside a transaction already."""

from typing import TYPE_CHECKING

from alembic import context

if TYPE_CHECKING:
    from sqlalchemy import Connection

connection: "Connection" = context.config.attributes["connection"]
context.configure(connection=connection)
context.run_migrations()
