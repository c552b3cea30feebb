"""Rows 7, 8 and 9 of the fault matrix: logs that were cut, full disks, disks that refuse."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, candidate
from tests.faults.stores import Place, lines, told
from tests.postgres import Postgres, running
from wherry.contracts.errors import NoSpaceError, StoreError, WherryError
from wherry.ledger import CHAMPION, Ledger
from wherry.ledger.checkpoints import Checkpoint, Signed

pytestmark = [pytest.mark.faults, pytest.mark.local]


@pytest.fixture
def busy(sqlite_place: Place) -> Iterator[tuple[Place, Checkpoint]]:
    """A store whose changes are all in its log, and a checkpoint of it that is kept elsewhere."""
    with sqlite_place.open() as ledger:
        ledger._tables._db._db.exec_driver_sql("PRAGMA wal_autocheckpoint = 0")
        generation = 0
        for content in (b"one", b"two", b"three"):
            release = ledger.register(candidate(ledger, sqlite_place.folder, content))
            for _ in range(4):
                generation = ledger.switch(
                    *(CHAMPION, NAME, release.version),
                    expected_generation=generation,
                    reason="on",
                )
        yield sqlite_place, ledger.log.checkpoint()


def damaged(place: Place, number: int, chance: random.Random, how: str) -> Place:
    """Copies the store as a power cut leaves it, its log cut or partly zeroed."""
    copy = Place(place.folder / f"copy-{number}" / ".wherry")
    copy.state.mkdir(parents=True)
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(place.state / name, copy.state)
    (copy.state / "artifacts").symlink_to(place.state / "artifacts")
    log = copy.state / "ledger.db-wal"
    size = log.stat().st_size
    at = chance.randrange(size)
    with log.open("r+b") as file:
        if how == "cut":
            file.truncate(at)
        else:
            file.seek(at)
            file.write(bytes(min(4096, size - at)))
    return copy


@pytest.mark.parametrize("how", ["cut", "zeroed"])
def test_a_damaged_log_leaves_a_valid_beginning_and_the_checkpoint_tells(
    busy: tuple[Place, Checkpoint], how: str
) -> None:
    place, checkpoint = busy
    chance, lost = random.Random(11), 0
    for number in range(25):
        with damaged(place, number, chance, how).open() as ledger:
            found = ledger.verify()
            assert found.ok, found.reason
            held = ledger.verify([Signed(checkpoint, b"", "key")])
            assert held.ok == (found.rows >= checkpoint.size)
            if not held.ok:
                lost += 1
                assert held.first_bad == found.rows + 1
            # It goes on from there, and the checkpoint still tells.
            at = ledger.alias(NAME, CHAMPION)
            ledger.register(candidate(ledger, place.folder, f"after {number}".encode()))
            assert ledger.verify().ok
            assert ledger.alias(NAME, CHAMPION) == at
    assert lost > 10


def on_a_small_disk(place: Place) -> list[str]:
    """The command line that runs a storekeeper on a tmpfs of its own, 3 MB large."""
    inner = f'mount -t tmpfs -o size=3m tmpfs "{place.folder}" && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", inner, "sh", *place.command("fill")]


def test_a_full_disk_is_named_and_changes_nothing(sqlite_place: Place) -> None:
    mounts = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(sqlite_place.folder)]
    if not shutil.which("unshare") or subprocess.run(mounts, capture_output=True).returncode:
        pytest.skip("this system lets no test mount a small disk")
    done = subprocess.run(
        on_a_small_disk(sqlite_place),
        capture_output=True,
        text=True,
        env=sqlite_place.environment(),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout) == {
        "publish": "E_NOSPACE",
        "register": "E_NOSPACE",
        "switch": "E_NOSPACE",
        "open": "E_NOSPACE",
        "ok": True,
        "unchanged": True,
        "generation": 1,
        "version": 3,
        "verified": True,
    }


def test_a_full_database_is_named_and_changes_nothing(sqlite_place: Place) -> None:
    with sqlite_place.open() as ledger:
        ledger.register(candidate(ledger, sqlite_place.folder, b"one"))
        database = ledger._tables._db._db  # SQLite's own limit stands in for a full disk
        pages = database.exec_driver_sql("PRAGMA page_count").scalar_one()
        database.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(NoSpaceError, match=r"ledger\.db") as caught:
            for number in range(100):
                content = f"file {number}".encode()
                ledger.register(candidate(ledger, sqlite_place.folder, content))
        assert caught.value.code == "E_NOSPACE"
        kept = len(ledger.releases())
        assert ledger.verify().ok
        assert ledger.verify().rows == kept
        database.exec_driver_sql("PRAGMA max_page_count = 100000")
        ledger.register(candidate(ledger, sqlite_place.folder, b"room again"))
        assert len(ledger.releases()) == kept + 1


@pytest.fixture
def small_disk(tmp_path: Path, postgres: Postgres) -> Iterator[Path]:
    """A disk of 16 MB that the server may write to."""
    folder = Path("/tmp") / f"wherry-small-{os.getpid()}"  # a test's own folder hides from others
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=16m,uid={postgres.user},mode=700", "t", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("this system lets no test mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_of_a_server_is_named_and_changes_nothing(
    postgres: Postgres, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.ask(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    url = postgres.new_database("TABLESPACE small")
    monkeypatch.setenv("WHERRY_STORE", url)
    place = Place(tmp_path / ".wherry", url)
    place.fill(2)
    with place.open() as ledger:
        wanted = candidate(ledger, tmp_path, b"wanted")
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(1 << 12))
        done = 0
        with pytest.raises(NoSpaceError, match="No space is left for postgresql://"):
            for number in range(300):  # pages that are there already take some rows
                ledger.register(candidate(ledger, tmp_path, f"more {number}".encode()))
                done += 1
        found = ledger.verify()
        assert (found.ok, found.rows) == (True, 2 + done)
        filler.unlink()
        assert ledger.register(wanted).version == 3 + done
        assert ledger.verify().ok
    postgres.ask(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
    postgres.ask("DROP TABLESPACE small")


def test_a_limit_on_file_sizes_ends_in_a_typed_error(sqlite_place: Place) -> None:
    limited = 'ulimit -f 64 && exec "$@"'  # in blocks of 512 or 1024 bytes
    done = subprocess.run(
        ["sh", "-c", limited, "sh", *sqlite_place.command("churn", 1)],
        capture_output=True,
        text=True,
        env=sqlite_place.environment(),
        timeout=120,
    )
    assert lines(done.stdout)[-1] == {"error": "E_IO"}
    assert done.returncode == 1
    with sqlite_place.checked() as ledger:
        assert list(ledger.artifacts.stored()) == []


def test_a_disk_that_fails_under_the_log_ends_in_a_typed_error(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_place.fill(1)
    with sqlite_place.open() as ledger:
        before = ledger.verify()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (sqlite_place.state / name).unlink(missing_ok=True)
    (sqlite_place.state / "ledger.db-wal").mkdir()  # what cannot be written, even by root
    with pytest.raises(WherryError) as caught:
        sqlite_place.open()
    assert caught.value.code in ("E_IO", "E_STORE")
    (sqlite_place.state / "ledger.db-wal").rmdir()
    with sqlite_place.checked() as ledger:
        assert ledger.verify() == before


def test_a_server_that_goes_away_in_the_middle_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as server:
        if server is None:
            pytest.skip("no PostgreSQL server")
        place = Place(tmp_path / ".wherry", server.new_database())
        monkeypatch.setenv("WHERRY_STORE", place.url)
        place.fill(2)
        ledger = place.open()
        add_row = ledger._tables.add_row

        def cut(*arguments: object) -> None:
            add_row(*arguments)  # type: ignore[arg-type]  # as they came
            server.stop("immediate")

        monkeypatch.setattr(ledger._tables, "add_row", cut)
        with pytest.raises(StoreError, match="does not answer") as caught:
            ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason="first")
        assert "run the same command again" in caught.value.remedy
        ledger.close()
        with pytest.raises(StoreError, match="does not answer"):
            Ledger.open(place.state)
        server.start()
        with place.checked() as again:
            assert told(again) == {}
            again.switch(CHAMPION, NAME, 1, expected_generation=0, reason="first")
            assert told(again) == {1: 1}
