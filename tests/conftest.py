"""Options and fixtures that all tests share."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.postgres import Postgres, running
from tests.workspace import Workspace


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the one flag that rewrites golden files."""
    parser.addoption("--update-goldens", action="store_true", help="rewrite the golden files")


def pytest_configure() -> None:
    """Lets what the tests start hear Ctrl-C, also where they run behind a shell's ``&``.

    A shell without job control starts what it puts behind with SIGINT ignored, and children
    inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_LONGEST: Final = ("pipelines", "faults", "tune", "validate", "ingest", "base")
"""Folders whose slow tests take more than a minute, in their order."""


class FolderScheduling(LoadScopeScheduling):
    """Gives each folder's tests to one worker: they share fixtures that are costly to make."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("::")[0].rpartition("/")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FolderScheduling | None:
    """Takes ours for ``--dist loadscope``, and xdist's for all else."""
    return FolderScheduling(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lets several workers begin with the folders that take longest: small ones fill the end."""
    if hasattr(config, "workerinput"):
        place = {name: number for number, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))


@dataclass(frozen=True)
class TunedRun:
    """The demo, run once for the whole session: the real data, model, recipe and server."""

    workspace: Workspace
    result: dict[str, Any]
    """What ``wherry run --json`` printed."""


@pytest.fixture(scope="session")
def tuned_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TunedRun]:
    """Runs the demo's pipeline with the demo's settings; takes some minutes."""
    workspace = Workspace.make(tmp_path_factory.mktemp("tuned"))
    done = workspace.run("--json", "--debug")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        yield TunedRun(workspace, json.loads(done.stdout))
    finally:
        workspace.end()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, shared by all tests: each makes a database of its own."""
    with running() as server:
        if server is None:
            pytest.skip('no PostgreSQL server: pip install "wherry[dev]", or Debian\'s postgresql')
        yield server
