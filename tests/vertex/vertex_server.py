"""Stands in for Vertex AI's custom jobs and for Cloud Logging, on this machine.

The gRPC methods and their types are the installed client's own. It keeps to what Google
documents; permissions, quota, capacity and start-up times are not in it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from google.cloud import aiplatform_v1 as v1
from google.cloud.aiplatform_v1.services.job_service.transports import JobServiceGrpcTransport
from google.protobuf.empty_pb2 import Empty
from google.rpc import code_pb2

SERVICE = "google.cloud.aiplatform.v1.JobService"
RUNNING = v1.JobState.JOB_STATE_RUNNING
ENDED = (v1.JobState.JOB_STATE_SUCCEEDED, v1.JobState.JOB_STATE_FAILED,
         v1.JobState.JOB_STATE_CANCELLED)  # fmt: skip


class VertexServer:
    """Custom jobs that wait, run as real processes, and end.

    Args:
        folder: where the jobs' machines have their disks.
        runs: whether jobs are really run; without, a test says when they end.
    """

    def __init__(self, folder: Path, *, runs: bool) -> None:
        self.folder = folder
        self.runs = runs
        self.created: list[v1.CustomJob] = []
        self.parents: list[str] = []
        self.jobs: dict[str, v1.CustomJob] = {}
        self.entries: list[dict[str, Any]] = []
        self.looked: list[str] = []
        """Jobs that were asked for."""
        self.unavailable = 0
        """How many of the next questions are not answered."""
        self.unknown: list[str] = []
        """Calls that are none of ours."""
        self._processes: dict[str, list[subprocess.Popen[str]]] = {}
        self._grpc = grpc.server(ThreadPoolExecutor(4))
        self._grpc.add_generic_rpc_handlers((self._handlers(),))
        self._port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self._logging = _logging_server(self)

    def client(self) -> v1.JobServiceClient:
        channel = grpc.insecure_channel(f"127.0.0.1:{self._port}")
        return v1.JobServiceClient(transport=JobServiceGrpcTransport(channel=channel))

    @property
    def logging(self) -> str:
        return f"http://127.0.0.1:{self._logging.server_address[1]}"

    def say(self, job: str, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        entry = {"insertId": str(len(self.entries)), "timestamp": stamp, "textPayload": text}
        self.entries.append({**entry, "job": job.rpartition("/")[2]})

    def end(self, job: str, state: v1.JobState, error: str = "") -> None:
        one = self.jobs[job]
        if one.state not in ENDED:
            one.state = state
            if error:
                one.error = {"code": code_pb2.INTERNAL, "message": error}  # type: ignore[assignment] # proto-plus takes a mapping

    def stop(self) -> None:
        for processes in self._processes.values():
            for process in processes:
                process.kill()
                process.wait()
        self._grpc.stop(None)
        self._logging.shutdown()

    def _handlers(self) -> grpc.GenericRpcHandler:
        def method(
            call: Callable[[Any, Any], Any], request: Any, answer: Any
        ) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(
                self._answering(call), request.deserialize, answer
            )

        job = v1.CustomJob.serialize
        return grpc.method_handlers_generic_handler(SERVICE, {
            "CreateCustomJob": method(self._create, v1.CreateCustomJobRequest, job),
            "GetCustomJob": method(self._get, v1.GetCustomJobRequest, job),
            "ListCustomJobs": method(self._list, v1.ListCustomJobsRequest,
                                     v1.ListCustomJobsResponse.serialize),
            "CancelCustomJob": method(self._cancel, v1.CancelCustomJobRequest,
                                      Empty.SerializeToString),
        })  # fmt: skip

    def _answering(self, call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            if self.unavailable:
                self.unavailable -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "for a while")
            return call(request, context)

        return answer

    def _create(self, request: Any, context: grpc.ServicerContext) -> v1.CustomJob:
        job = v1.CustomJob(request.custom_job)
        if job.job_spec.worker_pool_specs[0].replica_count != 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first pool has one replica")
        self.created.append(v1.CustomJob(request.custom_job))
        self.parents.append(request.parent)
        job.name = f"{request.parent}/customJobs/{1000 + len(self.created)}"
        job.create_time = datetime.now(UTC)
        job.state = v1.JobState.JOB_STATE_PENDING
        self.jobs[job.name] = job
        if self.runs:
            threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def _get(self, request: Any, context: grpc.ServicerContext) -> v1.CustomJob:
        if request.name not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} is not there")
        self.looked.append(request.name)
        return self.jobs[request.name]

    def _list(self, request: Any, context: grpc.ServicerContext) -> v1.ListCustomJobsResponse:
        field, _, value = request.filter.partition("=")
        label = field.removeprefix("labels.")
        found = [job for job in self.jobs.values() if f'"{job.labels.get(label)}"' == value]
        return v1.ListCustomJobsResponse(custom_jobs=found)

    def _cancel(self, request: Any, context: grpc.ServicerContext) -> Empty:
        for process in self._processes.get(request.name, []):
            process.terminate()
        self.end(request.name, v1.JobState.JOB_STATE_CANCELLED, "CANCELED")
        return Empty()

    def _run(self, job: v1.CustomJob) -> None:
        hosts = [f"127.0.0.1:{_free_port()}"]
        pools = job.job_spec.worker_pool_specs
        cluster = {
            f"workerpool{i}": [hosts[0] if i == 0 else "127.0.0.1:1"] * pool.replica_count
            for i, pool in enumerate(pools)
        }
        processes = [
            self._machine(job, pool, i, j, cluster)
            for i, pool in enumerate(pools)
            for j in range(pool.replica_count)
        ]
        self._processes[job.name] = processes
        job.state = RUNNING
        if any(process.wait() for process in processes):
            self.end(job.name, v1.JobState.JOB_STATE_FAILED,
                     "The replica workerpool0-0 exited with a non-zero status of 1.")  # fmt: skip
        self.end(job.name, v1.JobState.JOB_STATE_SUCCEEDED)

    def _machine(
        self, job: v1.CustomJob, pool: Any, i: int, j: int, cluster: dict[str, list[str]]
    ) -> subprocess.Popen[str]:
        container = pool.container_spec
        task = {"type": f"workerpool{i}", "index": j}
        variables = {one.name: one.value for one in container.env}
        home = str(self.folder / f"machine-{job.name.rpartition('/')[2]}-{i}-{j}")
        process = subprocess.Popen(
            [sys.executable, *container.command[1:], *container.args],
            env={**os.environ, **variables, "WHERRY_HOME": home, "OMP_NUM_THREADS": "1",
                 "CLUSTER_SPEC": json.dumps({"cluster": cluster, "task": task})},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

        def read() -> None:
            for line in process.stdout or ():
                self.say(job.name, line)

        threading.Thread(target=read, daemon=True).start()
        return process


def _logging_server(vertex: VertexServer) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v2/entries:list":
                vertex.unknown.append(self.path)
            parts = dict(
                part.split("=", 1) for part in asked["filter"].replace(">", "").split(" AND ")
            )
            job = parts["resource.labels.job_id"].strip('"')
            since = parts.get("timestamp", '"2000-01-01T00:00:00Z"').strip('"')
            start = int(asked.get("pageToken") or 0)
            found = [
                e for e in vertex.entries if e["job"] == job and _at(e["timestamp"]) >= _at(since)
            ]
            page = found[start : start + 3]  # so small that pages are turned
            answer: dict[str, Any] = {"entries": page} if page else {}
            if start + 3 < len(found):
                answer["nextPageToken"] = str(start + 3)
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def _at(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(what: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
