"""How llama.cpp is started and measured, and what is said where it fails."""

import sys
from pathlib import Path

import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts.errors import FormatError
from wherry.llama import load_model
from wherry.llama_server import DECODED, measure, start

pytestmark = pytest.mark.local


def test_conversations_and_tokens_are_measured_alike(inputs: Inputs) -> None:
    asked = [{"prompt": [5, 6, 7]}, {"messages": [{"role": "user", "content": "hi"}]}]
    cost = measure(inputs.base / "source.gguf", asked, context=64 + DECODED, threads=1)
    assert len(cost.first_token) == len(cost.decode_speed) == 2
    assert min(*cost.first_token, *cost.decode_speed) > 0
    assert cost.peak_memory is not None and cost.peak_memory > 10_000_000


def test_a_request_that_does_not_fit_is_told_in_llama_cpps_words(inputs: Inputs) -> None:
    with pytest.raises(FormatError, match=r"source\.gguf failed: .*context") as failed:
        measure(inputs.base / "source.gguf", [{"prompt": [5] * 400}], context=32, threads=1)
    assert "Traceback" not in failed.value.message


def test_a_measured_process_that_is_killed_without_a_word_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(FormatError, match=r"m\.gguf failed: it ended with status -9"):
        measure(tmp_path / "m.gguf", [{"prompt": [5]}], context=32, threads=1)


def test_what_is_no_model_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "noise.gguf"
    file.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(FormatError, match=r"llama\.cpp cannot load .*noise\.gguf"):
        start(file, key="k", slots=1, context=32, threads=1)


def test_an_error_tells_of_its_own_file_alone(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with pytest.raises(FormatError) as failed:
            load_model(tmp_path / f"{name}.gguf")
    assert "second" in failed.value.message
    assert "first" not in failed.value.message
