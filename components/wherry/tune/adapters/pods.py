"""Streams the logs of a job's pods, line by line."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

_JOBSET: Final = "jobset.sigs.k8s.io/jobset-name"
"""The label of the pods of a TrainJob: the JobSet that Trainer makes has its name."""
_INDEX: Final = "batch.kubernetes.io/job-completion-index"
_CONTAINER: Final = "node"
_LOOK_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 5.0
"""How long the last lines may take to come after the job has ended."""
_READ_SECONDS: Final = 60.0
"""A stream that is silent for longer is opened anew."""
_PASSING: Final = (ApiException, urllib3.exceptions.HTTPError, OSError)


class PodLogs:
    """The logs of all pods of a job, whenever they come.

    Args:
        namespace: of the pods.
        job: the TrainJob's name.
        nodes: how many pods learn together; lines are marked where there are several.
        hear: told each line, from threads of our own.
    """

    def __init__(self, namespace: str, job: str, nodes: int, hear: Callable[[str], None]) -> None:
        self._api = client.CoreV1Api()
        self._namespace = namespace
        self._job = job
        self._several = nodes > 1
        self._hear = hear
        self._known: dict[str, _Follower] = {}
        self._excused = False
        self._looker: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Follows every pod from now on, if it is not done already."""
        if self._looker is None:
            self._ended = threading.Event()
            self._looker = threading.Thread(target=self._look, args=(self._ended,), daemon=True)
            self._looker.start()

    def finish(self) -> None:
        """Stops, after the pods' last words."""
        if self._looker is not None:
            self._ended.set()
            self._looker.join(2 * _LAST_WORDS_SECONDS)
            self._looker = None

    def _look(self, ended: threading.Event) -> None:
        while True:
            last = ended.is_set()
            try:
                for pod in self._pods():
                    self._follow(pod)
            except _PASSING as error:
                self._excuse(error)
            if last:
                break
            ended.wait(_LOOK_SECONDS)
        for follower in list(self._known.values()):
            follower.finish()

    def _excuse(self, error: Exception) -> None:
        """Says once that there will be no logs; a job is not given up for want of them."""
        if isinstance(error, ApiException) and error.status in (401, 403) and not self._excused:
            self._excused = True
            self._hear(f"the pods' logs may not be read here: {error.reason}")

    def _pods(self) -> list[Any]:
        selector = f"{_JOBSET}={self._job}"
        found = self._api.list_namespaced_pod(
            self._namespace, label_selector=selector, _request_timeout=_LAST_WORDS_SECONDS
        )
        return list(found.items)

    def _follow(self, pod: Any) -> None:
        if pod.status.phase not in ("Running", "Succeeded", "Failed"):
            return
        follower = self._known.get(pod.metadata.uid)
        if follower is None:
            labels = pod.metadata.labels
            mark = f"[node {labels.get(_INDEX, '?')}] " if self._several else ""
            follower = _Follower(self._api, pod.metadata, mark, self._hear)
            self._known[pod.metadata.uid] = follower
        follower.go_on(over=pod.status.phase != "Running")


class _Follower:
    """One pod's log: opened again where it broke off, no line told twice."""

    def __init__(
        self, api: client.CoreV1Api, pod: Any, mark: str, hear: Callable[[str], None]
    ) -> None:
        self._api = api
        self._pod = pod
        self._mark = mark
        self._hear = hear
        self._last = ""
        """The time of the last line that was told."""
        self._told = ""
        """What it was when the stream was opened: lines up to then come twice."""
        self._thread: threading.Thread | None = None
        self._done = False

    def go_on(self, *, over: bool) -> None:
        """Sees to it that the log is read, to its end once the pod is over."""
        if self._done or (self._thread and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._read, args=(over,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Waits for the last lines."""
        if self._thread:
            self._thread.join(_LAST_WORDS_SECONDS)

    def _read(self, over: bool) -> None:
        self._told = self._last
        try:
            response = self._api.read_namespaced_pod_log(
                self._pod.name,
                self._pod.namespace,
                container=_CONTAINER,
                follow=True,
                timestamps=True,
                _preload_content=False,
                _request_timeout=(_LAST_WORDS_SECONDS, _READ_SECONDS),
                **self._since(),
            )
            for line in _lines(response):
                self._tell(line)
            self._done = over
        except _PASSING:
            self._done = False  # opened again at the next look

    def _since(self) -> dict[str, int]:
        if not self._last:
            return {}
        then = datetime.fromisoformat(self._last[:19]).replace(tzinfo=UTC)
        return {"since_seconds": max(1, int((datetime.now(UTC) - then).total_seconds()) + 2)}

    def _tell(self, line: str) -> None:
        stamp, _, text = line.partition(" ")
        if stamp > self._told:  # RFC 3339 with nanoseconds of one length sorts as text
            self._last = stamp
            self._hear(f"{self._mark}{text}")


def _lines(response: Any) -> Iterator[str]:
    """Cuts a stream into lines; the last may have no end."""
    rest = b""
    for piece in response.stream(1024):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
