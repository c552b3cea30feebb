"""Compiles a pipeline file to the YAML that a platform takes."""

from collections.abc import Mapping
from pathlib import Path

from wherry.contracts.files import staged_file
from wherry.runtime.worker import load_pipeline


def compile_to(pipeline: Path, target: str, arguments: Mapping[str, str], out: Path) -> None:
    """Writes a pipeline's YAML: one document for Vertex, two for Kubeflow.

    Args:
        pipeline: a Python file with a function ``build(target)``.
        target: ``kubeflow`` or ``vertex``.
        arguments: become the defaults of the pipeline's parameters.
        out: the file to write.
    """
    build = load_pipeline(pipeline).build
    from kfp import compiler

    with staged_file(out.absolute()) as staged:
        # KFP chooses the format by the suffix.
        yaml = staged.with_suffix(".yaml")
        try:
            compiler.Compiler().compile(
                build(target), str(yaml), pipeline_parameters=dict(arguments)
            )
            yaml.replace(staged)
        finally:
            yaml.unlink(missing_ok=True)
