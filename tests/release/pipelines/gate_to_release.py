"""The gate and the release as a pipeline of their own, on the files of an earlier run."""

import os
from typing import Any

from kfp import dsl

from wherry.gate.component import gate, refuse
from wherry.release.component import release

STAGES = ("gate", "release")


def build(target: str) -> Any:
    """Gives the pipeline on the files in the folder that ``RUN_FILES`` names."""
    folder = os.environ["RUN_FILES"]

    @dsl.pipeline(name="gate-to-release")
    def gate_to_release(name: str, policy: str) -> None:
        def given(path: str) -> Any:
            uri = dsl.importer(artifact_uri=path, artifact_class=dsl.Artifact, reimport=False)
            return uri.output

        verdict = gate(
            scores_tuned=given(f"{folder}/tuned.json"),
            scores_quantized=given(f"{folder}/quantized.json"),
            parity=given(f"{folder}/parity.json"),
            name=name,
            settings=policy,
        ).set_caching_options(False)
        with dsl.If(verdict.outputs["Output"] == True, name="blessed"):  # noqa: E712 - a node
            release(
                gguf=given(f"{folder}/gguf"),
                blessing=verdict.outputs["blessing"],
                dataset=given(f"{folder}/dataset"),
                scores_quantized=given(f"{folder}/quantized.json"),
                scores_tuned=given(f"{folder}/tuned.json"),
                base=given(f"{folder}/base"),
                adapter=given(f"{folder}/adapter"),
                name=name,
            ).set_caching_options(False)
        with dsl.Else(name="refused"):
            refuse(blessing=verdict.outputs["blessing"]).set_caching_options(False)

    return gate_to_release
