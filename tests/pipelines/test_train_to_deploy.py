"""The pipeline compiles for each platform to YAML that its own client loads."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from wherry.cli import cli
from wherry.contracts import Code
from wherry.runtime.plan import read_plan
from wherry.runtime.worker import load_pipeline

pytestmark = pytest.mark.local
PIPELINE = Path("pipelines/train_to_deploy.py")
GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both platforms' YAML, written by `wherry compile`."""
    folder = tmp_path_factory.mktemp("compiled")
    paths = {target: folder / f"{target}.yaml" for target in ("kubeflow", "vertex")}
    for target, path in paths.items():
        done = CliRunner().invoke(
            cli, ["compile", "--target", target, "--out", str(path)], standalone_mode=False
        )
        assert done.exception is None, done.exception
    return paths


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def without_what_changes(text: str) -> str:
    """Blanks the commit that is written into the defaults, the one part that moves."""
    text = re.sub(r'"commit": ?"[0-9a-f]*"', '"commit":""', text)
    return re.sub(r'"dirty": ?(true|false)', '"dirty":false', text)


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_the_yaml_is_the_golden_one(
    target: str, compiled: dict[str, Path], request: pytest.FixtureRequest
) -> None:
    text = without_what_changes(compiled[target].read_text())
    golden = GOLDENS / f"{target}.yaml"
    if request.config.getoption("--update-goldens"):
        golden.write_text(text)
    assert text == golden.read_text(), "refresh with --update-goldens if the change is meant"


def test_a_settings_file_gives_every_parameter_of_the_pipeline(
    compiled: dict[str, Path],
) -> None:
    plan = read_plan(Path("pipelines/settings/icd10.yaml"))
    given = plan.arguments(checksum="", code=Code(version="1"))
    taken = documents(compiled["vertex"])[0]["root"]["inputDefinitions"]["parameters"]
    assert set(given) == set(taken)


def test_kubeflow_gets_its_platform_spec_and_vertex_one_document(
    compiled: dict[str, Path],
) -> None:
    assert len(documents(compiled["kubeflow"])) == 2
    assert len(documents(compiled["vertex"])) == 1


def test_kubeflows_client_loads_it(compiled: dict[str, Path]) -> None:
    from kfp import components

    component = components.load_component_from_file(str(compiled["kubeflow"]))
    assert component.name == "train-to-deploy"
    assert component.platform_spec.platforms["kubernetes"]


@pytest.mark.vertex
@pytest.mark.slow
def test_vertexs_client_loads_it(compiled: dict[str, Path]) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    job = aiplatform.PipelineJob(
        display_name="train-to-deploy",
        template_path=str(compiled["vertex"]),
        pipeline_root="gs://bucket/root",
        project="project",
        location="us-central1",
        credentials=AnonymousCredentials(),
        parameter_values={"name": "another"},
    )
    spec = job.to_dict()
    assert spec["runtimeConfig"]["parameterValues"]["name"] == "another"
    assert spec["pipelineSpec"]["pipelineInfo"]["name"] == "train-to-deploy"


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_every_task_runs_our_image_and_installs_nothing(
    target: str, compiled: dict[str, Path]
) -> None:
    executors = documents(compiled[target])[0]["deploymentSpec"]["executors"]
    assert len(executors) >= 10
    for executor in executors.values():
        container = executor["container"]
        assert "/wherry-python-" in container["image"]
        assert "pip install" not in str(container["command"])


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_release_and_deploy_are_reachable_through_the_gate_alone(
    target: str, compiled: dict[str, Path]
) -> None:
    spec = documents(compiled[target])[0]
    outside = spec["root"]["dag"]["tasks"]
    assert not {"release", "deploy", "refuse"} & set(outside)
    branches = {
        name: set(component["dag"]["tasks"])
        for name, component in spec["components"].items()
        if "dag" in component and not name.startswith("comp-condition-branches")
    }
    released = [tasks for tasks in branches.values() if "release" in tasks]
    refused = [tasks for tasks in branches.values() if "refuse" in tasks]
    live = [tasks for tasks in branches.values() if "deploy" in tasks]
    assert len(released) == len(refused) == len(live) == 1
    assert any(task.startswith("condition") for task in released[0])  # deploying hangs on it
    assert "refuse" not in live[0]
    assert not {"release", "deploy"} & refused[0]


def test_what_depends_on_the_store_is_never_cached(compiled: dict[str, Path]) -> None:
    spec = documents(compiled["kubeflow"])[0]
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    cached = {
        name
        for dag in dags
        for name, task in dag["tasks"].items()
        if task.get("cachingOptions", {}).get("enableCache")
    }
    assert not {"compare-champion", "gate", "release", "deploy", "report", "refuse"} & cached
    assert {"ingest", "tune", "quantize"} <= cached


def test_the_counted_stages_are_those_of_a_blessed_run(compiled: dict[str, Path]) -> None:
    spec = documents(compiled["kubeflow"])[0]
    refused = next(
        component["dag"]
        for component in spec["components"].values()
        if "dag" in component and "refuse" in component["dag"]["tasks"]
    )
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    shown = {
        task["taskInfo"]["name"]
        for dag in dags
        if dag is not refused
        for task in dag["tasks"].values()
        if "condition" not in task["taskInfo"]["name"]
        and task["taskInfo"]["name"] not in ("blessed", "refused", "live", "waiting")
    }
    assert shown == set(load_pipeline(PIPELINE).STAGES)
