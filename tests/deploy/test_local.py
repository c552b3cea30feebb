"""Real servers on this machine: first deploy, takeover, and everything that may go wrong.

The tests share one workspace and build on each other's live server, for each start takes
seconds; each leaves a healthy version behind.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest

from tests.deploy.worlds import NAME, World, make_world, wait_until
from wherry.contracts import Deployment
from wherry.contracts.errors import (
    ConflictError,
    DeployError,
    DigestError,
    FormatError,
    MissingError,
    PortError,
    SettingsError,
    UriError,
)
from wherry.deploy.run import status, stop

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = make_world(tmp_path_factory.mktemp("world"))
    patch = pytest.MonkeyPatch()
    patch.setenv("WHERRY_HOME", str(world.state))
    world.release(1)
    world.release(2, b"\0" * 64)
    yield world
    stop(NAME)
    patch.undo()
    assert world.servers() == []


@pytest.fixture(scope="module")
def dataset(world: World) -> Path:
    return world.dataset("data")


@pytest.fixture(scope="module")
def first(world: World, dataset: Path) -> Deployment:
    """Deploys version 1 from a process group that is killed right after."""
    path = world.root / "release-1.json"
    script = (
        f"{sys.executable} -m wherry.deploy --release {path} --dataset {dataset} "
        f"--blessing {world.blessing(1)} "
        f"--deployment {world.root}/out.json --generation 1 --settings '{world.settings()}'; "
        "echo done; sleep 60"
    )
    shell = subprocess.Popen(
        ["sh", "-c", script],
        env=os.environ | {"PYTHONPATH": "components"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert shell.stdout
    assert shell.stdout.readline() == b"done\n"
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    return Deployment.read(world.root / "out.json")


@pytest.fixture
def live(world: World, first: Deployment) -> Deployment:
    """What is live before a test; it is healthy."""
    found = status(NAME)
    assert found
    assert found.healthy
    return found


def chat(port: int, connection: HTTPConnection | None = None) -> str:
    """Asks once, and gives the digest of the file that answered."""
    line = connection or HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})
    line.request("POST", "/openai/v1/chat/completions", body, {"content-type": "application/json"})
    answer = line.getresponse()
    data = json.loads(answer.read())
    assert answer.status == 200, data
    if connection is None:
        line.close()
    return data["system_fingerprint"]


def test_a_first_deploy_is_live_and_outlives_its_process_group(
    world: World, first: Deployment
) -> None:
    assert chat(world.port) == first.digest
    assert status(NAME) == first == world.live()
    assert world.servers() == [first.pid]
    assert os.getsid(first.pid) == first.pid
    assert first.url == f"http://127.0.0.1:{world.port}"
    assert "8 of 8 right over chat, 8 of 8 right over predict" in first.checks[-1]


def test_its_example_is_answered(first: Deployment) -> None:
    url = f"{first.url}/openai/v1/chat/completions"
    done = subprocess.run(
        ["curl", "-sf", url, "-H", "content-type: application/json", "-d", first.example],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "apple"


def test_the_same_file_is_proved_again_and_not_restarted(
    world: World, live: Deployment, dataset: Path
) -> None:
    started = time.monotonic()
    path = world.root / "again.json"
    world.deploy(world.root / "release-1.json", dataset, path, world.settings(), generation=7)
    assert Deployment.read(path).pid == live.pid
    assert world.live().generation == 7
    assert time.monotonic() - started < 10


def test_an_older_generation_is_a_conflict(world: World, live: Deployment, dataset: Path) -> None:
    path = world.root / "older.json"
    with pytest.raises(ConflictError, match="generation 7"):
        world.deploy(world.root / "release-1.json", dataset, path, world.settings(), generation=6)
    assert not path.exists()
    assert status(NAME) == live


def test_two_deploys_at_once_are_a_conflict(world: World, live: Deployment, dataset: Path) -> None:
    import fcntl

    with (world.record.parent / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="another process"):
            world.deploy(
                world.root / "release-1.json", dataset, world.root / "x", world.settings(), 7
            )
        with pytest.raises(ConflictError):
            stop(NAME)
    assert status(NAME) == live


@pytest.mark.faults
@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ({"digest": "sha256:" + "0" * 64}, DigestError),
        ({"uri": "file:.wherry/artifacts/gone.gguf"}, MissingError),
        ({"uri": "file:../outside.gguf"}, UriError),
        ({"name": "../escape"}, SettingsError),
    ],
)
def test_a_release_that_is_not_what_it_says_starts_nothing(
    world: World, live: Deployment, dataset: Path, damage: dict[str, str], error: type[Exception]
) -> None:
    text = json.loads((world.root / "release-1.json").read_text())
    path = world.root / "damaged.json"
    path.write_text(json.dumps(text | damage))
    with pytest.raises(error):
        world.deploy(path, dataset, world.root / "x", world.settings(), generation=8)
    assert world.servers() == [live.pid]


@pytest.mark.faults
def test_a_file_that_cannot_be_loaded_leaves_the_old_one_serving(
    world: World, live: Deployment, dataset: Path
) -> None:
    with pytest.raises(FormatError, match="cannot load"):
        world.deploy(
            world.release(3, cut=20_000_000), dataset, world.root / "x", world.settings(), 8
        )
    assert chat(world.port) == live.digest
    assert world.servers() == [live.pid]


def test_a_version_that_fails_its_smoke_test_never_goes_live(
    world: World, live: Deployment
) -> None:
    wrong = world.dataset("wrong", answer=lambda word: word[::-1])
    with pytest.raises(DeployError) as caught:
        world.deploy(world.root / "release-2.json", wrong, world.root / "x", world.settings(), 8)
    assert "wrong over chat: questions 1, 2, 3, 4, 5, 6, 7, 8" in caught.value.message
    assert "0 of 8 right over predict; at least 6 wanted" in caught.value.message
    assert world.servers() == [live.pid]
    assert world.live() == live


@pytest.mark.faults
@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGKILL, "starting the server"),
        (signal.SIGINT, "starting the server"),
        (signal.SIGKILL, "smoke test"),
        (signal.SIGTERM, "smoke test"),
    ],
)
def test_a_killed_deployer_leaves_no_candidate(
    world: World, live: Deployment, dataset: Path, number: signal.Signals, stage: str
) -> None:
    deployer = world.deployer(world.root / "release-2.json", dataset)
    wait_until(lambda: len(world.servers()) == 2 and stage in world.events.read_text())
    deployer.send_signal(number)
    assert deployer.wait(20) != 0
    wait_until(lambda: world.servers() == [live.pid])
    assert world.live() == live
    assert chat(world.port) == live.digest


def test_a_takeover_loses_no_request(world: World, live: Deployment, dataset: Path) -> None:
    clients = [_Client(world.port, keep=keep) for keep in (False, False, True)]
    for client in clients:
        client.start()
    try:
        path = world.root / "v2.json"
        world.deploy(world.root / "release-2.json", dataset, path, world.settings(), generation=8)
        time.sleep(0.5)
    finally:
        for client in clients:
            client.finished.set()
            client.join(30)
    new = Deployment.read(path)
    assert new.version == 2
    assert new.pid != live.pid
    assert [client.failures for client in clients] == [[], [], []]
    for client in clients:
        assert client.digests[0] == live.digest
        assert client.digests[-1] == new.digest
    assert world.servers() == [new.pid]


class _Client(threading.Thread):
    """Asks without a pause until it is told to end."""

    def __init__(self, port: int, *, keep: bool) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._keep = keep
        self.finished = threading.Event()
        self.failures: list[str] = []
        self.digests: list[str] = []

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60) if self._keep else None
        while not self.finished.is_set():
            try:
                self.digests.append(chat(self._port, connection))
            except (OSError, HTTPException, AssertionError) as error:
                self.failures.append(repr(error))


def test_other_settings_restart_the_server(world: World, live: Deployment, dataset: Path) -> None:
    settings = world.settings(context=320)
    world.deploy(world.root / "release-2.json", dataset, world.root / "x", settings, generation=8)
    assert world.live().pid != live.pid
    assert world.servers() == [world.live().pid]


@pytest.mark.faults
def test_a_server_that_died_is_replaced(world: World, live: Deployment, dataset: Path) -> None:
    os.kill(live.pid, signal.SIGKILL)
    wait_until(lambda: world.servers() == [])
    found = status(NAME)
    assert found
    assert not found.healthy
    world.deploy(
        world.root / "release-2.json", dataset, world.root / "x", world.settings(), generation=8
    )
    assert chat(world.port) == live.digest
    assert world.live().pid != live.pid


def test_a_port_that_is_not_ours_is_left_alone(
    world: World, live: Deployment, dataset: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        with pytest.raises(PortError) as caught:
            settings = world.settings(port=port)
            world.deploy(
                world.root / "release-2.json", dataset, world.root / "x", settings, generation=8
            )
    assert f"Port {port} on 127.0.0.1" in caught.value.message
    assert f"process {os.getpid()} " in caught.value.message
    assert "deploy.port" in caught.value.remedy
    assert world.servers() == [live.pid]
    assert world.live() == live


@pytest.mark.faults
def test_a_record_of_a_strangers_number_harms_nobody_and_is_put_right(
    world: World, live: Deployment, dataset: Path
) -> None:
    """Numbers are reused; a kill between recording and letting go leaves such a record too."""
    stranger = subprocess.Popen(["sleep", "60"])
    replace(live, pid=stranger.pid).write(world.record)
    found = status(NAME)
    assert found
    assert not found.healthy
    world.deploy(
        world.root / "release-2.json", dataset, world.root / "x", world.settings(), generation=8
    )
    assert world.servers() == [world.live().pid]
    assert world.live().pid not in (live.pid, stranger.pid)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_stopping_ends_it_and_forgets_it(world: World, live: Deployment) -> None:
    other = "/elsewhere/.wherry/deployments/parrot.json@0"
    stranger = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", "wherry.serve", "--tag", other]
    )
    started = time.monotonic()
    assert stop(NAME)
    assert time.monotonic() - started < 5.5
    assert not psutil.pid_exists(live.pid) or psutil.Process(live.pid).status() == "zombie"
    assert status(NAME) is None
    assert not stop(NAME)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
