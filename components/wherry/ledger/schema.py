"""The store's tables."""

from typing import Final

SCHEMA_VERSION: Final = 1

STATEMENTS: Final = (
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY)",
    # `record` and `evidence` are JSON; what is searched for stands in columns of its own.
    """CREATE TABLE versions (
        name TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        digest TEXT NOT NULL,
        record TEXT NOT NULL,
        evidence TEXT NOT NULL,
        PRIMARY KEY (name, version),
        UNIQUE (name, digest)
    )""",
    """CREATE TABLE aliases (
        name TEXT NOT NULL,
        alias TEXT NOT NULL,
        version INTEGER NOT NULL,
        generation INTEGER NOT NULL CHECK (generation > 0),
        PRIMARY KEY (name, alias),
        FOREIGN KEY (name, version) REFERENCES versions (name, version)
    )""",
    """CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        hash TEXT NOT NULL,
        record TEXT NOT NULL
    )""",
    """CREATE TABLE deployments (
        seq INTEGER PRIMARY KEY REFERENCES audit (seq),
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        target TEXT NOT NULL,
        generation INTEGER NOT NULL,
        record TEXT NOT NULL,
        FOREIGN KEY (name, version) REFERENCES versions (name, version)
    )""",
    # Rules that hold for whoever writes to the file, not for this code alone.
    """CREATE TRIGGER versions_immutable BEFORE UPDATE ON versions
        BEGIN SELECT RAISE(ABORT, 'a version is immutable'); END""",
    """CREATE TRIGGER versions_kept BEFORE DELETE ON versions
        BEGIN SELECT RAISE(ABORT, 'a version is never deleted'); END""",
    """CREATE TRIGGER aliases_forward BEFORE UPDATE ON aliases
        WHEN NEW.name <> OLD.name OR NEW.alias <> OLD.alias
            OR NEW.generation <> OLD.generation + 1
        BEGIN SELECT RAISE(ABORT, 'a generation only goes up by one'); END""",
    """CREATE TRIGGER aliases_kept BEFORE DELETE ON aliases
        BEGIN SELECT RAISE(ABORT, 'an alias is never deleted'); END""",
    """CREATE TRIGGER audit_immutable BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'an audit row is immutable'); END""",
    """CREATE TRIGGER audit_kept BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'an audit row is never deleted'); END""",
    """CREATE TRIGGER deployments_immutable BEFORE UPDATE ON deployments
        BEGIN SELECT RAISE(ABORT, 'a deployment is immutable'); END""",
    """CREATE TRIGGER deployments_kept BEFORE DELETE ON deployments
        BEGIN SELECT RAISE(ABORT, 'a deployment is never deleted'); END""",
)
