"""Approvals, states and mirrors of versions, hashes of blocks of audit rows, the store's id."""

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

from wherry.ledger.migrations.rules import refuse_all

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_LABEL = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Adds the tables; those of version 1 stay as they are."""
    state = sa.CheckConstraint("state IN ('registered', 'retired', 'revoked')")
    _make_beside_rows("approvals", "an approval", _text("record"))
    _make_beside_rows("states", "a state", sa.Column("state", sa.Text, state, nullable=False))
    _make_beside_rows("mirrors", "a mirror", _text("mirror"), _text("record"))
    op.create_table(
        "blocks",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    refuse_all("blocks", "the hash of a block")
    _name_the_store()
    _keep_version_1_out()


def _make_beside_rows(table: str, thing: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        table,
        sa.Column(
            "seq", _NUMBER, sa.ForeignKey("audit.seq"), primary_key=True, autoincrement=False
        ),
        sa.Column("name", _LABEL, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["name", "version"], ["versions.name", "versions.version"]),
    )
    op.create_index(f"{table}_of_a_version", table, ["name", "version"])
    refuse_all(table, thing)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _name_the_store() -> None:
    store = op.create_table("store", sa.Column("id", sa.Text, primary_key=True))
    op.bulk_insert(store, [{"id": str(uuid.uuid4())}])
    refuse_all("store", "the id of a store")


def _keep_version_1_out() -> None:
    # Wherry 0.1 reads this table alone. It would promote what was revoked: it must not open it.
    op.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)")
    op.execute("INSERT INTO schema_version (version) VALUES (2)")
