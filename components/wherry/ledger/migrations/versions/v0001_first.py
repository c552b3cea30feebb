"""Versions, aliases, deployments and the audit chain."""

import sqlalchemy as sa
from alembic import op

from wherry.ledger.migrations.rules import prepare, refuse, refuse_all

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_LABEL = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the tables of version 1, and the rules that they keep."""
    _make_versions()
    _make_aliases()
    _make_audit()
    _make_deployments()
    prepare()
    refuse_all("versions", "a version")
    refuse(
        *("aliases_forward", "UPDATE", "aliases", "a generation only goes up by one"),
        when="NEW.name <> OLD.name OR NEW.alias <> OLD.alias"
        " OR NEW.generation <> OLD.generation + 1",
    )
    refuse("aliases_kept", "DELETE", "aliases", "an alias is never deleted")
    refuse_all("audit", "an audit row")
    refuse_all("deployments", "a deployment")


def _make_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("name", _LABEL, nullable=False),
        sa.Column("version", sa.Integer, sa.CheckConstraint("version > 0"), nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
        sa.UniqueConstraint("name", "digest"),
    )


def _make_aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("name", _LABEL, nullable=False),
        sa.Column("alias", _LABEL, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("generation", _NUMBER, sa.CheckConstraint("generation > 0"), nullable=False),
        sa.PrimaryKeyConstraint("name", "alias"),
        sa.ForeignKeyConstraint(["name", "version"], ["versions.name", "versions.version"]),
    )


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )


def _make_deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column(
            "seq", _NUMBER, sa.ForeignKey("audit.seq"), primary_key=True, autoincrement=False
        ),
        sa.Column("name", _LABEL, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("generation", _NUMBER, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["name", "version"], ["versions.name", "versions.version"]),
    )
