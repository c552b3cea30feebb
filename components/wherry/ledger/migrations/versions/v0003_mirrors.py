"""Takes away the table of mirrors: what other registries hold is asked of them, never kept."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Drops the table, which nothing ever wrote to."""
    op.drop_table("mirrors")
