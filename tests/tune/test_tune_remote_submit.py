"""Following a job, told by a platform in memory."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from wherry.contracts import digest_bytes
from wherry.contracts.errors import (
    EXIT_PREEMPTED,
    DataError,
    FileAccessError,
    JobError,
    JobTimeoutError,
    ParityError,
    PreemptedError,
    WherryError,
)
from wherry.tune.forms import Errand, custom_job, launch, lost, train_job
from wherry.tune.jobs import Toleration, TuneJobSettings
from wherry.tune.submit import Failure, Seen, carry_out, listener, percent_of

JOB = TuneJobSettings(target="kubeflow", exchange="s3://b/x", retries=2, timeout=100)
RUNNING, DONE = Seen("running"), Seen("succeeded")
FAILED = Seen("failed", "it broke")
ERRAND = Errand(digest_bytes(b"run"), ("--exchange=s3://b/x", "--results=r"))


class Platform:
    """One that goes through given states at each attempt, and notes what it is told."""

    def __init__(self, *attempts: Sequence[Any], found: Seen | None = None) -> None:
        self.attempts = [list(one) for one in attempts]
        self.found = found
        self.did: list[str] = []
        self.clock = 0.0

    def find(self) -> Seen | None:
        return self.found

    def start(self) -> None:
        self.did.append("start")

    def states(self, seconds: float) -> Iterator[Seen]:
        self.clock += seconds
        if self.attempts and self.attempts[0]:
            one = self.attempts[0].pop(0)
            if isinstance(one, BaseException):
                raise one
            if one.ended:
                self.attempts.pop(0)
            yield one

    def remove(self) -> None:
        self.did.append("remove")


class Results:
    """An exchange in memory."""

    def __init__(self, *, ready: bool = False, failure: Failure | None = None) -> None:
        self.is_ready, self.told = ready, failure
        self.cleared = 0

    def ready(self) -> bool:
        return self.is_ready

    def failure(self) -> Failure | None:
        return self.told

    def clear(self) -> None:
        self.cleared += 1


def carried_out(platform: Platform, results: Results | None = None) -> list[str]:
    said: list[str] = []
    carry_out(platform, results or Results(), JOB, said.append, lambda: platform.clock)
    return said


def test_a_job_is_started_and_followed_to_its_end() -> None:
    platform, results = Platform([RUNNING, RUNNING, DONE]), Results()
    carried_out(platform, results)
    assert platform.did == ["start"]
    assert results.cleared == 1


def test_one_that_runs_already_is_followed_and_nothing_of_it_is_cleared() -> None:
    platform, results = Platform([RUNNING, DONE], found=RUNNING), Results()
    carried_out(platform, results)
    assert (platform.did, results.cleared) == ([], 0)


def test_one_that_ended_well_gives_its_results() -> None:
    platform = Platform([DONE], found=DONE)
    carried_out(platform, Results(ready=True))
    assert platform.did == []


@pytest.mark.parametrize("found", [DONE, FAILED, Seen("gone")])
def test_one_that_ended_and_left_nothing_is_started_anew(found: Seen) -> None:
    platform = Platform([DONE], found=found)
    carried_out(platform)
    assert platform.did == ["remove", "start"]


def test_a_failed_job_is_started_as_often_as_the_settings_say() -> None:
    platform = Platform([FAILED], [FAILED], [RUNNING, DONE])
    said = carried_out(platform)
    assert platform.did == ["start", "remove", "start", "remove", "start"]
    assert said == [f"the job failed: it broke; {left} retries left" for left in (2, 1)]
    with pytest.raises(JobError, match="it broke"):
        carried_out(Platform([FAILED], [FAILED], [FAILED]))


@pytest.mark.parametrize("kind", [DataError, ParityError])
def test_a_cause_that_another_attempt_would_meet_is_raised_at_once(
    kind: type[WherryError],
) -> None:
    platform = Platform([FAILED])
    cause = Failure.of(kind("Row 3 is odd.", remedy="Mend it."))
    with pytest.raises(kind, match="Row 3 is odd"):
        carried_out(platform, Results(failure=cause))
    assert platform.did == ["start"]


def test_a_cause_that_may_pass_is_tried_again_and_told_at_last() -> None:
    cause = Failure.of(FileAccessError("The network broke.", remedy="Look."))
    platform = Platform([FAILED], [FAILED], [FAILED])
    with pytest.raises(FileAccessError, match="The network broke"):
        carried_out(platform, Results(failure=cause))
    assert platform.did.count("start") == 3


def test_a_failure_that_is_final_is_not_tried_again() -> None:
    with pytest.raises(JobError, match="DeadlineExceeded"):
        carried_out(platform := Platform([Seen("failed", "DeadlineExceeded", final=True)]))
    assert platform.did == ["start"]


def test_a_code_of_a_later_version_is_a_failed_job() -> None:
    assert isinstance(Failure("E_TOMORROW", "m.", "r.").error, JobError)


def test_a_job_that_somebody_deleted_is_not_started_again() -> None:
    with pytest.raises(JobError, match="deleted or cancelled"):
        carried_out(platform := Platform([RUNNING, Seen("gone")]))
    assert platform.did == ["start"]


def test_a_job_that_takes_too_long_is_removed() -> None:
    with pytest.raises(JobTimeoutError, match="still waiting after 100 s: no quota"):
        carried_out(platform := Platform([Seen("waiting", "no quota")] * 50))
    assert platform.did == ["start", "remove"]


def test_an_interrupted_task_removes_its_job() -> None:
    with pytest.raises(KeyboardInterrupt):
        carried_out(platform := Platform([RUNNING, KeyboardInterrupt()]))
    assert platform.did == ["start", "remove"]


def test_a_fault_of_the_watching_leaves_the_job_alone() -> None:
    with pytest.raises(FileAccessError):
        carried_out(platform := Platform([RUNNING, FileAccessError("m.", remedy="r.")]))
    assert platform.did == ["start"]


@pytest.mark.parametrize(
    ("line", "found"),
    [("tune:  20% 188 tok/s, loss 1.20", (20, "188 tok/s, loss 1.20")), ("tune: 100%", (100, "")),
     ("tune: started", None), ("50%", None)],
)  # fmt: skip
def test_progress_is_read_from_the_log(line: str, found: tuple[int, str] | None) -> None:
    assert percent_of(line) == found


def test_progress_is_passed_on_and_other_lines_are_shown() -> None:
    class Told:
        def __init__(self) -> None:
            self.progressed: list[tuple[float, float, str]] = []

        def progress(self, done: float, total: float, note: str = "") -> None:
            self.progressed.append((done, total, note))

        def verdict(self, text: str) -> None:
            raise AssertionError(text)

    told, shown = Told(), []
    hear = listener(told, shown.append)
    for line in ("hello", "tune:  40% loss 2.00"):
        hear(line)
    assert (told.progressed, shown) == ([(40, 100, "loss 2.00")], ["hello"])


def test_a_preempted_run_exits_as_one_that_was_terminated() -> None:
    assert PreemptedError.exit_code == EXIT_PREEMPTED == 128 + 15


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"exchange": "http://x"}, "exchange must be"),
        ({"exchange": "file:x"}, "claim must name"),
        ({"nodes": 0}, r"nodes must be in \[1, 512\], got 0"),
        ({"gpu": "gpu", "gpus": 1}, "gpu must be a resource"),
        ({"gpu": "nvidia.com/gpu.shared", "gpus": 2}, "gpus must be 1 where gpu is a share"),
        ({"gpu": "nvidia.com/mig-1g.10gb", "gpus": 4}, "gpus must be 1 where gpu is a share"),
        ({"gpus": 1, "processes": 2}, "processes must be at most gpus"),
        ({"memory": "lots"}, "memory must be a quantity"),
        ({"memory": "16ki"}, "memory must be a quantity"),
        ({"memory": "512m"}, "memory must be a quantity"),
        ({"cpu": "4Gi"}, "cpu must be a quantity"),
        ({"cpu": "0.0001"}, "cpu must be a quantity"),
        ({"service_account": "Trainer"}, "service_account must be"),
        ({"node_selector": {"pool": "a b"}}, "node_selector must name labels"),
        ({"node_selector": {"Pool/": "a"}}, "node_selector must name labels"),
        ({"exchange": "file:exchange", "claim": "c", "mount": "/data"}, "mount must be where"),
        ({"exchange": "file:other", "claim": "c"}, "mount must be where the exchange lies"),
        ({"env": {"PET_NNODES": "1"}}, "torchrun's"),
        ({"env": {"A": "1"}, "secrets": {"A": "s/k"}}, "got both"),
        ({"secrets": {"A": "no-key"}}, "secrets must give secret/key"),
        ({"target": "vertex"}, "project must be set"),
        ({"target": "vertex", "project": "p"}, "gs:// URI on Vertex"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TuneJobSettings(**{"target": "kubeflow", "exchange": "s3://b/x", **given})


@pytest.mark.parametrize("memory", ["16Gi", "16777216Ki", "2.5G", "64000k", "17179869184"])
@pytest.mark.parametrize("cpu", ["4", "0.5", "1.125", "500m"])
def test_every_quantity_that_kubernetes_takes_is_taken(cpu: str, memory: str) -> None:
    assert TuneJobSettings(target="kubeflow", exchange="s3://b/x", cpu=cpu, memory=memory)


@pytest.mark.parametrize(
    ("mount", "exchange"),
    [("/data", "file:data/wherry"), ("/data/", "file:/data"), ("/", "file:x")],
)
def test_a_volume_holds_the_exchange_wherever_it_is_mounted(mount: str, exchange: str) -> None:
    assert TuneJobSettings(target="kubeflow", exchange=exchange, claim="c", mount=mount)


def test_a_job_whose_state_lies_elsewhere_has_its_exchange_beside_it() -> None:
    given = {"exchange": "file:x", "claim": "c", "env": {"WHERRY_HOME": "/scratch/.wherry"}}
    assert TuneJobSettings(**{"target": "kubeflow", "mount": "/scratch", **given})
    with pytest.raises(ValueError, match="mount must be where .* /scratch/x"):
        TuneJobSettings(**{"target": "kubeflow", **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [({"key": "gpu", "value": "yes"}, "value needs operator Equal"),
     ({"operator": "Equal", "value": "yes"}, "key must be set")],
)  # fmt: skip
def test_a_toleration_that_no_pod_may_have_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Toleration(**given)


FULL = replace(
    JOB, nodes=2, gpus=1, gpu="nvidia.com/mig-1g.10gb", cpu="4", memory="16Gi", claim="c",
    service_account="sa", node_selector={"pool": "gpu"}, secrets={"KEY": "s/k"},
)  # fmt: skip


def test_a_share_of_a_gpu_is_a_limit_and_starts_one_process() -> None:
    trainer = train_job(ERRAND, FULL, "ns")["spec"]["trainer"]
    assert trainer["resourcesPerNode"]["limits"] == {
        "memory": "16Gi", "nvidia.com/mig-1g.10gb": "1",
    }  # fmt: skip
    # Trainer counts processes by resources whose name has "gpu" in it: MIG's have not.
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 1)


def test_a_secret_is_named_and_never_told() -> None:
    env = train_job(ERRAND, FULL, "ns")["spec"]["trainer"]["env"]
    assert {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}} in env


def test_a_bare_job_patches_nothing() -> None:
    assert "runtimePatches" not in train_job(ERRAND, JOB, "ns")["spec"]


@pytest.mark.parametrize("settings", [JOB, FULL])
def test_kubeflows_own_models_keep_every_field(settings: TuneJobSettings) -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models")
    body = train_job(ERRAND, settings, "ns")
    kept = json.loads(models.TrainerV1alpha1TrainJob.from_dict(body).to_json())
    assert lost(body, kept) == ""
    body["spec"]["trainer"]["ofTomorrow"] = 1
    kept = json.loads(models.TrainerV1alpha1TrainJob.from_dict(body).to_json())
    assert lost(body, kept) == "spec.trainer.ofTomorrow"


def test_the_same_run_has_the_same_name_and_a_name_of_kubernetes() -> None:
    names = {train_job(ERRAND, s, "ns")["metadata"]["name"] for s in (JOB, FULL)}
    assert len(names) == 1
    assert len(names.pop()) <= 63


@pytest.mark.parametrize(
    ("asked", "given", "field"),
    [({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "more": 1}]}, ""),
     ({"a": {"b": 1}}, {"a": {}}, "a.b"), ({"a": [1, 2]}, {"a": [1]}, "a"),
     ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "a[0].b")],
)  # fmt: skip
def test_what_a_server_dropped_is_named(asked: Any, given: Any, field: str) -> None:
    assert lost(asked, given) == field


def test_each_of_vertex_machines_learns_its_place_from_the_cluster_spec() -> None:
    cluster = {"workerpool0": ["a:2222"], "workerpool1": ["b:2222", "c:2222"]}
    spec = json.dumps({"cluster": cluster, "task": {"type": "workerpool1", "index": 1}})
    command = launch(spec, 4, ("--x=1",))
    assert command == [
        "--nproc-per-node=4", "--nnodes=3", "--node-rank=2", "--master-addr=a",
        "--master-port=2222", "-m", "--", "wherry.tune.node", "--x=1",
    ]  # fmt: skip
    assert launch("", 1, ())[:2] == ["--nproc-per-node=1", "--standalone"]


@pytest.mark.local
def test_torchrun_hands_every_option_on_to_our_process() -> None:
    from torch.distributed.run import parse_args

    options = ("--exchange=e", "--start=s", "--teacher=t", "--results=r", "--merged=1")
    for command in (
        train_job(Errand(ERRAND.identity, options), JOB, "ns")["spec"]["trainer"]["args"],
        launch("", 2, options),
    ):
        read = parse_args(command)
        assert (read.training_script, read.module) == ("wherry.tune.node", True)
        assert read.training_script_args == list(options)


def test_one_machine_of_vertex_is_one_pool_without_an_accelerator() -> None:
    job = replace(JOB, target="vertex", project="p", exchange="gs://b/x")
    pools = custom_job(ERRAND, job)["job_spec"]["worker_pool_specs"]
    assert [pool["machine_spec"] for pool in pools] == [{"machine_type": "n1-standard-8"}]
