"""The store's tables, as queries see them; `migrations` makes them and the rules that they keep."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA: Final = "0003"
"""The last migration."""

_KEPT: Final = ("versions", "audit", "deployments", "approvals", "states", "blocks", "store")
RULES: Final = frozenset(
    ("aliases_forward", "aliases_kept", *(f"{table}_immutable" for table in _KEPT))
) | {f"{table}_kept" for table in _KEPT}
"""The triggers by which a database refuses changes, whoever makes them."""
SERVER_RULES: Final = RULES | {f"{rule}_whole" for rule in RULES if rule.endswith("_kept")}
"""Those of PostgreSQL, which can empty a table at once."""

METADATA: Final = MetaData()

_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")
# By bytes, as SQLite and Python sort; a server's own order may leave out the dashes.
_LABEL: Final = Text().with_variant(Text(collation="C"), "postgresql")


def _of_a_version() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["name", "version"], ["versions.name", "versions.version"])


def _beside_a_row() -> Column[int]:
    return Column("seq", _NUMBER, ForeignKey("audit.seq"), primary_key=True, autoincrement=False)


# `record` and `evidence` are JSON; what is searched for stands in columns of its own.
VERSIONS: Final = Table(
    "versions",
    METADATA,
    Column("name", _LABEL, nullable=False),
    Column("version", Integer, CheckConstraint("version > 0"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    PrimaryKeyConstraint("name", "version"),
    UniqueConstraint("name", "digest"),
)

ALIASES: Final = Table(
    "aliases",
    METADATA,
    Column("name", _LABEL, nullable=False),
    Column("alias", _LABEL, nullable=False),
    Column("version", Integer, nullable=False),
    Column("generation", _NUMBER, CheckConstraint("generation > 0"), nullable=False),
    PrimaryKeyConstraint("name", "alias"),
    _of_a_version(),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False),
    Column("record", Text, nullable=False),
)

DEPLOYMENTS: Final = Table(
    "deployments",
    METADATA,
    _beside_a_row(),
    Column("name", _LABEL, nullable=False),
    Column("version", Integer, nullable=False),
    Column("target", Text, nullable=False),
    Column("generation", _NUMBER, nullable=False),
    Column("record", Text, nullable=False),
    _of_a_version(),
)

APPROVALS: Final = Table(
    "approvals",
    METADATA,
    _beside_a_row(),
    Column("name", _LABEL, nullable=False),
    Column("version", Integer, nullable=False),
    Column("record", Text, nullable=False),
    _of_a_version(),
    Index("approvals_of_a_version", "name", "version"),
)

STATES: Final = Table(
    "states",
    METADATA,
    _beside_a_row(),
    Column("name", _LABEL, nullable=False),
    Column("version", Integer, nullable=False),
    Column(
        "state",
        Text,
        CheckConstraint("state IN ('registered', 'retired', 'revoked')"),
        nullable=False,
    ),
    _of_a_version(),
    Index("states_of_a_version", "name", "version"),
)

BLOCKS: Final = Table(
    "blocks",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
)
"""Hashes of whole blocks of audit rows, so that a proof need not read them all again."""

STORE: Final = Table("store", METADATA, Column("id", Text, primary_key=True))
"""One row: what tells this store from every other, for files that several could share."""
