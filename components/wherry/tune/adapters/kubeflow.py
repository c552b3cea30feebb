"""Runs a job as a TrainJob of Kubeflow Trainer, through the Kubernetes API."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from wherry.contracts.errors import ConflictError, JobError, JobTimeoutError
from wherry.tune.adapters.pods import PodLogs
from wherry.tune.forms import FORM_NOTE, GROUP, MANAGER, PLURAL, VERSION, Errand, lost, train_job
from wherry.tune.jobs import TuneJobSettings
from wherry.tune.submit import Seen

_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_GONE_SECONDS: Final = 120.0
"""How long the pods of a deleted job may take to end."""
_PATIENCE: Final = 1.0
"""Seconds between two questions to an API server that does not answer."""
_REQUEST_SECONDS: Final = 30.0
_PASSING: Final = frozenset({0, 408, 410, 429, 500, 502, 503, 504})
"""Answers after which the same question may be asked again; 0 is a broken TLS connection."""
_NEVER: Final = frozenset({"DeadlineExceeded", "TrainingRuntimeNotSupported"})
"""Reasons for a failure that another attempt would meet again."""


class TrainJobs:
    """The TrainJob of one run; see `wherry.tune.submit.Platform`.

    Args:
        errand: what the job is to do.
        settings: what it may use.
        hear: told each line of the pods' logs.
    """

    def __init__(
        self, errand: Errand, settings: TuneJobSettings, hear: Callable[[str], None]
    ) -> None:
        context = _configured()
        self._api = client.CustomObjectsApi()
        namespace = settings.namespace or context
        self._body = train_job(errand, settings, namespace)
        self._where = {"group": GROUP, "version": VERSION, "plural": PLURAL, "namespace": namespace}
        self._name = errand.name
        self._logs = PodLogs(namespace, errand.name, settings.nodes, hear)

    def find(self) -> Seen | None:
        """Gives the TrainJob of this run as it is now, or None."""
        found = self._get()
        if found is None:
            return None
        if found["metadata"].get("deletionTimestamp"):
            return Seen("gone")
        seen = seen_in(found)
        if not seen.ended and _form(found) != _form(self._body):
            raise ConflictError(
                f"TrainJob {self._name} of this very run is there with other job settings.",
                remedy=f"Wait until it ends, or run: kubectl delete trainjob {self._name}",
            )
        return seen

    def start(self) -> None:
        """Applies the TrainJob; what the server would drop is found before anything starts."""
        planned = self._apply(dry=True)
        if field := lost(self._body, planned):
            raise JobError(
                f"The cluster's Kubeflow Trainer does not know or keep the field {field}.",
                remedy="Install Kubeflow Trainer 2.2 or newer; nothing was started.",
            )
        self._apply(dry=False)

    def states(self, seconds: float) -> Iterator[Seen]:
        """Gives the state now, then each change; streams the pods' logs meanwhile."""
        started = time.monotonic()
        try:
            self._logs.start()
            for seen in self._watched(seconds):
                if seen.ended:
                    self._logs.finish()
                yield seen
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            if isinstance(error, ApiException) and error.status not in _PASSING:
                raise _refused(error, "be watched") from error
            time.sleep(max(0.0, min(_PATIENCE, seconds - (time.monotonic() - started))))

    def remove(self) -> None:
        """Deletes the TrainJob with its pods, and waits until they are gone."""
        with _explained("be deleted"):
            try:
                self._api.delete_namespaced_custom_object(
                    **self._where,
                    name=self._name,
                    propagation_policy="Foreground",
                    _request_timeout=_REQUEST_SECONDS,
                )
            except ApiException as error:
                if error.status != 404:
                    raise
        self._logs.finish()
        self._wait_gone()

    def _watched(self, seconds: float) -> Iterator[Seen]:
        found = self._get(patient=False)
        if found is None:
            yield Seen("gone")
            return
        yield (seen := seen_in(found))
        if seen.ended:
            return
        changes = watch.Watch().stream(
            self._api.list_namespaced_custom_object,
            **self._where,
            field_selector=f"metadata.name={self._name}",
            resource_version=found["metadata"]["resourceVersion"],
            timeout_seconds=max(1, int(seconds)),
            _request_timeout=seconds + _REQUEST_SECONDS,
        )
        for change in changes:
            yield Seen("gone") if change["type"] == "DELETED" else seen_in(change["object"])

    def _get(self, *, patient: bool = True) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._api.get_namespaced_custom_object(
                **self._where, name=self._name, _request_timeout=_REQUEST_SECONDS
            )
        except ApiException as error:
            if error.status == 404:
                return None
            if not patient:
                raise
            raise _refused(error, "be read") from error
        return found

    def _apply(self, *, dry: bool) -> dict[str, Any]:
        """Applies it on the server's side, so that a repetition changes nothing.

        The typed client has no call that sends an apply patch:
        https://github.com/kubernetes-client/python/issues/1430
        """
        path = "/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}"
        query = [("fieldManager", MANAGER), *([("dryRun", "All")] if dry else [])]
        with _explained("be applied"):
            found: dict[str, Any] = self._api.api_client.call_api(
                path, "PATCH", {**self._where, "name": self._name}, query,
                {"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"},
                body=self._body, response_type="object",
                auth_settings=["BearerToken"], _return_http_data_only=True,
                _request_timeout=_REQUEST_SECONDS,
            )  # fmt: skip
        return found

    def _wait_gone(self) -> None:
        deadline = time.monotonic() + _GONE_SECONDS
        while self._get() is not None:
            if time.monotonic() > deadline:
                raise JobTimeoutError(
                    f"TrainJob {self._name} was deleted and is still there after "
                    f"{_GONE_SECONDS:g} s.",
                    remedy=f"Look for pods that do not end: kubectl describe trainjob {self._name}",
                )
            time.sleep(0.2)


def seen_in(job: dict[str, Any]) -> Seen:
    """Reads a TrainJob's conditions."""
    status = job.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions", []) if c.get("status") == "True"}
    if "Complete" in conditions:
        return Seen("succeeded")
    if failed := conditions.get("Failed"):
        return Seen("failed", _words(failed), final=failed.get("reason") in _NEVER)
    if suspended := conditions.get("Suspended"):
        return Seen("waiting", _words(suspended))
    active = any(one.get("active") or one.get("ready") for one in status.get("jobsStatus", []))
    return Seen("running" if active else "waiting")


def _words(condition: dict[str, Any]) -> str:
    return ": ".join(part for part in (condition.get("reason"), condition.get("message")) if part)


def _form(job: dict[str, Any]) -> str | None:
    found: str | None = (job["metadata"].get("annotations") or {}).get(FORM_NOTE)
    return found


def _configured() -> str:
    """Loads who we are to the cluster, and gives our namespace."""
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and _NAMESPACE.is_file():
            config.load_incluster_config()
            return _NAMESPACE.read_text().strip()
        # By hand: the library reads the variable once, when it is imported.
        place = os.environ.get("KUBECONFIG") or None
        config.load_kube_config(place)
        _, active = config.list_kube_config_contexts(place)
    except ConfigException as error:
        raise JobError(
            f"No Kubernetes cluster is known here: {error}.",
            remedy="Run inside the cluster, or set KUBECONFIG.",
        ) from error
    return str(active["context"].get("namespace") or "default")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise _refused(error, what) from error
    except urllib3.exceptions.HTTPError as error:
        raise JobError(
            f"The Kubernetes API does not answer: {type(error).__name__}.",
            remedy="Check the cluster's address in KUBECONFIG and the network, and try again.",
        ) from error


def _refused(error: ApiException, what: str) -> JobError | ConflictError:
    try:
        said = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = str(error.reason)
    if error.status == 409:
        return ConflictError(
            f"The TrainJob cannot {what}: {said}.",
            remedy="Somebody else changed it: look at its managed fields.",
        )
    return JobError(f"The TrainJob cannot {what}: {said}.", remedy=_remedy(error.status))


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "Give this task's service account the verbs get, list, watch, patch, create and "\
            "delete on trainjobs, and get and list on pods and pods/log."  # fmt: skip
    if status == 404:
        return "Install Kubeflow Trainer 2.2 or newer in the cluster."
    return "Correct the job settings."
