"""A tuning run as a Vertex CustomJob: the real client over gRPC against a local server."""

import functools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vertex.vertex_server import VertexServer, wait_for
from wherry.contracts import ModelRef, digest_bytes
from wherry.contracts.curve import LossCurve
from wherry.contracts.errors import ConflictError, JobError, JobTimeoutError, SettingsError
from wherry.tune.forms import Errand
from wherry.tune.jobs import TuneJobSettings
from wherry.tune.run import run
from wherry.tune.submit import Failure, carry_out

pytestmark = [pytest.mark.vertex, pytest.mark.local]

JOB = TuneJobSettings(
    target="vertex", exchange="gs://bucket/wherry", project="p", image="reg/train:1", nodes=3,
    gpus=2, gpu="NVIDIA_L4", machine="g2-standard-24", spot=True, service_account="t@p.iam",
    timeout=60, env={"A": "b"}, retries=1,
)  # fmt: skip
ERRAND = Errand(digest_bytes(b"run"), ("--exchange=gs://bucket/wherry", "--results=r"))


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


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexServer]:
    from wherry.tune.adapters import vertex as adapter

    monkeypatch.setattr(adapter, "_POLL_SECONDS", 0.05)
    one = VertexServer(tmp_path, runs=False)
    yield one
    one.stop()
    assert one.unknown == []


def jobs(
    vertex: VertexServer, settings: TuneJobSettings = JOB, heard: list[str] | None = None
) -> Any:
    import requests

    from wherry.tune.adapters.vertex import CloudLogs, CustomJobs

    logs = CloudLogs("p", requests.Session(), vertex.logging)
    hear = (heard if heard is not None else []).append
    return CustomJobs(ERRAND, settings, hear, client=vertex.client(), logs=logs)


def carried_out(vertex: VertexServer, **given: Any) -> list[str]:
    import time

    said: list[str] = []
    exchange = given.get("exchange", Results())
    platform = given.get("platform") or jobs(vertex, heard=said)
    carry_out(platform, exchange, given.get("settings", JOB), said.append, time.monotonic)
    return said


def later(vertex: VertexServer, *states: tuple[Any, str]) -> threading.Thread:
    """Ends each job that is created, one after another."""

    def act() -> None:
        for number, (state, error) in enumerate(states, 1):
            wait_for(lambda number=number: len(vertex.jobs) >= number)
            name = list(vertex.jobs)[number - 1]
            wait_for(lambda name=name: name in vertex.looked)
            vertex.say(name, f"tune: line of attempt {number}\n")
            vertex.end(name, state, error)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_the_custom_job_is_to_the_field_what_the_settings_say(vertex: VertexServer) -> None:
    from google.cloud import aiplatform_v1 as v1

    jobs(vertex).start()
    container = {
        "image_uri": "reg/train:1",
        "command": ["python", "-m", "wherry.tune.launch"],
        "args": ["--processes", "2", *ERRAND.arguments],
        "env": [{"name": "WHERRY_HOME", "value": "/tmp/wherry"}, {"name": "A", "value": "b"}],
    }
    machine = {
        "machine_type": "g2-standard-24",
        "accelerator_type": v1.AcceleratorType.NVIDIA_L4,
        "accelerator_count": 2,
    }
    pool = {"machine_spec": machine, "container_spec": container}
    assert vertex.created == [
        v1.CustomJob(
            display_name=ERRAND.name,
            labels={"wherry_run": ERRAND.short, "app": "wherry-tune"},
            job_spec={
                "worker_pool_specs": [{**pool, "replica_count": 1}, {**pool, "replica_count": 2}],
                "scheduling": {
                    "timeout": {"seconds": 60},
                    "strategy": v1.Scheduling.Strategy.SPOT,
                    "disable_retries": True,
                },
                "service_account": "t@p.iam",
            },
        )
    ]
    assert vertex.parents == ["projects/p/locations/us-central1"]


def test_it_is_polled_to_its_end_and_each_line_of_its_log_told_once(vertex: VertexServer) -> None:
    from google.cloud.aiplatform_v1 import JobState

    def act() -> None:
        wait_for(lambda: vertex.jobs)
        name = next(iter(vertex.jobs))
        for state in (JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_RUNNING):
            vertex.jobs[name].state = state
            for number in range(5):
                vertex.say(name, f"{state.name} {number}\n")
            threading.Event().wait(0.2)
        vertex.say(name, "last\n")
        vertex.end(name, JobState.JOB_STATE_SUCCEEDED)

    thread = threading.Thread(target=act)
    thread.start()
    said = carried_out(vertex)
    thread.join()
    wanted = [f"JOB_STATE_{s} {n}" for s in ("QUEUED", "RUNNING") for n in range(5)]
    assert said == [*wanted, "last"]


def test_a_failed_job_is_tried_again_and_then_told_in_vertex_words(vertex: VertexServer) -> None:
    from google.cloud.aiplatform_v1 import JobState

    failed = (JobState.JOB_STATE_FAILED, "The replica workerpool0-0 ran out of memory.")
    thread = later(vertex, failed, failed)
    with pytest.raises(JobError, match="workerpool0-0 ran out of memory"):
        carried_out(vertex)
    thread.join()
    assert len(vertex.created) == 2


def test_a_cause_that_the_job_left_is_raised_as_itself_and_not_tried_again(
    vertex: VertexServer,
) -> None:
    from google.cloud.aiplatform_v1 import JobState

    cause = Failure("E_SETTINGS", "rank must be at least 1, got 0.", "Correct rank.")
    thread = later(vertex, (JobState.JOB_STATE_FAILED, "exit 2"))
    with pytest.raises(SettingsError, match="rank must be at least 1"):
        carried_out(vertex, exchange=Results(failure=cause))
    thread.join()
    assert len(vertex.created) == 1


def test_a_running_job_of_the_same_run_is_followed(vertex: VertexServer) -> None:
    from google.cloud.aiplatform_v1 import JobState

    jobs(vertex).start()
    thread = later(vertex, (JobState.JOB_STATE_SUCCEEDED, ""))
    said = carried_out(vertex)
    thread.join()
    assert len(vertex.created) == 1
    assert "following it" in said[0]


def test_a_running_job_with_other_machines_is_a_conflict(vertex: VertexServer) -> None:
    import dataclasses

    jobs(vertex).start()
    other = dataclasses.replace(JOB, machine="g2-standard-48")
    with pytest.raises(ConflictError, match="other job settings"):
        carried_out(vertex, platform=jobs(vertex, other))


def test_one_that_takes_too_long_is_cancelled(vertex: VertexServer) -> None:
    import dataclasses

    from google.cloud.aiplatform_v1 import JobState

    with pytest.raises(JobTimeoutError, match="still waiting after 1 s"):
        carried_out(vertex, settings=dataclasses.replace(JOB, timeout=1))
    assert [job.state for job in vertex.jobs.values()] == [JobState.JOB_STATE_CANCELLED]


def test_an_interrupted_task_cancels_its_job(vertex: VertexServer) -> None:
    from google.cloud.aiplatform_v1 import JobState

    platform = jobs(vertex)
    looks = 0

    def pause(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise KeyboardInterrupt

    platform._pause = pause
    with pytest.raises(KeyboardInterrupt):
        carried_out(vertex, platform=platform)
    assert [job.state for job in vertex.jobs.values()] == [JobState.JOB_STATE_CANCELLED]


def test_one_that_somebody_else_cancelled_is_not_started_again(vertex: VertexServer) -> None:
    from google.cloud.aiplatform_v1 import JobState

    thread = later(vertex, (JobState.JOB_STATE_CANCELLED, ""))
    with pytest.raises(JobError, match="deleted or cancelled"):
        carried_out(vertex)
    thread.join()
    assert len(vertex.created) == 1


def test_a_vertex_that_is_away_for_a_while_is_waited_for(vertex: VertexServer) -> None:
    from google.cloud.aiplatform_v1 import JobState

    heard: list[str] = []
    platform = jobs(vertex, heard=heard)
    platform.start()
    vertex.unavailable = 3
    thread = later(vertex, (JobState.JOB_STATE_SUCCEEDED, ""))
    carried_out(vertex, platform=platform)
    thread.join()
    assert vertex.unavailable == 0  # it was away, as often as it was to be
    assert len(vertex.created) == 1
    assert heard == ["tune: line of attempt 1"]


def test_a_refusal_has_vertex_words(vertex: VertexServer) -> None:
    platform = jobs(vertex)
    platform._body["job_spec"]["worker_pool_specs"].reverse()
    with pytest.raises(JobError, match="cannot be created: .*first pool has one replica"):
        platform.start()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of the storage emulator, through the real gcsfs."""
    import gcsfs
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    port = server._api._httpd.server_address[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    gcsfs.GCSFileSystem.clear_instance_cache()
    gcsfs.GCSFileSystem().mkdir("wherry-test")
    yield "gs://wherry-test/exchange"
    server.stop()


@pytest.mark.nightly
def test_a_run_goes_there_and_comes_back(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two machines of one process, really run by torchrun, through the bucket and back."""
    import requests

    from tests.fakes.tiny_model import make_base, make_dataset
    from wherry.tune.adapters import vertex as adapter

    base = make_base(tmp_path / "base")
    make_dataset(tmp_path / "data", rows=12)
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    server = VertexServer(tmp_path, runs=True)
    monkeypatch.setattr(adapter, "_POLL_SECONDS", 0.2)
    monkeypatch.setattr(adapter, "_client", lambda settings: server.client())
    logs = functools.partial(adapter.CloudLogs, session=requests.Session(), endpoint=server.logging)
    monkeypatch.setattr(adapter, "CloudLogs", logs)
    job = {"target": "vertex", "exchange": bucket, "project": "p", "nodes": 2, "timeout": 200}
    recipe = {"threads": 1, "rank": 4, "batch_size": 4, "precision": "float32"}
    try:
        run(tmp_path / "data", tmp_path / "base", tmp_path / "adapter", tmp_path / "curve.json",
            json.dumps(recipe), merged=tmp_path / "merged", job=json.dumps(job))  # fmt: skip
    finally:
        server.stop()
    assert ModelRef.verified(tmp_path / "adapter").base_digest == base.digest
    assert ModelRef.verified(tmp_path / "merged").format == "transformers"
    assert LossCurve.read(tmp_path / "curve.json").rows == 12
    assert len(server.created[0].job_spec.worker_pool_specs) == 2
    assert "tune: done in" in capfd.readouterr().err
    assert os.environ["STORAGE_EMULATOR_HOST"]
