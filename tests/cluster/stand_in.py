"""Stands in for Kubeflow Trainer, JobSet, the garbage collector and a kubelet.

It runs what a TrainJob asks for as real processes of this machine: torchrun on every "node",
with the PET_ variables that Trainer's torch plugin sets. Pods are real objects of the API server,
and their logs come through it: it asks the node, and the node is the small HTTPS server below.
"""

import base64
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

GROUP = {"group": "trainer.kubeflow.org", "version": "v1alpha1", "plural": "trainjobs",
         "namespace": "default"}  # fmt: skip
NODE = "stand-in"
_GRACE = 40
"""Seconds before what was asked to end is killed."""


@dataclass
class Log:
    """Lines with their times, and whether more can come."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    over: bool = False

    def read(self, stream: Any) -> None:
        for line in stream:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
            self.lines.append((stamp, line.decode(errors="replace").rstrip("\n")))
        self.over = True


@dataclass
class Pod:
    name: str
    process: subprocess.Popen[bytes]
    log: Log


class StandIn:
    """Watches TrainJobs of one namespace and runs them."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path]) -> None:
        self.folder = folder
        self.started: list[dict[str, Any]] = []
        """Each TrainJob that was run, as it was applied; one entry an attempt."""
        self.ended: list[list[int]] = []
        """Exit codes of each attempt's nodes."""
        self.environment: dict[str, str] = {}
        """Variables that a test adds to every process."""
        self._jobs = client.CustomObjectsApi()
        self._core = client.CoreV1Api()
        self._pods: dict[str, list[Pod]] = {}
        self._logs: dict[str, Log] = {}
        self._stopped = threading.Event()
        self._kubelet = _kubelet(self._logs, certificate)
        self._register(self._kubelet.server_address[1])
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        self._stopped.set()
        for pods in list(self._pods.values()):
            _end(pods)
        self._kubelet.shutdown()
        self._watcher.join(10)

    def preempt(self) -> None:
        """Asks the first node of the running job to end, as a drained node does."""
        pods = next(iter(self._pods.values()))
        pods[0].process.send_signal(signal.SIGTERM)

    def wait_line(self, text: str, seconds: float = 60) -> None:
        """Waits until a pod has said something."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if any(text in line for log in list(self._logs.values()) for _, line in log.lines):
                return
            time.sleep(0.02)
        raise AssertionError(f"nobody said {text!r}: {self.said()}")

    def said(self) -> list[str]:
        return [line for log in list(self._logs.values()) for _, line in log.lines]

    def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                for change in watch.Watch().stream(
                    self._jobs.list_namespaced_custom_object, **GROUP, timeout_seconds=5
                ):
                    self._see(change["object"])
                    if self._stopped.is_set():
                        return
            except (ApiException, OSError):
                time.sleep(0.2)
            except Exception:
                if not self._stopped.is_set():
                    raise

    def _see(self, job: dict[str, Any]) -> None:
        uid = job["metadata"]["uid"]
        if job["metadata"].get("deletionTimestamp"):
            self._collect(job)
        elif uid not in self._pods and not job.get("status", {}).get("conditions"):
            self.started.append(job)
            attempt = len(self.started)
            count = job["spec"]["trainer"]["numNodes"]
            port = _free_port()
            self._pods[uid] = [self._run(job, i, attempt, port) for i in range(count)]
            self._status(job, active=1)
            threading.Thread(target=self._follow, args=(job,), daemon=True).start()

    def _run(self, job: dict[str, Any], index: int, attempt: int, port: int) -> Pod:
        trainer, name = job["spec"]["trainer"], job["metadata"]["name"]
        home = self.folder / f".wherry-{attempt}-{index}"
        variables = {
            # A pod knows nothing of the task's keys.
            **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            **self._variables(trainer),
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_NODE_RANK": str(index),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            # Each pod has a disk of its own: nothing but the exchange is common to them.
            "WHERRY_HOME": str(home),
            **self.environment,
        }
        assert trainer["command"][0] == "python"
        process = subprocess.Popen(
            [sys.executable, *trainer["command"][1:], *trainer["args"]],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables,
        )  # fmt: skip
        log = Log()
        threading.Thread(target=log.read, args=(process.stdout,), daemon=True).start()
        pod = Pod(f"{name}-node-0-{index}-{attempt}", process, log)
        self._logs[pod.name] = log
        self._make(pod, job, index)
        return pod

    def _variables(self, trainer: dict[str, Any]) -> dict[str, str]:
        found = {}
        for one in trainer.get("env", []):
            if (place := one.get("valueFrom", {}).get("secretKeyRef")) is None:
                found[one["name"]] = one["value"]
            else:
                secret = self._core.read_namespaced_secret(place["name"], "default")
                found[one["name"]] = base64.b64decode(secret.data[place["key"]]).decode()
        return found

    def _make(self, pod: Pod, job: dict[str, Any], index: int) -> None:
        labels = {
            "jobset.sigs.k8s.io/jobset-name": job["metadata"]["name"],
            "batch.kubernetes.io/job-completion-index": str(index),
        }
        image = job["spec"]["trainer"]["image"]
        body = {
            "metadata": {"name": pod.name, "labels": labels},
            "spec": {"nodeName": NODE, "containers": [{"name": "node", "image": image}]},
        }
        self._core.create_namespaced_pod("default", body)
        self._phase(pod, "Running")

    def _phase(self, pod: Pod, phase: str) -> None:
        try:
            self._core.patch_namespaced_pod_status(
                pod.name, "default", {"status": {"phase": phase}}
            )
        except ApiException as error:
            assert error.status == 404

    def _follow(self, job: dict[str, Any]) -> None:
        pods = self._pods[job["metadata"]["uid"]]
        while all(pod.process.poll() is None for pod in pods):
            time.sleep(0.05)
        if any(pod.process.poll() for pod in pods):
            _end(pods)  # a Job of which one pod failed ends the others
        codes = [pod.process.wait() for pod in pods]
        self.ended.append(codes)
        for pod, code in zip(pods, codes, strict=True):
            self._phase(pod, "Failed" if code else "Succeeded")
        kind = ("Failed", "FailedJobs", "a job failed") if any(codes) else (
            "Complete", "JobsCompleted", "all jobs completed")  # fmt: skip
        self._status(job, condition=kind)

    def _status(
        self, job: dict[str, Any], active: int = 0, condition: tuple[str, str, str] | None = None
    ) -> None:
        counts = {"ready": 0, "succeeded": 0, "failed": 0, "active": active, "suspended": 0}
        status: dict[str, Any] = {"jobsStatus": [{"name": "node", **counts}]}
        if condition:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            status["conditions"] = [
                {"type": condition[0], "status": "True", "reason": condition[1],
                 "message": condition[2], "lastTransitionTime": now}
            ]  # fmt: skip
        try:
            self._jobs.patch_namespaced_custom_object_status(
                **GROUP, name=job["metadata"]["name"], body={"status": status}
            )
        except ApiException as error:
            assert error.status == 404

    def _collect(self, job: dict[str, Any]) -> None:
        """Ends the pods, and lets the job go, as the garbage collector does."""
        uid, name = job["metadata"]["uid"], job["metadata"]["name"]
        pods = self._pods.get(uid, [])
        _end(pods)
        for pod in pods:
            try:
                self._core.delete_namespaced_pod(pod.name, "default", grace_period_seconds=0)
            except ApiException as error:
                assert error.status == 404
        try:
            self._jobs.patch_namespaced_custom_object(
                **GROUP, name=name, body={"metadata": {"finalizers": []}}
            )
        except ApiException as error:
            assert error.status in (404, 409)

    def _register(self, port: int) -> None:
        self._core.create_node({"metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        self._core.patch_node_status(NODE, {"status": status})


def _end(pods: list[Pod]) -> None:
    for pod in pods:
        if pod.process.poll() is None:
            pod.process.terminate()
    for pod in pods:
        try:
            pod.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pod.process.kill()
            pod.process.wait()


def _kubelet(logs: dict[str, Log], certificate: tuple[Path, Path]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            place, asked = urlparse(self.path), parse_qs(urlparse(self.path).query)
            _, kind, _, pod, _ = place.path.split("/")
            assert kind == "containerLogs"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            log, at = logs[pod], 0
            since = float(asked["sinceSeconds"][0]) if "sinceSeconds" in asked else 1e9
            first = datetime.now(UTC).timestamp() - since
            while True:
                over = log.over
                for stamp, text in log.lines[at:]:
                    at += 1
                    if datetime.fromisoformat(stamp[:26] + "+00:00").timestamp() >= first:
                        mark = f"{stamp} " if asked.get("timestamps") == ["true"] else ""
                        self._chunk(f"{mark}{text}\n".encode())
                if over or asked.get("follow") != ["true"]:
                    break
                time.sleep(0.05)
            self._chunk(b"")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
