"""What any tuning method gives goes the same way to one file, or is refused by name."""

import json
from pathlib import Path

import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts import ModelRef
from wherry.contracts.errors import FormatError
from wherry.contracts.parity import Parity
from wherry.quantize.run import run as quantize
from wherry.tune.run import run as tune

pytestmark = pytest.mark.local

RECIPE = {"threads": 1, "rank": 4, "learning_rate": 0.01, "frozen_share": 0.5, "epochs": 2}


def tuned(inputs: Inputs, folder: Path, method: str) -> Path:
    settings = json.dumps({**RECIPE, "method": method, "precision": "float32"})
    tune(inputs.dataset, inputs.base, folder / "tuned", folder / "curve.json", settings)
    return folder / "tuned"


@pytest.mark.parametrize("method", ["dora", "rslora", "pissa", "ia3", "full"])
def test_a_tuned_model_becomes_one_file_that_is_still_that_model(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    model = tuned(inputs, tmp_path, method)
    # Random weights tie now and then: the divergence is what counts here.
    limits = json.dumps({"min_conversion_agreement": 0.9, "min_agreement": 0.9})
    made = quantize(
        inputs.base, model, inputs.dataset, tmp_path / "gguf", tmp_path / "parity.json", limits
    )
    assert made.adapter_digest == ModelRef.read(model / "model.json").digest
    kl = {one.name: one.kl for one in Parity.read(tmp_path / "parity.json").comparisons}
    assert kl["merge"] is not None and kl["merge"] < 1e-6
    assert kl["conversion"] is not None and kl["conversion"] < 2e-5


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_virtual_tokens_cannot_become_a_file(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    model = tuned(inputs, tmp_path, method)
    with pytest.raises(FormatError, match="cannot be merged"):
        quantize(inputs.base, model, inputs.dataset, tmp_path / "gguf", tmp_path / "parity.json")
    assert not (tmp_path / "gguf").exists()
