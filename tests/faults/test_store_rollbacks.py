"""Rows 6, 34, 35 and 36 of the fault matrix: a rollback at the worst of times.

The commands run as processes of their own; each test on SQLite and on PostgreSQL, but for the one
that takes every network away, a server's included.
"""

import json
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.fakes.releases import NAME, candidate
from tests.faults.stores import WHERRY, Place, lines, ref, told
from wherry.cli import cli
from wherry.contracts.errors import SettingsError
from wherry.ledger import CHAMPION

pytestmark = [pytest.mark.faults, pytest.mark.local]
HOSTILE = 'down\n     9  2026-01-01T00:00:00  root  promote  all is well\r\x1b[31m\x07 {"seq": 9}'


def rollback(place: Place, *more: str) -> "subprocess.CompletedProcess[str]":
    return place.wherry("rollback", NAME, "--reason", "answers nonsense", *more)


def champion(place: Place) -> int:
    with place.open() as ledger:
        at = ledger.alias(NAME, CHAMPION)
    return at.version if at else 0


@pytest.mark.slow
def test_row_6_a_rollback_killed_at_any_moment_is_finished_and_not_repeated(place: Place) -> None:
    place.live(3)
    chance, cut = random.Random(17), 0
    for rounds in range(1, 5):
        worker = place.start("go_back")
        assert worker.stdout
        assert json.loads(worker.stdout.readline()) == {"ready": True}
        time.sleep(chance.uniform(0, 0.04))
        worker.send_signal(signal.SIGKILL)
        cut += not lines(worker.communicate(timeout=30)[0])
        for _ in range(2):
            done = rollback(place)
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines()[0] == f"champion of {NAME} is version 2"
        with place.checked() as ledger:
            rows = [row.seq for row in ledger.audit() if row.action == "rollback"]
            assert len(rows) == rounds
            place.follow(ledger)
            place.go_live(ledger, 3)
    assert cut, "none was killed before it had an answer"


def missing(file: Path) -> None:
    file.unlink()


def corrupt(file: Path) -> None:
    file.chmod(0o644)
    file.write_bytes(b"FILE 2")


@pytest.mark.parametrize(("damage", "code"), [(missing, "E_MISSING"), (corrupt, "E_DIGEST")])
def test_row_35_a_target_that_is_gone_or_damaged_is_refused_and_the_next_one_named(
    place: Place, damage: Callable[[Path], None], code: str
) -> None:
    place.live(3)
    with place.open() as ledger:
        damage(ledger.artifacts.verified(ref(ledger.find(NAME, 2))))
        before, serves = told(ledger), ledger.deployments(NAME)
    done = rollback(place)
    assert (done.returncode, done.stdout) == (1, "")
    assert code in done.stderr
    assert "version 2 cannot be rolled back to" in done.stderr
    assert "The champion stays" in done.stderr and "--to 1" in done.stderr
    with place.open() as ledger:
        assert ledger.verify().ok
        assert (told(ledger), ledger.deployments(NAME)) == (before, serves)
    done = rollback(place, "--to", "1")
    assert (done.returncode, champion(place)) == (0, 1), done.stderr


def test_row_34_a_text_with_line_ends_and_escapes_stays_on_its_line(place: Place) -> None:
    place.live(2)
    with place.open() as ledger:
        wanted = replace(candidate(ledger, place.folder, b"three"), name="three\n\x1b[31mred")
        with pytest.raises(SettingsError, match="is no DNS label"):
            ledger.register(wanted)
    done = place.wherry("rollback", NAME, "--reason", HOSTILE)
    assert done.returncode == 0, done.stderr
    with place.checked() as ledger:
        rows = ledger.verify().rows
        assert list(ledger.audit())[-1].reason == HOSTILE, "what was said is kept as it was"
        assert "\n" not in ledger.log.text(rows)
    log = place.wherry("audit", "log").stdout
    assert [int(line.split()[0]) for line in log.splitlines()] == list(range(1, rows + 1))
    plain = place.wherry("audit", "log", "--json").stdout
    assert [json.loads(line)["seq"] for line in plain.splitlines()] == list(range(1, rows + 1))
    shown = place.wherry("models", "history", NAME).stdout
    assert len([line for line in shown.splitlines() if "promote" in line.split()[:8]]) == 2
    for text in (log, plain, shown):
        assert not {"\x1b", "\x07", "\r"} & set(text)


def test_row_36_with_no_network_but_the_store_itself_a_rollback_is_made_and_audited(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's client is no Python code: what Python reaches for beside it is refused."""

    class NoNetwork(socket.socket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("the network is off")

    place.live(2)
    monkeypatch.setenv("WHERRY_HOME", str(place.state))
    monkeypatch.setattr(socket, "socket", NoNetwork)
    for words in (
        ("rollback", NAME, "--reason", "bad"),
        ("audit", "checkpoint"),
        ("audit", "verify"),
        ("models", "show", f"{NAME}:1"),
    ):
        CliRunner().invoke(cli, words, catch_exceptions=False)
    assert champion(place) == 1


def test_row_36_without_any_network_a_rollback_is_made_and_audited(sqlite_place: Place) -> None:
    alone = ["unshare", "-rn"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"]).returncode:
        pytest.skip("this system lets no test take its network away")
    place = sqlite_place
    place.live(2)
    for words in (
        ("keys", "rotate"),
        ("rollback", NAME, "--reason", "bad"),
        ("audit", "checkpoint"),
        ("audit", "verify"),
        ("audit", "prove", "1"),
        ("audit", "export", "--case", f"{NAME}:1", "-o", "case"),
    ):
        done = place.ended([*alone, *WHERRY, *words])
        assert done.returncode == 0, (words, done.stderr)
    assert champion(place) == 1
    assert (place.folder / "case" / "README.md").is_file()
