"""wherry compile: the pipeline as YAML for Kubeflow or Vertex AI."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from wherry.cli.options import debug_option, json_option, pipeline_option, settings_option
from wherry.cli.preflight import check_settings
from wherry.cli.run import ADDRESS
from wherry.runtime.identity import code_of
from wherry.runtime.plan import Plan, read_plan
from wherry.runtime.shared import bucket_places, shared_places

_VERTEX_NEEDS: Final = {
    "WHERRY_STORE": "a server, postgresql://…",
    "WHERRY_ARTIFACTS": "a bucket, gs://…",
    "WHERRY_KEYS": "a folder of keys in a bucket, /gcs/BUCKET/…",
}


@click.command(name="compile")
@click.option("--target", type=click.Choice(["kubeflow", "vertex"]), required=True)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: TARGET.yaml."
)
@settings_option
@pipeline_option
@json_option
@debug_option
def compile_pipeline(
    target: str,
    out: Path | None,
    settings: Path,
    pipeline: Path,
    as_json: bool,
) -> None:
    """Compile the pipeline for a cluster. The settings become its parameters' defaults."""
    from wherry.runtime.compile import compile_to

    plan = read_plan(settings)
    check_settings(plan, settings)
    plan = plan.for_target(target)
    path = out or Path(f"{target}.yaml")
    # A cluster resolves the data itself, when it runs: no checksum is fixed here.
    arguments = plan.arguments(checksum="", code=code_of(Path.cwd()))
    compile_to(pipeline, target, arguments, path)
    for told in (*_of_this_machine(plan), *_lacking(target)):
        click.echo(told, err=True)
    if as_json:
        print(json.dumps({"target": target, "path": str(path)}))
    else:
        print(f"{path}: {path.stat().st_size} bytes for {target}")


def _of_this_machine(plan: Plan) -> Iterator[str]:
    """Names what no machine of a cluster will find."""
    for name, value in {"data_repo": plan.data_repo, "base_uri": plan.base_uri}.items():
        if value.startswith("file:") or not ADDRESS.match(value):
            yield (
                f"{name} is {value!r}, which the cluster does not have: name one that it reaches "
                "in the settings, or as a parameter of the run."
            )


def _lacking(target: str) -> Iterator[str]:
    """Names what a run on Vertex would miss after hours: no disk there outlives a task."""
    if target != "vertex":
        return
    found = shared_places() | bucket_places()
    for name, form in _VERTEX_NEEDS.items():
        if name not in found:
            yield f"{name} does not name {form}: without one the run fails on Vertex AI."
