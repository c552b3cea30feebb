"""The KFP wrappers hand paths on and put the headline numbers where KFP shows them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.evaluate.conftest import labelled_dataset
from tests.fakes.openai_server import FakeOpenAi, card, said
from wherry.contracts import PairedTests, Scores, digest_bytes


class Artifact(SimpleNamespace):
    """What KFP hands a component: a path, and metadata to fill."""

    def __init__(self, path: Path) -> None:
        super().__init__(path=str(path), logged={})

    def log_metric(self, name: str, value: float) -> None:
        self.logged[name] = value


def _evaluated(dataset: Path, out: Path, answer: str) -> dict[str, Artifact]:
    from wherry.evaluate.endpoint.component import evaluate_endpoint

    out.mkdir()
    made = {name: Artifact(out / name) for name in ("scores", "predictions")}
    with FakeOpenAi(
        [card("slm", digest=digest_bytes(b"weights"))], lambda _: (200, said(answer))
    ).serving() as server:
        evaluate_endpoint.python_func(
            dataset=Artifact(dataset), **made, subject="served", url=server.url
        )
    return made


def test_a_server_is_evaluated_and_two_evaluations_are_compared(tmp_path: Path) -> None:
    from wherry.evaluate.paired.component import compare

    dataset = labelled_dataset(tmp_path / "data")
    champion = _evaluated(dataset, tmp_path / "champion", "nothing")
    challenger = _evaluated(dataset, tmp_path / "challenger", "heart")
    assert champion["scores"].logged["accuracy"] == 0.0
    assert challenger["scores"].logged["accuracy"] == pytest.approx(1 / 3)
    # What could not be measured is no number to show.
    assert "label_accuracy" not in challenger["scores"].logged
    tests = Artifact(tmp_path / "tests.json")
    compare.python_func(
        champion_scores=champion["scores"],
        champion_predictions=champion["predictions"],
        challenger_scores=challenger["scores"],
        challenger_predictions=challenger["predictions"],
        tests=tests,
        settings='{"metrics": ["accuracy"]}',
    )
    (test,) = PairedTests.read(Path(tests.path)).tests
    assert (test.champion, test.challenger) == (0.0, pytest.approx(1 / 3))
    # Two rows of six are no proof.
    assert (test.p_value, test.verdict) == (0.5, "undecided")


def test_a_pipeline_with_both_compiles(tmp_path: Path) -> None:
    from kfp import compiler, dsl

    from wherry.evaluate.endpoint.component import evaluate_endpoint
    from wherry.evaluate.paired.component import compare

    @dsl.pipeline(name="served")
    def served(url: str) -> None:
        data = dsl.importer(artifact_uri="file:/data", artifact_class=dsl.Dataset)
        sides = [
            evaluate_endpoint(dataset=data.output, subject=name, url=url) for name in ("old", "new")
        ]
        names = ("scores", "predictions")
        given: dict[str, Any] = {
            f"{who}_{name}": side.outputs[name]
            for who, side in zip(("champion", "challenger"), sides, strict=True)
            for name in names
        }
        compare(**given)

    path = tmp_path / "served.yaml"
    compiler.Compiler().compile(served, str(path))
    assert "comp-evaluate-endpoint" in path.read_text()
    assert "comp-compare" in path.read_text()


def test_scores_of_an_older_version_are_still_read() -> None:
    digest = '"sha256:' + "0" * 64 + '"'
    old = f"""{{"subject": "tuned", "model_digest": {digest}, "template_digest": {digest},
        "data_digest": {digest}, "split": "test", "engine": "transformers",
        "metrics": [{{"name": "accuracy", "value": 0.5, "n": 10, "method": "wilson"}}],
        "schema": "wherry.scores/1"}}"""
    read = Scores.from_json(old)
    assert (read.predictions_digest, read.model_verified, read.confusion) == (None, True, None)
    assert Scores.from_json(read.to_json()) == read
