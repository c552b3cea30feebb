"""Rules that hold for whoever writes to the tables, not for this code alone: triggers."""

from typing import Final

from alembic import op

_FUNCTION: Final = """
    CREATE FUNCTION wherry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
    END $$
"""


def prepare() -> None:
    """Makes what the triggers call."""
    if _on_a_server():
        op.execute(_FUNCTION)


def refuse(rule: str, event: str, table: str, why: str, *, when: str = "") -> None:
    """Lets a table refuse a kind of change.

    Args:
        rule: the trigger's name.
        event: ``UPDATE`` or ``DELETE``; where there is ``TRUNCATE``, it goes with the latter.
        table: which one.
        why: what the refused writer reads.
        when: a condition on ``OLD`` and ``NEW``; empty for always.
    """
    condition = f"WHEN ({when})" if when else ""
    begin = f"CREATE TRIGGER {rule} BEFORE {event} ON {table}"
    if not _on_a_server():
        op.execute(f"{begin} {condition} BEGIN SELECT RAISE(ABORT, '{why}'); END")
        return
    call = f"EXECUTE FUNCTION wherry_refuse('{why}')"
    op.execute(f"{begin} FOR EACH ROW {condition} {call}")
    if event == "DELETE":
        op.execute(f"CREATE TRIGGER {rule}_whole BEFORE TRUNCATE ON {table} {call}")


def refuse_all(table: str, thing: str) -> None:
    """Lets a table refuse every change but new rows."""
    refuse(f"{table}_immutable", "UPDATE", table, f"{thing} is immutable")
    refuse(f"{table}_kept", "DELETE", table, f"{thing} is never deleted")


def _on_a_server() -> bool:
    return op.get_bind().dialect.name == "postgresql"
