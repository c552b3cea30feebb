"""The chat template is read from a GGUF's header, and a damaged header is told as such."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.contracts.errors import FormatError, TemplateError
from wherry.gguf_template import chat_template


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def header(*entries: tuple[str, int, bytes]) -> bytes:
    body = b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in entries)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + body


TOKENS = struct.pack("<IQ", 8, 2) + text("a") + text("bc")
SCORES = struct.pack("<IQ", 6, 2) + struct.pack("<2f", 1, 2)
GOOD = header(
    ("general.architecture", 8, text("llama")),
    ("llama.block_count", 4, struct.pack("<I", 30)),
    ("tokenizer.ggml.tokens", 9, TOKENS),
    ("tokenizer.ggml.scores", 9, SCORES),
    ("tokenizer.chat_template", 8, text("{{ messages }}")),
)


def test_the_template_is_found_behind_every_other_kind_of_value(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(GOOD)
    assert chat_template(path) == "{{ messages }}"


def test_a_base_model_without_a_template_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(header(("general.architecture", 8, text("llama"))))
    with pytest.raises(TemplateError, match="no chat template"):
        chat_template(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"GGUF" + struct.pack("<IQQ", 99, 0, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 60),
        header(("a", 99, b"")),
        header(("a", 9, struct.pack("<IQ", 9, 1))),
        header(("a", 9, struct.pack("<IQ", 8, 1 << 60))),
        header(("a", 9, struct.pack("<IQ", 6, 1 << 63))),
        *(GOOD[:length] for length in (3, 20, 30, 60, 100, len(GOOD) - 1)),
    ],
)
def test_a_damaged_header_is_a_format_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"m\.gguf is no whole GGUF"):
        chat_template(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, len(GOOD)), noise=st.binary(max_size=40))
def test_no_noise_ends_in_another_error(tmp_path: Path, cut: int, noise: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(GOOD[:cut] + noise)
    try:
        found = chat_template(path)
    except (FormatError, TemplateError) as error:
        assert "m.gguf" in error.message
    else:
        assert found  # whatever stands behind a whole header is not its business
