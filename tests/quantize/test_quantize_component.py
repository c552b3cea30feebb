"""The KFP wrappers of quantize and evaluate, run by KFP's own local runner."""

import json
from pathlib import Path

import pytest
from kfp import dsl, local
from kfp.dsl import Dataset, Model

from tests.quantize.conftest import Inputs
from wherry.contracts import ModelRef, Scores
from wherry.contracts.parity import Parity
from wherry.evaluate.component import evaluate
from wherry.quantize.component import quantize

pytestmark = pytest.mark.local


def test_a_pipeline_quantizes_and_then_asks_the_file(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path("components").absolute()))
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))

    @dsl.pipeline
    def quantize_and_ask(settings: str) -> None:
        base = dsl.importer(artifact_uri=str(inputs.base), artifact_class=Model)
        adapter = dsl.importer(artifact_uri=str(inputs.adapter), artifact_class=Model)
        data = dsl.importer(artifact_uri=str(inputs.dataset), artifact_class=Dataset)
        shipped = quantize(
            base=base.output, adapter=adapter.output, dataset=data.output, settings=settings
        )
        # Without a base: only an adapter needs one.
        evaluate(
            dataset=data.output,
            model=shipped.outputs["gguf"],
            subject="quantized",
            settings='{"speed_runs": 1}',
        )

    quantize_and_ask(settings=json.dumps({"rows": 3}))
    (described,) = tmp_path.rglob("gguf/model.json")
    (parity,) = tmp_path.rglob("parity")
    (scores,) = tmp_path.rglob("scores")
    model = ModelRef.verified(described.parent)
    assert Parity.read(parity).model_digest == model.digest
    assert Scores.read(scores).model_digest == model.digest
    assert Scores.read(scores).subject == "quantized"
