"""Rows 10, 11, 12 and 14 of the fault matrix: who comes at once, twice, or too late."""

import multiprocessing
import subprocess
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, candidate, run_files
from tests.faults.stores import WORKERS, Place, told
from wherry.contracts import digest_bytes
from wherry.contracts.errors import ConflictError
from wherry.ledger import CHAMPION, Ledger
from wherry.release.run import run as release

pytestmark = [pytest.mark.faults, pytest.mark.local]
_MOVES = ("register", "promote", "rollback")
"""Of the audit rows, those that change what is released; each run of a stage leaves one, too."""


def test_eight_first_starts_at_once_make_one_store_and_one_version(place: Place) -> None:
    printed = place.race([place.start("first_start") for _ in range(WORKERS)])
    assert printed == [[{"version": 1}]] * WORKERS
    with place.checked() as ledger:
        assert len(ledger.releases()) == ledger.verify().rows == 1


@pytest.mark.slow
def test_no_first_start_meets_a_lock(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(WORKERS)

    def work() -> None:
        for start in range(60):  # SQLite answers about one in sixty "locked" without waiting
            together.wait(timeout=60)
            Ledger.open(tmp_path / str(start)).close()

    processes = [fork.Process(target=work) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * WORKERS


def test_of_eight_promotions_from_one_generation_one_wins(place: Place) -> None:
    place.fill(WORKERS)
    work = [place.start("promote_once", version) for version in range(1, WORKERS + 1)]
    printed = [line for (line,) in place.race(work)]
    won = [line for line in printed if "generation" in line]
    assert [line["generation"] for line in won] == [1]
    assert printed.count({"error": "E_CONFLICT"}) == WORKERS - 1
    assert sorted(one.returncode for one in work) == [0] + [4] * (WORKERS - 1)
    with place.checked() as ledger:
        at = ledger.alias(NAME, CHAMPION)
        assert at and at.version == won[0]["version"]


def test_eight_promoters_lose_no_promotion(place: Place) -> None:
    times = 10
    place.fill(2 * WORKERS)
    work = [place.start("promote", 2 * i + 1, 2 * i + 2, times) for i in range(WORKERS)]
    acknowledged = [
        line for printed in place.race(work) for line in printed if "generation" in line
    ]
    with place.checked() as ledger:
        history = told(ledger)
    assert sorted(history) == list(range(1, WORKERS * times + 1))
    assert history == {line["generation"]: line["version"] for line in acknowledged}


def test_a_release_that_is_run_again_makes_no_second_version_or_row(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(place.state))
    files = run_files(place.folder / "run")
    records = [place.folder / "release-1.json", place.folder / "release-2.json"]
    rows = []
    for record in records:  # as a retried task does, and a pipeline whose cache was hit
        release(
            gguf=files.gguf,
            blessing=files.blessing,
            dataset=files.dataset,
            scores_quantized=files.scores_quantized,
            scores_tuned=files.scores_tuned,
            base=files.base,
            adapter=files.adapter,
            release=record,
            name=NAME,
        )
        with place.open() as ledger:
            rows.append([row.seq for row in ledger.audit() if row.action in _MOVES])
    assert rows[0] == rows[1]
    assert records[0].read_bytes() == records[1].read_bytes()
    with place.checked() as ledger:
        assert [one.version for one in ledger.releases()] == [1]


def test_a_retry_under_the_same_key_changes_nothing_twice(place: Place) -> None:
    place.fill(2)
    with place.open() as ledger:

        def switch(version: int) -> int:
            return ledger.switch(
                CHAMPION, NAME, version, expected_generation=0, reason="first", key="run-7"
            )

        assert switch(1) == switch(1) == 1
        with pytest.raises(ConflictError, match="'run-7' was used for another change"):
            switch(2)
        assert ledger.verify().rows == 3


def test_an_old_scheduled_run_that_finishes_last_overtakes_nothing(place: Place) -> None:
    """Each run as a cluster runs it: its own process, judged while no version was live."""
    old, new = (run_files(place.folder / name, name.encode()) for name in ("old", "new"))
    ended = [
        place.ended(place.releaser(files, place.folder / f"{name}.json"))
        for name, files in (("new", new), ("old", old))
    ]
    assert [done.returncode for done in ended] == [0, 4], ended
    assert "E_CONFLICT: the gate compared with the champion none" in ended[1].stderr
    assert "Run the pipeline again" in ended[1].stderr
    assert not (place.folder / "old.json").exists()
    with place.checked() as ledger:
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live and live.digest == digest_bytes(b"new")
        assert ledger.releases(NAME) == (live,)


@pytest.mark.slow
def test_of_runs_that_finish_at_once_one_is_live_and_the_others_are_told(place: Place) -> None:
    place.open().close()
    runs = [run_files(place.folder / f"run-{n}", f"file {n}".encode()) for n in range(4)]
    work = [
        subprocess.Popen(
            place.releaser(files, place.folder / f"{n}.json"),
            cwd=place.folder,
            env=place.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for n, files in enumerate(runs)
    ]
    told_by = [one.communicate(timeout=120)[1] for one in work]
    assert sorted(one.returncode for one in work) == [0, 4, 4, 4], told_by
    assert sum("E_CONFLICT" in text for text in told_by) == 3
    with place.checked() as ledger:
        assert len(ledger.releases(NAME)) == len(told(ledger)) == 1


def test_an_old_run_that_finishes_last_moves_nothing_by_hand_either(place: Place) -> None:
    place.fill(2)
    with place.open() as late, place.open() as quick:
        seen = late.alias(NAME, CHAMPION)
        assert seen is None
        quick.switch(CHAMPION, NAME, 2, expected_generation=0, reason="newer data")
        with pytest.raises(ConflictError, match="generation 1 .version 2., expected 0"):
            late.switch(CHAMPION, NAME, 1, expected_generation=0, reason="older data")
        wanted = candidate(late, place.folder, b"older still")
        with pytest.raises(ConflictError):
            late.register_and_switch(wanted, CHAMPION, expected_generation=0, reason="older data")
    with place.checked() as ledger:
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live and live.version == 2
        assert len(ledger.releases()) == 2
