"""The pipeline compiles for each platform to YAML that its own client loads."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from wherry.cli import cli
from wherry.contracts import Code
from wherry.contracts.errors import SettingsError, StoreError
from wherry.ledger import Ledger
from wherry.ledger.artifacts import Artifacts
from wherry.ledger.circumstances import RUN_VARIABLE
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


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_what_depends_on_the_store_or_on_a_branch_is_never_cached(
    target: str, compiled: dict[str, Path]
) -> None:
    spec = documents(compiled[target])[0]
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    cached = {
        name
        for dag in dags
        for name, task in dag["tasks"].items()
        if task.get("cachingOptions", {}).get("enableCache")
    }
    moving = {"ingest", "compare-champion", "gate", "release", "deploy", "report", "refuse"}
    assert not moving & cached
    assert {"fetch-base", "tune", "quantize"} <= cached


STATEFUL = ("compare-champion", "gate", "release", "deploy")


def variables(compiled: Path, task: str) -> dict[str, str]:
    container = documents(compiled)[0]["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
    return {one["name"]: one["value"] for one in container.get("env", ())}


def recompiled(folder: Path, target: str) -> Path:
    arguments = ["compile", "--target", target, "--out", str(folder / "again.yaml")]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    if done.exception:
        raise done.exception
    return folder / "again.yaml"


@pytest.mark.parametrize("task", STATEFUL)
def test_on_vertex_a_task_without_a_store_that_outlives_it_fails(
    task: str, compiled: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = variables(compiled["vertex"], task)
    assert given == {"WHERRY_STORE": "unset:", "WHERRY_ARTIFACTS": "unset:"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError):
        Ledger.open(tmp_path)
    with pytest.raises(SettingsError):
        Artifacts.open(tmp_path)


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_a_teams_store_is_handed_to_every_task_that_needs_it(
    target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHERRY_STORE", "postgresql://wherry@db/wherry")
    monkeypatch.setenv("WHERRY_ARTIFACTS", "gs://bucket/models")
    path = recompiled(tmp_path, target)
    for task in STATEFUL:
        found = variables(path, task)
        assert found["WHERRY_STORE"] == "postgresql://wherry@db/wherry"
        assert found["WHERRY_ARTIFACTS"] == "gs://bucket/models"


def test_on_vertex_the_keys_lie_in_a_bucket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHERRY_KEYS", "/gcs/bucket/keys")
    monkeypatch.setenv("WHERRY_MIRRORS", "mlflow:https://mlflow.example")
    for target, handed_on in (("vertex", "/gcs/bucket/keys"), ("kubeflow", None)):
        path = recompiled(tmp_path, target)
        for task in STATEFUL:
            found = variables(path, task)
            assert found.get("WHERRY_KEYS") == handed_on
            assert found["WHERRY_MIRRORS"] == "mlflow:https://mlflow.example"


def test_on_kubeflow_the_password_of_a_teams_store_is_a_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHERRY_STORE", "postgresql://wherry@db/wherry")
    platform = documents(recompiled(tmp_path, "kubeflow"))[1]["platforms"]["kubernetes"]
    for task in STATEFUL:
        (secret,) = platform["deploymentSpec"]["executors"][f"exec-{task}"]["secretAsEnv"]
        assert secret["secretName"] == "wherry-store"
        assert secret["keyToEnv"] == [{"secretKey": "password", "envVar": "PGPASSWORD"}]
        assert secret["optional"] is True


def test_a_password_is_not_written_into_a_pipeline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHERRY_STORE", "postgresql://wherry:hunter2@db/wherry")
    with pytest.raises(SettingsError, match="holds a password"):
        recompiled(tmp_path, "vertex")
    assert not (tmp_path / "again.yaml").exists()


def test_kubeflow_names_its_run_and_asks_for_room(compiled: dict[str, Path]) -> None:
    spec, platform = documents(compiled["kubeflow"])
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for task in STATEFUL:
        (run,) = pods[f"exec-{task}"]["fieldPathAsEnv"]
        assert run["name"] == RUN_VARIABLE
    executors = spec["deploymentSpec"]["executors"]
    for task in ("fetch-base", "evaluate", "tune", "quantize"):
        asked = executors[f"exec-{task}"]["container"]["resources"]
        assert (asked["resourceCpuRequest"], asked["resourceMemoryRequest"]) == ("2", "4G")


def test_who_compiles_is_told_what_the_cluster_will_not_find(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["compile", "--target", "vertex", "--out", f"{tmp_path}/v.yaml"])
    assert "data_repo is '.', which the cluster does not have" in done.stderr
    assert "base_uri" not in done.stderr
    for name in ("WHERRY_STORE", "WHERRY_ARTIFACTS", "WHERRY_KEYS"):
        assert f"{name} does not name a " in done.stderr


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
