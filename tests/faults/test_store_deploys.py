"""Row 5 of the fault matrix: whoever is killed in deploying leaves the old version serving.

Real servers with the real small model; the deployer is a process of its own, the store in each
database.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.deploy.test_local import chat
from tests.deploy.worlds import NAME, World, make_world, wait_until
from tests.fakes.releases import candidate
from tests.faults.stores import Place
from tests.serve.served import smollm2
from wherry.contracts import Deployment, Release, digest_bytes
from wherry.deploy.run import status, stop
from wherry.gguf_template import chat_template
from wherry.ledger import Ledger
from wherry.release import moves

pytestmark = [pytest.mark.faults, pytest.mark.local, pytest.mark.slow]


@pytest.fixture
def world(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A workspace whose state is the place's."""
    monkeypatch.setenv("WHERRY_HOME", str(place.state))
    made = make_world(place.folder)
    made.dataset("data")
    yield made
    stop(NAME)


def champion(place: Place, tail: bytes) -> Release:
    """Makes the real model, with a tail of bytes, the champion."""
    with place.open() as ledger:
        content = smollm2().read_bytes() + tail
        made = candidate(ledger, place.folder, content, NAME, signer=place.keys.signer())
        template = digest_bytes(chat_template(smollm2()).encode())
        lineage = replace(made.lineage, template_digest=template)
        version = ledger.register(replace(made, lineage=lineage)).version
        moves.promote(ledger, NAME, version, keyring=place.keys.keyring(), reason="better")
        release = ledger.find(NAME, version)
    release.write(place.folder / f"release-{version}.json")
    return release


def deployer(place: Place, world: World, release: Release) -> "subprocess.Popen[bytes]":
    """Starts a deploy that follows the champion and records it in the store."""
    words = ["--release", f"release-{release.version}.json", "--dataset", "data"]
    words += ["--deployment", "out.json", "--settings", world.settings()]
    world.events.write_text("")
    return subprocess.Popen(
        [sys.executable, "-m", "wherry.deploy", *words],
        cwd=place.folder,
        env={**place.environment(), "WHERRY_EVENTS": str(world.events)},
        stderr=(place.folder / "deploy.log").open("wb"),
    )


def recorded(ledger: Ledger) -> list[tuple[int, int]]:
    return [(one.version, one.generation) for one in ledger.deployments(NAME)]


def test_row_5_a_killed_deploy_is_finished_by_the_next_and_the_old_version_serves(
    place: Place, world: World
) -> None:
    first = champion(place, b"")
    assert deployer(place, world, first).wait(240) == 0
    serves = world.live()
    second = champion(place, bytes(64))
    for stage in ("starting the server", "smoke test"):
        killed = deployer(place, world, second)
        wait_until(lambda stage=stage: stage in world.events.read_text(), 240)  # type: ignore[misc]  # mypy infers no lambda with a default
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        wait_until(lambda: world.servers() == [serves.pid])
        assert (status(NAME), chat(world.port)) == (serves, first.digest)
        with place.open() as ledger:
            assert recorded(ledger) == [(1, 1)]
    killed = deployer(place, world, second)
    # It serves, the one before it perhaps too, and the store has not heard.
    wait_until(lambda: serving(world.record) == 2 or killed.poll() is not None, 240)
    assert serving(world.record) == 2, (place.folder / "deploy.log").read_text()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for _ in range(2):
        assert deployer(place, world, second).wait(240) == 0
        assert chat(world.port) == second.digest
        with place.open() as ledger:
            assert recorded(ledger) == [(1, 1), (2, 2)]
            found = ledger.verify()
            assert found.ok, found.reason
    wait_until(lambda: world.servers() == [world.live().pid])


def test_row_5_a_rollback_while_the_deployer_was_dead_converges_too(
    place: Place, world: World
) -> None:
    first = champion(place, b"")
    assert deployer(place, world, first).wait(240) == 0
    second = champion(place, bytes(64))
    killed = deployer(place, world, second)
    wait_until(lambda: "smoke test" in world.events.read_text(), 240)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    done = place.wherry("rollback", NAME, "--reason", "it never came up")
    assert done.returncode == 0, done.stderr
    assert chat(world.port) == first.digest
    with place.open() as ledger:
        assert recorded(ledger) == [(1, 1), (1, 3)]
        assert ledger.verify().ok


def serving(record: Path) -> int:
    """The version that the record of what serves names."""
    return Deployment.read(record).version
