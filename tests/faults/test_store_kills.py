"""Rows 3, 4 and 6 of the fault matrix (README.md): whoever is killed leaves the store whole."""

import os
import random
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.releases import NAME
from tests.faults.stores import Place, lines, ref, told
from tests.ingest.servers import s3
from wherry.contracts import ArtifactRef, digest_file
from wherry.ledger import CHAMPION, Artifacts
from wherry.ledger.artifacts import digest_of

pytestmark = [pytest.mark.faults, pytest.mark.local]


def kill_at_work(place: Place, what: str, *numbers: object, chance: random.Random) -> str:
    """Kills a storekeeper some moment after its first line; gives all that it printed."""
    worker = place.start(what, *numbers)
    assert worker.stdout
    printed = worker.stdout.readline()  # it is at work
    time.sleep(chance.uniform(0, 0.15))
    worker.send_signal(signal.SIGKILL)
    return printed + worker.communicate(timeout=30)[0]


@pytest.mark.slow
def test_kills_in_register_and_promote_lose_nothing_acknowledged(place: Place) -> None:
    chance = random.Random(7)
    acknowledged: dict[int, int] = {}
    for number in range(15):
        printed = kill_at_work(place, "churn", number, chance=chance)
        acknowledged |= {line["generation"]: line["version"] for line in lines(printed)}
        with place.checked() as ledger:
            versions = [release.version for release in ledger.releases()]
            history = told(ledger)
        assert versions == list(range(1, len(versions) + 1))
        assert acknowledged.items() <= history.items()
        assert list(history.values()) == versions  # none registered with its alias unmoved
    assert len(acknowledged) >= 15


def test_a_kill_in_publishing_leaves_a_file_whole_or_absent(place: Place) -> None:
    chance = random.Random(3)
    for number in range(10):
        kill_at_work(place, "publish", number, chance=chance)
    with place.open() as ledger:
        stored = list(ledger.artifacts.stored())
        root = place.state / "artifacts"
        whole = [one for one in stored if digest_of(one)]
        assert len(whole) >= 10
        assert all(digest_file(root / one.key) == digest_of(one) for one in whole)
        _age(root)
        collected = ledger.collect(older_than=timedelta(days=7), remove=True)
        assert len(collected) == len(stored), "orphans are collected"
        assert list(ledger.artifacts.stored()) == []


@pytest.mark.slow
def test_a_kill_in_an_upload_leaves_an_object_whole_or_absent(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)
    with s3() as address:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "WHERRY_ARTIFACTS": "s3://wherry/models",
        }.items():
            monkeypatch.setenv(name, value)
        import fsspec

        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("wherry")
        for number in range(4):
            kill_at_work(sqlite_place, "publish", number, chance=chance)
        elsewhere = Artifacts.open(sqlite_place.folder / "elsewhere")
        stored = list(elsewhere.stored())
        assert len(stored) >= 4
        for one in stored:
            digest = digest_of(one)
            assert digest
            found = ArtifactRef(f"s3://wherry/models/{one.key}", digest, one.size)
            assert digest_file(elsewhere.verified(found)) == digest


def test_a_rollback_that_was_killed_is_repeated_by_its_key(place: Place) -> None:
    place.fill(2)
    with place.open() as ledger:
        for version in (1, 2):
            ledger.switch(CHAMPION, NAME, version, expected_generation=version - 1, reason="new")
    # It had the answer of the database, and nobody heard its own.
    first = lines(place.start("roll_back").communicate(timeout=60)[0])
    again = lines(place.start("roll_back").communicate(timeout=60)[0])
    assert first == again == [{"generation": 3}]
    with place.checked() as ledger:
        assert told(ledger) == {1: 1, 2: 2, 3: 1}
        assert ledger.verify().rows == 5


def test_a_server_that_is_cut_off_keeps_what_it_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.postgres import running

    with running() as server:
        if server is None:
            pytest.skip("no PostgreSQL server")
        place = Place(tmp_path / ".wherry", server.new_database())
        monkeypatch.setenv("WHERRY_STORE", place.url)
        worker = place.start("churn", 1)
        assert worker.stdout
        printed = "".join(worker.stdout.readline() for _ in range(5))
        server.stop("immediate")
        printed += worker.communicate(timeout=60)[0]
        said = lines(printed)
        assert said[-1] == {"error": "E_STORE"}
        assert worker.returncode == 1
        server.start()
        with place.checked() as ledger:
            history = told(ledger)
            acknowledged = {line["generation"]: line["version"] for line in said[:-1]}
            assert acknowledged.items() <= history.items()
            # One more may have been done whose answer was lost; then its retry finds it.
            assert len(history) - len(acknowledged) in (0, 1)
            ledger.artifacts.verified(ref(ledger.find(NAME, 1)))


def _age(folder: Path) -> None:
    then = time.time() - 8 * 86400
    for path in folder.rglob("*"):
        os.utime(path, (then, then))
