"""The wiring of tuning: what a person meets when something is not there."""

import json
import sys
from pathlib import Path

import pytest

from wherry.contracts.errors import ExtraMissingError, SettingsError
from wherry.tune.run import run


def test_a_missing_library_answers_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    # Else transformers would be imported without torch, and stay so for later tests.
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in [n for n in sys.modules if n.startswith("wherry.tune.adapters")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ExtraMissingError, match=r'pip install "wherry\[tune\]"'):
        run(tmp_path / "data", tmp_path / "base", tmp_path / "adapter", tmp_path / "curve.json")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_recipe_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    raw = json.dumps({"learning_rat": 0.001})
    with pytest.raises(SettingsError, match="learning_rat"):
        run(
            tmp_path / "data", tmp_path / "base", tmp_path / "adapter", tmp_path / "curve.json", raw
        )
