"""Options and fixtures that all tests share."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.postgres import Postgres, running
from tests.workspace import Workspace

TUNED = "tuned_run"
"""The fixture that takes minutes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the one flag that rewrites golden files."""
    parser.addoption("--update-goldens", action="store_true", help="rewrite the golden files")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lets tests that share a costly fixture share a worker, and begins with the longest."""
    if config.getoption("dist", "no") != "loadgroup":
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _group(item) != TUNED)


def _group(item: pytest.Item) -> str:
    """Gives the demo's run for tests of it, else the folder, whose conftest holds the fixtures."""
    return TUNED if TUNED in getattr(item, "fixturenames", ()) else item.path.parent.name


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
