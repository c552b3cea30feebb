"""A workspace with a real model, released in versions, and questions that it can answer."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.deploy.test_deploy_step import release
from tests.fakes.releases import blessing, scores
from tests.serve.served import free_port, smollm2
from wherry.contracts import (
    Dataset,
    Deployment,
    Manifest,
    Source,
    Split,
    digest_bytes,
    digest_file,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.deploy.run import run
from wherry.gguf_template import chat_template
from wherry.signing import BLESSING, KeyFolder, stamp

WORDS = ("apple", "river", "stone", "bread", "cloud", "horse", "paper", "green")
NAME = "parrot"


@dataclass
class World:
    """A project's folder."""

    root: Path
    port: int

    @property
    def state(self) -> Path:
        return self.root / ".wherry"

    @property
    def record(self) -> Path:
        return self.state / "deployments" / f"{NAME}.json"

    @property
    def events(self) -> Path:
        """What the last `deployer` said that it does."""
        return self.root / "events.jsonl"

    def release(self, version: int, tail: bytes = b"", *, cut: int = 0) -> Path:
        """Releases the real model; a tail of bytes makes it another file that does the same."""
        data = smollm2().read_bytes()
        file = self.state / "artifacts" / f"v{version}.gguf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((data[:cut] if cut else data) + tail)
        known = release(version)
        lineage = known.lineage.__class__(
            **known.lineage.__dict__
            | {"template_digest": digest_bytes(chat_template(smollm2()).encode())}
        )
        made = known.__class__(
            **known.__dict__
            | {
                "name": NAME,
                "digest": digest_file(file),
                "uri": f"file:{file.relative_to(self.root)}",
                "size": file.stat().st_size,
                "lineage": lineage,
            }
        )
        path = self.root / f"release-{version}.json"
        made.write(path)
        keys = KeyFolder(self.state / "keys")
        keys.ensure("ann", datetime(2026, 1, 1, tzinfo=UTC))
        shipped = scores(model=made.digest)
        stamp(blessing(shipped), BLESSING, keys.signer()).write(self.blessing(version))
        return path

    def blessing(self, version: int) -> Path:
        """The signed blessing of a version's file."""
        return self.root / f"blessing-{version}.json"

    def deploy(
        self, release: Path, dataset: Path, out: Path, settings: str, generation: int
    ) -> None:
        """Deploys a release with the blessing of its version."""
        version = json.loads(release.read_text())["version"]
        run(release, dataset, out, settings, generation, self.blessing(version))

    def dataset(self, name: str, answer: Callable[[str], str] = str) -> Path:
        """Questions of the form "repeat this word", which the model was taught in the prompt."""
        folder = self.root / name
        folder.mkdir()
        lines = [json.dumps(_row(word, answer(word))) + "\n" for word in WORDS]
        (folder / "test.jsonl").write_text("".join(lines))
        digest = digest_file(folder / "test.jsonl")
        split = Split("test", "test.jsonl", len(WORDS), digest)
        source = Source("dvc:.", "", "data", "md5:0")
        Dataset("chat", (split,), digest, source).write(folder / DATASET_NAME)
        Manifest.seal(folder)
        return folder

    def settings(self, **changes: object) -> str:
        fixed = {"port": self.port, "context": 256, "parallel": 2}
        fixed |= {"smoke_rows": len(WORDS), "smoke_min_correct": 6}
        return json.dumps(fixed | changes)

    def deployer(self, release: Path, dataset: Path, **options: object) -> subprocess.Popen[bytes]:
        """Starts a deploy as a process of its own, as the leader of a group."""
        version = json.loads(release.read_text())["version"]
        inputs = ["--release", str(release), "--dataset", str(dataset)]
        inputs += ["--blessing", str(self.blessing(version))]
        outputs = ["--deployment", str(self.root / "out.json"), "--generation", "8"]
        settings = ["--settings", self.settings(**options)]
        self.events.write_text("")
        return subprocess.Popen(
            [sys.executable, "-m", "wherry.deploy", *inputs, *outputs, *settings],
            env=os.environ
            | {"PYTHONPATH": "components", "WHERRY_HOME": str(self.state)}
            | {"WHERRY_EVENTS": str(self.events)},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def servers(self) -> list[int]:
        """The processes that carry this workspace's record in their command line."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and any(
                    text.startswith(str(self.record)) for text in process.cmdline()
                ):
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def live(self) -> Deployment:
        return Deployment.read(self.record)


def make_world(root: Path) -> World:
    return World(root, free_port())


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"it did not become true within {seconds} s"
        time.sleep(0.02)


def _row(word: str, answer: str) -> dict[str, object]:
    turns = [("user", "Repeat: moon"), ("assistant", "moon"), ("user", "Repeat: tree")]
    turns += [("assistant", "tree"), ("user", f"Repeat: {word}"), ("assistant", answer)]
    return {
        "id": word,
        "messages": [{"role": role, "content": content} for role, content in turns],
        "label": answer,
        "group": word,
    }
