"""Release stores in each database, and processes that work on them until they are killed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.releases import NAME, candidate
from wherry.contracts import ArtifactRef, Release
from wherry.ledger import CHAMPION, Ledger

WORKERS = 8


@dataclass
class Place:
    """Where a store lies; this process's environment names it too."""

    state: Path
    url: str = ""
    """Of a PostgreSQL database; empty for SQLite."""
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The workspace."""
        return self.state.parent

    def open(self) -> Ledger:
        """Opens the store."""
        return Ledger.open(self.state)

    def fill(self, versions: int) -> None:
        """Registers some versions."""
        with self.open() as ledger:
            for version in range(1, versions + 1):
                ledger.register(candidate(ledger, self.folder, f"file {version}".encode()))

    def command(self, what: str, *numbers: object) -> list[str]:
        """The command line of a storekeeper."""
        return [
            *(sys.executable, "-m", "tests.fakes.storekeeper"),
            *(what, str(self.state), *map(str, numbers)),
        ]

    def environment(self) -> dict[str, str]:
        """What a storekeeper is told of this process."""
        made = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return {**made, "WHERRY_STORE": self.url} if self.url else made

    def start(self, what: str, *numbers: object) -> "subprocess.Popen[str]":
        """Starts a storekeeper."""
        process = subprocess.Popen(
            self.command(what, *numbers),
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )
        self.started.append(process)
        return process

    def race(self, work: list["subprocess.Popen[str]"]) -> list[list[dict[str, Any]]]:
        """Lets all begin at once; gives the lines that each printed."""
        (self.folder / "go").touch()
        return [lines(one.communicate(timeout=120)[0]) for one in work]

    def checked(self) -> Ledger:
        """Opens the store after asserting that it holds together and I1 to I3 hold."""
        ledger = self.open()
        found = ledger.verify()
        assert found.ok, found.reason
        for release in ledger.releases():
            if release.aliases:
                ledger.artifacts.verified(ref(release))
        assert sorted(told(ledger)) == list(range(1, len(told(ledger)) + 1))
        return ledger

    def end(self) -> None:
        """Ends whatever a test left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()


def lines(printed: str) -> list[dict[str, Any]]:
    """Reads what a storekeeper printed; a line that a kill cut is none."""
    return [json.loads(line) for line in printed.split("\n") if line.endswith("}")]


def ref(release: Release) -> ArtifactRef:
    """A version's file."""
    return ArtifactRef(uri=release.uri, digest=release.digest, size=release.size)


def told(ledger: Ledger) -> dict[int, int]:
    """The champion's generations and versions as the audit rows tell them."""
    return {
        move.generation: move.version
        for row in ledger.audit()
        for move in row.moves
        if move.alias == CHAMPION and row.model.name == NAME
    }
