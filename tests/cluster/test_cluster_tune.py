"""A tuning run as a TrainJob on a real API server, really run by torchrun."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wherry.contracts import Manifest, ModelRef
from wherry.contracts.curve import LossCurve
from wherry.contracts.errors import ConflictError, JobError, JobTimeoutError, SettingsError
from wherry.tune.run import run

if TYPE_CHECKING:
    from tests.cluster.stand_in import StandIn

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

RECIPE = {"threads": 1, "rank": 4, "learning_rate": 0.01, "batch_size": 4, "precision": "float32"}
LONG = {"epochs": 60, "checkpoint_every": 20, "eval_points": 3}


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from tests.fakes.tiny_model import make_base, make_dataset

    folder = tmp_path_factory.mktemp("inputs")
    make_base(folder / "base")
    make_dataset(folder / "data", rows=24)
    return folder / "data", folder / "base"


class Task:
    """The submitting task: in this process, or in one of its own that can be ended."""

    def __init__(self, folder: Path, inputs: tuple[Path, Path]) -> None:
        self.folder = folder
        self.dataset, self.base = inputs

    def job(self, **settings: Any) -> str:
        given = {"target": "kubeflow", "exchange": "file:exchange", "claim": "shared", "image": "i"}
        return json.dumps({**given, "processes": 2, "timeout": 300, **settings})

    def run(self, name: str = "adapter", job: str = "", **recipe: Any) -> ModelRef:
        run(self.dataset, self.base, self.folder / name, self.folder / f"{name}.json",
            json.dumps({**RECIPE, **recipe}), job=job or self.job())  # fmt: skip
        return ModelRef.verified(self.folder / name)

    def start(self, name: str, job: str = "", **recipe: Any) -> subprocess.Popen[str]:
        given = {"dataset": self.dataset, "base": self.base, "adapter": self.folder / name,
                 "curve": self.folder / f"{name}.json", "job": job or self.job(),
                 "settings": json.dumps({**RECIPE, **recipe})}  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "wherry.tune", *(f"--{k}={v}" for k, v in given.items())],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def curve(self, name: str = "adapter") -> LossCurve:
        return LossCurve.read(self.folder / f"{name}.json")


@pytest.fixture
def task(cluster: "StandIn", tmp_path: Path, inputs: tuple[Path, Path]) -> Task:
    return Task(tmp_path, inputs)


def trainjobs() -> list[dict[str, Any]]:
    from kubernetes import client

    from tests.cluster.stand_in import GROUP

    found = client.CustomObjectsApi().list_namespaced_custom_object(**GROUP)["items"]
    return list(found)


def test_two_processes_of_a_trainjob_give_what_two_ranks_here_give(
    cluster: "StandIn", task: Task, inputs: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    made = task.run()
    seen = capfd.readouterr().err
    assert made.base_digest == ModelRef.read(inputs[1] / "model.json").digest
    assert task.curve().rows == 24
    assert task.curve().points[-1].step == 6
    Manifest.verified(task.folder / "adapter")
    assert cluster.ended == [[0]]
    # The pod's lines came through the API server's log call; its progress became the task's.
    assert "tune: done in" in seen
    assert "by the job wherry-tune-" in seen
    assert "100%" in seen
    assert {p.name for p in (task.folder / "adapter").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "manifest.json", "model.json",
    }  # fmt: skip


def test_two_nodes_learn_together(
    cluster: "StandIn", task: Task, capfd: pytest.CaptureFixture[str]
) -> None:
    task.run(job=task.job(nodes=2, processes=1), rows=8)
    assert cluster.ended == [[0, 0]]
    assert cluster.started[0]["spec"]["trainer"]["numNodes"] == 2
    seen = capfd.readouterr().err
    assert all(f"[node {index}] tune: started" in seen for index in (0, 1))


def test_what_is_applied_is_what_the_settings_say(cluster: "StandIn", task: Task) -> None:
    job = task.job(
        processes=1, cpu="2", memory="4Gi", service_account="tuner",
        node_selector={"pool": "gpu"}, env={"A": "b"}, image="reg/train:1", runtime="own",
        tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    )  # fmt: skip
    task.run(job=job, rows=4)
    spec = cluster.started[0]["spec"]
    trainer = spec["trainer"]
    assert spec["runtimeRef"]["name"] == "own"
    assert trainer["image"] == "reg/train:1"
    assert trainer["resourcesPerNode"] == {
        "requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}
    }  # fmt: skip
    pod = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    assert pod["name"] == "node"
    assert pod["template"]["spec"]["template"]["spec"] == {
        "serviceAccountName": "tuner",
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "volumes": [{"name": "exchange", "persistentVolumeClaim": {"claimName": "shared"}}],
        "containers": [
            {"name": "node", "volumeMounts": [{"name": "exchange", "mountPath": "/exchange"}]}
        ],
    }
    owner = cluster.started[0]["metadata"]["managedFields"][0]
    assert (owner["manager"], owner["operation"]) == ("wherry", "Apply")


def test_a_repeated_submission_follows_the_running_job(cluster: "StandIn", task: Task) -> None:
    first = task.start("first", **LONG)
    cluster.wait_line("tune: started")
    made = task.run("second", **LONG)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert len(cluster.started) == 1
    assert ModelRef.verified(task.folder / "first").digest == made.digest
    # A third comes when it is over: the results are taken, nothing is started.
    assert task.run("third", **LONG).digest == made.digest
    assert len(cluster.started) == 1


def test_the_same_run_with_other_resources_is_a_conflict(cluster: "StandIn", task: Task) -> None:
    first = task.start("first", **LONG)
    cluster.wait_line("tune: started")
    with pytest.raises(ConflictError, match="other job settings"):
        task.run("second", task.job(memory="1Gi"), **LONG)
    assert first.wait(60) == 0


def test_sigterm_deletes_the_trainjob_and_ends_its_processes(
    cluster: "StandIn", task: Task
) -> None:
    one = task.start("never", **LONG)
    cluster.wait_line("tune: started")
    one.send_signal(signal.SIGTERM)
    _, said = one.communicate(timeout=60)
    assert one.returncode == 130, said
    assert trainjobs() == []
    assert len(cluster.ended) == 1
    assert cluster.ended[0] != [0]
    assert not (task.folder / "never").exists()


def test_a_job_that_takes_too_long_is_cancelled(cluster: "StandIn", task: Task) -> None:
    with pytest.raises(JobTimeoutError, match="after 3 s"):
        task.run(job=task.job(timeout=3), **LONG)
    assert trainjobs() == []


def test_a_preempted_job_resumes_and_ends_with_the_bytes_of_one_that_was_not(
    cluster: "StandIn", task: Task, capfd: pytest.CaptureFixture[str]
) -> None:
    one = task.start("preempted", **LONG)
    checkpoints = task.folder / "exchange" / "checkpoints"
    deadline = time.monotonic() + 60
    while not list(checkpoints.glob("*/step-00000040/manifest.json")):
        assert time.monotonic() < deadline, cluster.said()
        time.sleep(0.01)
    cluster.preempt()
    _, said = one.communicate(timeout=120)
    assert one.returncode == 0, said
    assert "E_PREEMPTED: The machine was wanted back at step" in said
    assert "2 retries left" in said
    assert len(cluster.started) == 2
    resumed = task.curve("preempted").resumed_at
    assert resumed >= 40
    assert f"wanted back at step {resumed} of" in said  # that step, not the checkpoint before it
    assert not list(checkpoints.rglob("step-*"))
    whole = task.run("whole", task.job(exchange="file:exchange/other"), **LONG)
    assert task.curve("whole").resumed_at == 0
    assert ModelRef.verified(task.folder / "preempted").digest == whole.digest


def test_a_run_that_cannot_succeed_is_not_tried_again_and_says_why(
    cluster: "StandIn", task: Task
) -> None:
    with pytest.raises(SettingsError, match="torch sees no GPU"):
        task.run(device="cuda")
    assert len(cluster.started) == 1


def test_a_job_that_fails_for_another_reason_is_tried_as_often_as_is_said(
    cluster: "StandIn", task: Task
) -> None:
    broken = task.folder / "image"
    broken.mkdir()
    (broken / "wherry.py").write_text("raise SystemExit(1)")  # found before one that is installed
    cluster.environment["PYTHONPATH"] = str(broken)
    with pytest.raises(JobError, match="FailedJobs: a job failed"):
        task.run(job=task.job(retries=1))
    assert len(cluster.started) == 2


def test_a_field_that_the_cluster_would_drop_is_found_before_anything_starts(
    cluster: "StandIn", task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.tune.adapters import kubeflow
    from wherry.tune.forms import train_job

    def newer(*given: Any) -> dict[str, Any]:
        body = train_job(*given)
        body["spec"]["trainer"]["ofTomorrow"] = True
        return body

    monkeypatch.setattr(kubeflow, "train_job", newer)
    with pytest.raises(JobError, match=r"keep the field spec.trainer.ofTomorrow"):
        task.run()
    assert trainjobs() == []
    assert cluster.started == []


@pytest.mark.usefixtures("cluster")
def test_a_cluster_without_trainer_is_told(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    from wherry.tune.adapters import kubeflow

    monkeypatch.setattr(kubeflow, "PLURAL", "trainjobsofold")
    with pytest.raises(JobError, match="cannot be applied") as raised:
        task.run()
    assert "Install Kubeflow Trainer" in raised.value.remedy


def test_a_bucket_carries_everything_with_keys_from_a_secret(
    cluster: "StandIn", task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes import client

    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "hush"}
        for name, value in {**keys, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem().mkdir("wherry-test")
        client.CoreV1Api().create_namespaced_secret(
            "default", {"metadata": {"name": "bucket"}, "stringData": keys}
        )
        job = task.job(
            exchange="s3://wherry-test/exchange", claim="", env={"AWS_ENDPOINT_URL": address},
            secrets={name: f"bucket/{name}" for name in keys},
        )  # fmt: skip
        task.run(job=job, checkpoint_every=2)
        assert "hush" not in json.dumps(cluster.started)
        assert s3fs.S3FileSystem().find("wherry-test/exchange/checkpoints") == []
    finally:
        client.CoreV1Api().delete_namespaced_secret("bucket", "default")
        server.stop()
