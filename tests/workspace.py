"""A workspace of its own for a test, driven through the real command line."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
WHERRY = (sys.executable, "-c", "from wherry.cli import main; main()")


@dataclass(frozen=True)
class Workspace:
    """A state folder and a copy of the demo's settings on a free port."""

    folder: Path
    port: int

    @classmethod
    def make(cls, folder: Path) -> "Workspace":
        shutil.copytree(ROOT / "pipelines" / "settings", folder / "settings")
        made = cls(folder, free_port())
        # One thread each: the suite has two workers for two cores.
        alone = {"threads": 1}
        made.change(deploy={"port": made.port}, tune=alone, evaluate=alone, quantize=alone)
        return made

    @property
    def state(self) -> Path:
        return self.folder / ".wherry"

    @property
    def settings(self) -> Path:
        return self.folder / "settings" / "icd10.yaml"

    def change(self, file: str = "icd10.yaml", **sections: dict[str, Any]) -> None:
        """Changes fields of sections, as a person with an editor does."""
        path = self.folder / "settings" / file
        raw = yaml.load(path.read_text(), Loader=_Loader)
        for section, fields in sections.items():
            raw[section] = {**(raw.get(section) or {}), **fields}
        path.write_text(yaml.dump(raw, Dumper=_Dumper, sort_keys=False))

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "WHERRY_HOME": str(self.state), "COLUMNS": "80"}

    def wherry(
        self, *arguments: str, timeout: float = 600, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*WHERRY, *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return self.wherry("run", "--settings", str(self.settings), *arguments, **environment)

    def start(self) -> "subprocess.Popen[str]":
        """Starts a run without waiting for it."""
        return subprocess.Popen(
            [*WHERRY, "run", "--settings", str(self.settings)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def json(self, *arguments: str) -> Any:
        done = self.wherry(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def events(self) -> list[tuple[str, str]]:
        """Stage and kind of each event of the newest run, progress left out."""
        newest = max((self.state / "runs").glob("*/events.jsonl"), key=lambda p: p.parent.name)
        rows = [json.loads(line) for line in newest.read_text().splitlines()]
        return [(r["stage"], r["kind"]) for r in rows if r["kind"] not in ("progress", "planned")]

    def await_event(self, stage: str, kind: str, process: "subprocess.Popen[str]") -> None:
        """Waits until the running process's stage says something."""
        deadline = time.monotonic() + 300
        before = time.time()
        while time.monotonic() < deadline:
            assert process.poll() is None, process.stdout and process.stdout.read()
            for path in (self.state / "runs").glob("*/events.jsonl"):
                if path.stat().st_mtime >= before - 1 and f'"stage": "{stage}"' in path.read_text():
                    rows = [json.loads(line) for line in path.read_text().splitlines()]
                    if any(r["stage"] == stage and r["kind"] == kind for r in rows):
                        return
            time.sleep(0.1)
        raise AssertionError(f"{stage} was not {kind} in time")

    def processes(self) -> list[int]:
        """Processes that work in this workspace, the deployed server aside."""
        mark = f"WHERRY_HOME={self.state}".encode()
        return [pid for pid, environment in environments() if mark in environment.split(b"\0")]

    def end(self) -> None:
        """Stops the server, for the fixture's end."""
        self.wherry("stop")


def environments() -> Iterator[tuple[int, bytes]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            if b"wherry.serve" not in command:
                yield int(path.name), (path / "environ").read_bytes()
        except OSError:
            continue


def gone(workspace: Workspace, seconds: float) -> bool:
    """Says whether all of a workspace's processes ended within some seconds."""
    deadline = time.monotonic() + seconds
    while workspace.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not workspace.processes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kill(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=30)
    return out


class _Include(str):
    """A `!include` that is written back as it was read."""


class _Loader(yaml.SafeLoader):
    """Keeps includes as they are."""


class _Dumper(yaml.SafeDumper):
    """Writes them again."""


_Loader.add_constructor("!include", lambda loader, node: _Include(node.value))
_Dumper.add_representer(_Include, lambda dumper, data: dumper.represent_scalar("!include", data))
