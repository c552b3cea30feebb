"""The store opens where it is told to, keeps its rules there, and takes older forms along."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.fakes.releases import NAME, candidate
from tests.postgres import PASSWORD, Postgres
from wherry.contracts.errors import (
    ExtraMissingError,
    InternalError,
    NoSpaceError,
    StoreError,
)
from wherry.ledger import CHAMPION, Ledger
from wherry.ledger import migrations as package
from wherry.ledger.backends.mounts import file_system, network_file_system
from wherry.ledger.database import Database
from wherry.ledger.schema import METADATA, RULES, SCHEMA, SERVER_RULES

VERSION_1 = Path(__file__).parent / "goldens" / "version-1.sql"
MOUNTS = r"""
22 27 0:20 / /proc rw,nosuid - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /home/ann rw shared:2 - nfs4 files:/home/ann rw,vers=4.2
41 40 0:51 / /home/ann/disk rw - xfs /dev/vdb rw
42 27 0:52 / /mnt/with\040space rw - cifs //files/share rw
43 27 0:53 / /mnt/drive rw - fuse.sshfs ann@host:/ rw
44 27 0:54 / /mnt/layers rw - fuse.fuse-overlayfs overlay rw
45 27 0:55 / /mnt/twice rw - nfs files:/twice rw
46 45 254:2 / /mnt/twice rw - ext4 /dev/vdc rw
47 27 0:56 / /mnt/shared rw - virtiofs shared rw
48 27 0:57 / /mnt/stick rw - fuseblk /dev/sdb1 rw
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.local)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """An empty place for a store, in each database."""
    if request.param == "sqlite":
        return tmp_path / ".wherry" / "ledger.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def database(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database of the server, named by ``WHERRY_STORE``."""
    url = postgres.new_database()
    monkeypatch.setenv("WHERRY_STORE", url)
    return url


def from_version_1(folder: Path) -> Path:
    """Makes a store as Wherry 0.1 left it, with its two files."""
    path = folder / ".wherry" / "ledger.db"
    path.parent.mkdir()
    assert "alembic_version" not in VERSION_1.read_text(encoding="utf-8")
    with sqlite3.connect(path) as db:
        db.executescript(VERSION_1.read_text(encoding="utf-8"))
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    with Ledger.open(folder / "other") as other:
        for content in (b"one", b"two"):
            made = candidate(other, folder, content)
            there = folder / made.uri.removeprefix("file:")
            here = folder / made.uri.removeprefix("file:").replace("other", ".wherry")
            here.parent.mkdir(parents=True)
            there.rename(here)
    return path


def dump(path: Path, table: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def test_tables_are_those_that_queries_expect(address: Path | str) -> None:
    database = Database.open(address)
    found = compare_metadata(MigrationContext.configure(database._db), METADATA)
    kept_for_version_1 = [change[1].name for change in found if change[0] == "remove_table"]
    assert (kept_for_version_1, len(found)) == (["schema_version"], 1), found
    database.close()


def test_the_rules_that_are_looked_for_are_those_that_a_new_store_has(address: Path | str) -> None:
    database = Database.open(address)
    expected = SERVER_RULES if database.on_a_server else RULES
    assert database.rules() == expected
    database.close()


@pytest.mark.local
def test_a_rule_that_was_switched_off_on_a_server_is_told(
    database: str, postgres: Postgres, tmp_path: Path
) -> None:
    with Ledger.open(tmp_path / ".wherry") as ledger:
        assert ledger.verify().ok
        postgres.ask("ALTER TABLE audit DISABLE TRIGGER audit_immutable", database)
        assert "switched off: audit_immutable." in ledger.verify().reason
        postgres.ask("ALTER TABLE audit ENABLE TRIGGER USER", database)
        assert ledger.verify().ok


def test_the_newest_migration_is_the_schema_that_is_asked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(package.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


def test_a_store_of_version_1_is_taken_along_whole(tmp_path: Path) -> None:
    path = from_version_1(tmp_path)
    tables = ("versions", "aliases", "audit", "deployments")
    before = {table: dump(path, table) for table in tables}
    with Ledger.open(tmp_path / ".wherry") as ledger:
        found = ledger.verify()
        assert (found.ok, found.rows, found.reason) == (True, 6, "")
        assert {table: dump(path, table) for table in tables} == before
        assert [release.state for release in ledger.releases()] == ["registered"] * 2
        ledger.switch(CHAMPION, NAME, 1, expected_generation=2, reason="back", action="rollback")
        assert ledger.verify().ok


def test_version_1_refuses_a_store_that_was_taken_along(tmp_path: Path) -> None:
    path = from_version_1(tmp_path)
    Ledger.open(tmp_path / ".wherry").close()
    # What 0.1 asked at its start: it opens nothing above 1.
    assert dump(path, "schema_version")[-1] == (2,)


def test_a_store_taken_along_keeps_the_rules_of_a_new_one(tmp_path: Path) -> None:
    path = from_version_1(tmp_path)
    Ledger.open(tmp_path / ".wherry").close()
    Ledger.open(tmp_path / "new").close()
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger') ORDER BY name"
    with sqlite3.connect(path) as old, sqlite3.connect(tmp_path / "new" / "ledger.db") as new:
        assert old.execute(query).fetchall() == new.execute(query).fetchall()


@pytest.mark.local
def test_eight_processes_take_a_store_along_at_once(tmp_path: Path) -> None:
    from_version_1(tmp_path)
    state = tmp_path / ".wherry"
    code = (
        "import sys, time; from pathlib import Path; from wherry.ledger import Ledger\n"
        "go = Path(sys.argv[1]).parent / 'go'\n"
        "while not go.exists(): time.sleep(0.001)\n"
        "print(Ledger.open(Path(sys.argv[1])).verify().rows)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    work = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(state)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(8)
    ]
    (tmp_path / "go").touch()
    assert [one.communicate(timeout=60)[0] for one in work] == ["6\n"] * 8


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = from_version_1(tmp_path)
    before = path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError("pulled out")

    monkeypatch.setattr("alembic.operations.Operations.create_index", fails)
    with pytest.raises(OSError, match="pulled out"):
        Ledger.open(tmp_path / ".wherry")
    assert path.read_bytes() == before
    monkeypatch.undo()
    with Ledger.open(tmp_path / ".wherry") as ledger:
        assert ledger.verify().ok


def test_a_store_of_a_newer_version_is_refused(address: Path | str) -> None:
    database = Database.open(address)
    with database.writing():
        database._db.exec_driver_sql("UPDATE alembic_version SET version_num = '0099'")
    database.close()
    with pytest.raises(StoreError, match=f"schema 0099, expected at most {SCHEMA}"):
        Database.open(address)


def test_transactions_do_not_nest(address: Path | str) -> None:
    database = Database.open(address)
    with pytest.raises(InternalError), database.writing(), database.reading():
        pass
    with database.writing():
        pass
    database.close()


def test_a_store_may_lie_below_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "100% ünusual? #1 'folder'"
    with Ledger.open(folder) as ledger:
        assert ledger.verify().ok
    assert (folder / "ledger.db").is_file()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ann/project", "nfs4"),
        ("/home/ann/disk/project", ""),
        ("/home/annabel", ""),
        ("/mnt/with space/x", "cifs"),
        ("/mnt/drive", "fuse.sshfs"),
        ("/mnt/layers/x", ""),
        ("/mnt/stick", ""),
        ("/mnt/twice/x", ""),
        ("/mnt/shared", "virtiofs"),
        ("/srv", ""),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(tmp_path: Path, path: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.lstrip())
    assert network_file_system(Path(path), mounts) == kind


def test_a_link_to_a_network_file_system_is_followed(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"{MOUNTS.lstrip()}60 27 0:60 / {tmp_path}/far rw - nfs files:/far rw\n")
    (tmp_path / "near").symlink_to(tmp_path / "far")
    assert network_file_system(tmp_path / "near" / ".wherry", mounts) == "nfs"


def test_where_the_kernel_tells_nothing_every_path_is_local(tmp_path: Path) -> None:
    assert network_file_system(Path("/home/ann"), tmp_path / "none") == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no such list")
def test_this_kernels_own_list_is_understood() -> None:
    assert file_system(Path("/proc/self")) == "proc"


def test_a_store_on_a_network_file_system_is_refused_and_nothing_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.ledger.backends.sqlite.network_file_system", lambda path: "nfs4")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\)") as caught:
        Ledger.open(tmp_path / ".wherry")
    assert "postgresql://" in caught.value.remedy
    assert not (tmp_path / ".wherry").exists()


def test_a_store_that_is_a_link_to_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / "far"
    monkeypatch.setattr(
        "wherry.ledger.backends.sqlite.network_file_system",
        lambda path: "nfs4" if path.resolve().is_relative_to(far) else "",
    )
    for folder in (far, tmp_path / ".wherry"):
        folder.mkdir()
    (tmp_path / ".wherry" / "ledger.db").symlink_to(far / "ledger.db")
    with pytest.raises(StoreError, match="network file system"):
        Ledger.open(tmp_path / ".wherry")
    assert not list(far.iterdir())


@pytest.mark.parametrize(
    "address", ["unset:", "sqlite://", "sqlite:///:memory:", "x.db", "mysql://a:hunter2@h/d"]
)
def test_an_address_of_neither_kind_is_refused_without_showing_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("WHERRY_STORE", address)
    for ask in (Ledger.open, Ledger.exists):
        with pytest.raises(StoreError, match="expected sqlite:///PATH or postgresql://") as caught:
            ask(tmp_path)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@127.0.0.1:1/wherry",
        "postgres://ann:hunter2@127.0.0.1:1/wherry",
        "postgresql://ann@127.0.0.1:1/wherry?password=hunter2",
        "postgresql://ann:hunter2@127.0.0.1:port/wherry",
        "postgresql://ann:x/hunter2@127.0.0.1:1/wherry",
        "postgresql://127.0.0.1:1/wherry?sslpassword=hunter2&passfile=/hunter2",
    ],
)
def test_a_server_that_does_not_answer_is_named_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("WHERRY_STORE", url)
    for ask in (Ledger.open, Ledger.exists):
        with pytest.raises(StoreError) as caught:
            ask(tmp_path / ".wherry")
        told = f"{caught.value} {caught.value.__cause__} {caught.value.__cause__!r}"
        assert "hunter2" not in told
        assert "postgresql" in told


def test_without_psycopg_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_STORE", "postgresql://ann@127.0.0.1/wherry")
    monkeypatch.setattr("wherry.ledger.backends.postgresql.find_spec", lambda name: None)
    with pytest.raises(ExtraMissingError, match=r'pip install "wherry\[postgresql\]"'):
        Ledger.open(tmp_path)


@pytest.mark.local
def test_a_wrong_password_is_told_but_not_shown(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = postgres.new_database().replace(PASSWORD, "hunter3")
    monkeypatch.setenv("WHERRY_STORE", wrong)
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        Ledger.open(tmp_path)
    assert "hunter3" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.local
def test_a_store_on_a_server_is_seen_from_any_folder(database: str, tmp_path: Path) -> None:
    assert not Ledger.exists(tmp_path)
    with Ledger.open(tmp_path / "here" / ".wherry") as ledger:
        ledger.register(candidate(ledger, tmp_path, b"one"))
    assert Ledger.exists(tmp_path / "there")
    with Ledger.open(tmp_path / "there") as again:
        assert [release.version for release in again.releases()] == [1]
        assert again.verify().ok
    assert not (tmp_path / "there" / "ledger.db").exists()


@pytest.mark.local
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE versions SET record = '{}'",
        "DELETE FROM versions WHERE version = 3",
        "UPDATE audit SET record = '{}'",
        "DELETE FROM audit",
        "TRUNCATE audit CASCADE",
        "UPDATE aliases SET version = 2",
        "UPDATE aliases SET generation = generation - 1",
        "DELETE FROM aliases",
        "TRUNCATE aliases",
        "INSERT INTO aliases VALUES ('icd10-triage', 'prod', 9, 1)",
        "INSERT INTO states VALUES (1, 'icd10-triage', 1, 'healthy')",
        "INSERT INTO states VALUES (99, 'icd10-triage', 1, 'revoked')",
    ],
)
def test_a_server_refuses_to_rewrite_the_tables_too(
    postgres: Postgres, database: str, tmp_path: Path, statement: str
) -> None:
    import psycopg

    with Ledger.open(tmp_path) as ledger:
        ledger.register(candidate(ledger, tmp_path, b"one"))
        ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason="first")
        if "version = 3" in statement:
            for content in (b"two", b"three"):
                ledger.register(candidate(ledger, tmp_path, content))
        with pytest.raises(psycopg.IntegrityError):
            postgres.ask(statement, database)
        assert ledger.verify().ok


@pytest.mark.local
def test_names_come_in_one_order_whatever_the_servers_locale(
    postgres: Postgres, database: str, tmp_path: Path
) -> None:
    names = ["a-b", "a1", "ab", "a"]
    with Ledger.open(tmp_path / ".wherry") as ledger:
        for name in names:
            ledger.register(candidate(ledger, tmp_path, b"one", name=name))
        assert [release.name for release in ledger.releases()] == sorted(names)
    (collation,) = postgres.ask(
        "SELECT collation_name FROM information_schema.columns "
        "WHERE table_name = 'versions' AND column_name = 'name'",
        database,
    )
    assert collation == ("C",)


@pytest.mark.local
def test_a_database_that_may_garble_texts_is_refused(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database("ENCODING 'SQL_ASCII' TEMPLATE template0")
    monkeypatch.setenv("WHERRY_STORE", url)
    with pytest.raises(StoreError, match="server_encoding = 'SQL_ASCII', expected 'UTF8'"):
        Ledger.open(tmp_path)


@pytest.mark.local
def test_a_change_waits_for_its_disk_even_where_the_database_would_not(
    postgres: Postgres, database: str, tmp_path: Path
) -> None:
    name = database.rpartition("/")[2]
    postgres.ask(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Ledger.open(tmp_path) as ledger:
        ask = "SHOW synchronous_commit"
        assert ledger._tables._db._db.exec_driver_sql(ask).scalar_one() == "off"
        with ledger._tables.writing():
            assert ledger._tables._db._db.exec_driver_sql(ask).scalar_one() == "on"


@pytest.mark.local
def test_who_waits_too_long_for_a_server_is_told(
    postgres: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger.open(tmp_path).close()
    holder = Database.open(database)
    writing = holder._backend.writing.replace("30s", "200ms")
    monkeypatch.setattr("wherry.ledger.backends.postgresql.PostgresqlDatabase.writing", writing)
    with holder.writing(), Ledger.open(tmp_path) as ledger:
        with pytest.raises(StoreError, match="locked by another process"):
            ledger.register(candidate(ledger, tmp_path, b"one"))
        assert ledger.releases() == ()
    holder.close()


@pytest.mark.local
def test_a_reader_sees_one_state_while_another_writes(database: str, tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as reader, Ledger.open(tmp_path) as writer:
        with reader._tables.reading():
            assert reader.releases() == ()
            writer.register(candidate(writer, tmp_path, b"one"))
            assert reader.releases() == ()
        assert len(reader.releases()) == 1


@pytest.mark.local
def test_a_full_disk_of_a_server_is_named() -> None:
    """The server's own error, for a disk of its own would need a mount."""
    from psycopg import errors
    from sqlalchemy.exc import OperationalError

    from wherry.ledger.backends.postgresql import PostgresqlDatabase

    full = OperationalError("INSERT", {}, errors.DiskFull("could not extend file"))
    told = PostgresqlDatabase("postgresql://ann:hunter2@db/wherry").explain(full)
    assert isinstance(told, NoSpaceError)


def test_a_sqlite_store_syncs_each_commit_and_keeps_its_references(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "ledger.db")
    found = [
        database._db.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    assert found == ["wal", 2, 1]  # 2: https://sqlite.org/pragma.html#pragma_synchronous
    database.close()


def test_threads_may_make_their_stores_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(_made, [tmp_path / str(number) for number in range(8)])
    assert list(made) == [SCHEMA] * 8


def _made(folder: Path) -> str:
    database = Database.open(folder / "ledger.db")
    found = database._schema()
    database.close()
    return found


@pytest.mark.local
def test_users_with_other_search_paths_wait_for_each_other(
    postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Database.open(database)
    postgres.ask("CREATE SCHEMA theirs", database)
    second = Database.open(f"{database}?options=-csearch_path%3Dtheirs,public")
    writing = second._backend.writing.replace("30s", "200ms")
    monkeypatch.setattr("wherry.ledger.backends.postgresql.PostgresqlDatabase.writing", writing)
    with (
        first.writing(),
        pytest.raises(StoreError, match="locked by another process"),
        second.writing(),
    ):
        pass
    for one in (first, second):
        one.close()
