"""Stores that the faults are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stores import Place
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """An empty place for a store, in each database."""
    url = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.new_database()
        monkeypatch.setenv("WHERRY_STORE", url)
    made = Place(tmp_path / ".wherry", url)
    yield made
    made.end()


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Iterator[Place]:
    """An empty place for a SQLite store."""
    made = Place(tmp_path / ".wherry")
    yield made
    made.end()
