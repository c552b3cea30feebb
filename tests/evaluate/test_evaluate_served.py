"""Our own server, asked through its protocol: what the file itself says, as far as it is told."""

import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.served import Served, free_port, smollm2, start, wait_ready
from wherry.contracts import Message, digest_file
from wherry.evaluate.adapters.llamacpp import LlamaCppAnswerer
from wherry.evaluate.adapters.openai import OpenAiAnswerer
from wherry.evaluate.endpoint.run import run
from wherry.evaluate.settings import Endpoint
from wherry.progress import Silent

pytestmark = pytest.mark.local

LABELS = ("The", "A", "zebra")
"""Two that an answer may well begin with, and one that no list of twenty tokens has."""
PROMPTS = [
    (Message("user", f"Which organ {does}? Answer with one of: Heart, Lung, Eye."),)
    for does in ("pumps blood", "sees", "breathes")
]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    port = free_port()
    process = start(smollm2(), port)
    try:
        yield wait_ready(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def test_a_server_is_its_file(server: Served) -> None:
    """Free answers, the digest, and the labels' probabilities as far as the protocol tells."""
    asked = OpenAiAnswerer(f"{server.url}/openai/v1", Endpoint(parallel=2), max_new_tokens=6)
    assert (asked.model_digest, asked.verified) == (digest_file(smollm2()), True)
    served = asked.answer(PROMPTS, LABELS, Silent())
    file = LlamaCppAnswerer(smollm2(), max_new_tokens=6, slots=1, context=256, threads=1)
    told = 0
    for found, wanted in zip(served, file.answer(PROMPTS, LABELS, Silent()), strict=True):
        assert found.text == wanted.text
        if found.label_scores:
            told += 1
            pairs = zip(found.label_scores, wanted.label_scores, strict=True)
            known = [pair for pair in pairs if math.isfinite(pair[0])]
            assert all(one == pytest.approx(other, abs=0.02) for one, other in known)
            assert max(found.label_scores) == pytest.approx(max(wanted.label_scores), abs=0.02)
    assert told == len(PROMPTS)


def test_the_stage_asks_a_server(server: Served, tmp_path: Path) -> None:
    from tests.fakes import tiny_model

    tiny_model.make_dataset(tmp_path / "data", rows=3)
    paths = (tmp_path / "data", tmp_path / "scores.json", tmp_path / "made.jsonl")
    settings = json.dumps({"endpoint": {"parallel": 2}})
    found = run(*paths, "served", f"{server.url}/openai/v1", settings)
    assert found.model_digest == digest_file(smollm2())
    accuracy, latency = found.find("accuracy"), found.find("latency")
    assert accuracy is not None and accuracy.n == 3
    assert latency is not None and latency.n == 3
