"""One real server that the tests of this folder share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.served import Served, free_port, smollm2, start, wait_ready


@pytest.fixture(scope="session")
def model_file() -> Path:
    return smollm2()


@pytest.fixture(scope="session")
def server(model_file: Path) -> Iterator[Served]:
    port = free_port()
    process = start(model_file, port)
    try:
        yield wait_ready(process, port)
        assert process.poll() is None, "the server died under the tests"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
