"""The wiring of the base room: what a person meets when something is not there."""

import sys
from pathlib import Path

import pytest

from wherry.base.run import run
from wherry.contracts.errors import ExtraMissingError, UriError


def test_a_missing_library_answers_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "wherry.base.adapters.transformers", raising=False)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ExtraMissingError, match=r'pip install "wherry\[base\]"'):
        run("file:model.gguf", tmp_path / "base")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_a_uri_of_another_scheme_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UriError):
        run("ftp://somewhere/model.gguf", tmp_path / "base")
    assert list(tmp_path.iterdir()) == []
