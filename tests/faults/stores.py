"""Release stores in each database, and processes that work on them until they are killed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.people import LONG_AGO
from tests.fakes.releases import NAME, RunFiles, candidate
from wherry.contracts import ArtifactRef, Deployment, Release
from wherry.ledger import CHAMPION, Ledger
from wherry.release import moves
from wherry.signing import KeyFolder

WORKERS = 8
WHERRY = (sys.executable, "-c", "from wherry.cli import main; main()")


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

    @property
    def keys(self) -> KeyFolder:
        """The workspace's keys; made when they are first asked for."""
        folder = KeyFolder(self.state / "keys")
        folder.ensure("gate", LONG_AGO)
        return folder

    def live(self, versions: int) -> None:
        """Registers versions as a run does, promotes each, and records that it was deployed."""
        with self.open() as ledger:
            for version in range(1, versions + 1):
                content = f"file {version}".encode()
                made = candidate(ledger, self.folder, content, signer=self.keys.signer())
                ledger.register(made)
                self.go_live(ledger, version)

    def go_live(self, ledger: Ledger, version: int) -> None:
        """Promotes a version and records that it was deployed."""
        moves.promote(ledger, NAME, version, keyring=self.keys.keyring(), reason="better")
        self.follow(ledger)

    def follow(self, ledger: Ledger) -> None:
        """Records that what serves followed the champion, and is healthy."""
        at = ledger.alias(NAME, CHAMPION)
        assert at
        digest = ledger.find(NAME, at.version).digest
        where = ("local", "http://127.0.0.1:8080", at.generation)
        ledger.record_deployment(Deployment(NAME, at.version, digest, *where, healthy=True))  # type: ignore[arg-type]  # it is one of its targets

    def wherry(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs the real command line in a process of its own."""
        return self.ended([*WHERRY, *words])

    def releaser(self, files: RunFiles, record: Path) -> list[str]:
        """The command line that releases a run's files, as a container of a cluster has it."""
        inputs = {
            "gguf": files.gguf,
            "blessing": files.blessing,
            "dataset": files.dataset,
            "scores-quantized": files.scores_quantized,
            "scores-tuned": files.scores_tuned,
            "base": files.base,
            "adapter": files.adapter,
            "release": record,
            "name": NAME,
        }
        given = [text for name, value in inputs.items() for text in (f"--{name}", str(value))]
        return [sys.executable, "-m", "wherry.release", *given]

    def ended(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Runs a process to its end."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment(), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def command(self, what: str, *numbers: object) -> list[str]:
        """The command line of a storekeeper."""
        return [
            *(sys.executable, "-m", "tests.fakes.storekeeper"),
            *(what, str(self.state), *map(str, numbers)),
        ]

    def environment(self) -> dict[str, str]:
        """What a storekeeper is told of this process."""
        made = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        made["WHERRY_HOME"] = str(self.state)
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
