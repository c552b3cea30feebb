"""Benchmarks, judge and safety as steps of a pipeline."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.local


def test_they_compile_with_and_without_what_is_optional(tmp_path: Path) -> None:
    import yaml
    from kfp import compiler, dsl

    from wherry.evaluate.benchmarks.component import benchmark
    from wherry.evaluate.judge.component import judge
    from wherry.evaluate.safety.component import safety

    @dsl.pipeline(name="probes")
    def probes() -> None:
        data, model, other = (
            dsl.importer(artifact_uri=f"gs://b/{kind}", artifact_class=kind_of)
            for kind, kind_of in (("d", dsl.Dataset), ("m", dsl.Model), ("o", dsl.Artifact))
        )
        before = benchmark(model=model.output, subject="base", data=other.output)
        after = benchmark(model=model.output, subject="tuned", tasks=other.output, settings="{}")
        safety(dataset=data.output, model=model.output, subject="tuned")
        judge(
            dataset=data.output,
            champion=before.outputs["scores"],
            champion_predictions=before.outputs["predictions"],
            challenger=after.outputs["scores"],
            challenger_predictions=after.outputs["predictions"],
            url="http://judge/openai/v1",
        )

    path = tmp_path / "probes.yaml"
    compiler.Compiler().compile(probes, str(path))
    made = yaml.safe_load(path.read_text())
    assert {"comp-benchmark", "comp-judge", "comp-safety"} <= set(made["components"])
    inputs = made["components"]["comp-safety"]["inputDefinitions"]["artifacts"]
    assert inputs["classifier"]["isOptional"]
    assert not inputs["model"].get("isOptional")
