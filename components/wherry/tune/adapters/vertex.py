"""Runs a job as a CustomJob of Vertex AI."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import google.auth
from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from google.cloud.aiplatform_v1 import CustomJob, JobServiceClient, JobState
from requests.exceptions import RequestException

from wherry.contracts.errors import ConflictError, JobError, JobTimeoutError
from wherry.tune.forms import RUN_LABEL, Errand, custom_job
from wherry.tune.jobs import TuneJobSettings
from wherry.tune.submit import Seen

_LOGGING: Final = "https://logging.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_POLL_SECONDS: Final = 10.0
_CALL_SECONDS: Final = 60.0
_AGAIN: Final = Retry(timeout=_CALL_SECONDS)
"""For questions that change nothing twice; to create a job is none of them."""
_LATE: Final = timedelta(seconds=30)
"""How much later than its time a line may arrive."""
_REMEMBERED: Final = 10_000
_CANCEL_SECONDS: Final = 300.0
"""How long a cancelled job may take to end."""
_PHASES: Final = {
    JobState.JOB_STATE_RUNNING: "running",
    JobState.JOB_STATE_UPDATING: "running",
    JobState.JOB_STATE_SUCCEEDED: "succeeded",
    JobState.JOB_STATE_FAILED: "failed",
    JobState.JOB_STATE_PARTIALLY_SUCCEEDED: "failed",
    JobState.JOB_STATE_EXPIRED: "failed",
    JobState.JOB_STATE_CANCELLED: "gone",
}
"""All others are waiting."""


class CustomJobs:
    """The CustomJob of one run; see `wherry.tune.submit.Platform`.

    Args:
        errand: what the job is to do.
        settings: what it may use.
        hear: told each line of its log.
        client: talks to Vertex; by default the location's, as whoever this task acts as.
        logs: talks to Cloud Logging.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        errand: Errand,
        settings: TuneJobSettings,
        hear: Callable[[str], None],
        *,
        client: JobServiceClient | None = None,
        logs: "CloudLogs | None" = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client or _client(settings)
        self._body = custom_job(errand, settings)
        self._parent = f"projects/{settings.project}/locations/{settings.location}"
        self._filter = f'labels.{RUN_LABEL}="{errand.short}"'
        self._logs = logs or CloudLogs(settings.project)
        self._hear = hear
        self._pause = pause
        self._name = ""

    def find(self) -> Seen | None:
        """Gives the last CustomJob of this run as it is now, or None."""
        with _explained("be looked for"):
            jobs = list(
                self._client.list_custom_jobs(
                    request={"parent": self._parent, "filter": self._filter},
                    retry=_AGAIN,
                    timeout=_CALL_SECONDS,
                )
            )
        if not jobs:
            return None
        last = max(jobs, key=lambda job: (not seen_in(job).ended, job.create_time))
        seen = seen_in(last)
        if not seen.ended and not _same(last, self._body):
            raise ConflictError(
                f"{last.name} of this very run is there with other job settings.",
                remedy="Wait until it ends, or cancel it.",
            )
        self._name = last.name
        return seen

    def start(self) -> None:
        """Creates the CustomJob."""
        with _explained("be created"):
            made = self._client.create_custom_job(
                parent=self._parent, custom_job=CustomJob(self._body), timeout=_CALL_SECONDS
            )
        self._name = made.name

    def states(self, seconds: float) -> Iterator[Seen]:
        """Gives the state at each look; streams the log meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self._look()
            self._tell()
            if seen and seen.ended:
                self._pause(_POLL_SECONDS)  # the last lines come a little later
                self._tell()
            if seen:
                yield seen
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._pause(min(_POLL_SECONDS, left))

    def remove(self) -> None:
        """Cancels the CustomJob, if it has not ended; the record of it stays."""
        if not self._name:
            return
        with _explained("be cancelled"):
            try:
                if self._get().ended:
                    return
                self._client.cancel_custom_job(name=self._name, retry=_AGAIN, timeout=_CALL_SECONDS)
            except NotFound:
                return
            self._wait_ended()

    def _wait_ended(self) -> None:
        deadline = time.monotonic() + _CANCEL_SECONDS
        while not self._get().ended:
            if time.monotonic() > deadline:
                raise JobTimeoutError(
                    f"{self._name} was cancelled and still runs after {_CANCEL_SECONDS:g} s.",
                    remedy="Look at it in the console.",
                )
            self._pause(1.0)

    def _get(self) -> Seen:
        return seen_in(
            self._client.get_custom_job(name=self._name, retry=_AGAIN, timeout=_CALL_SECONDS)
        )

    def _look(self) -> Seen | None:
        """Gives the state, or None where Vertex does not answer for a while."""
        try:
            return self._get()
        except NotFound:
            return Seen("gone")
        except (GoogleAPICallError, RetryError, TransportError, RequestException) as error:
            if isinstance(error, GoogleAPICallError) and _is_final(error):
                raise _refused(error, "be watched") from error
            return None

    def _tell(self) -> None:
        for line in self._logs.lines(self._name.rpartition("/")[2]):
            self._hear(line)


class CloudLogs:
    """The lines of a job's log in Cloud Logging.

    Source: https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list

    Args:
        project: whose logs.
        session: sends requests; by default as whoever this task acts as.
        endpoint: of Cloud Logging.
    """

    def __init__(self, project: str, session: Any = None, endpoint: str = _LOGGING) -> None:
        self._project = project
        self._session = session
        self._endpoint = endpoint
        self._newest: datetime | None = None
        self._told: dict[str, datetime] = {}
        """Entries that may come again: a line can arrive after one that is younger."""

    def lines(self, job: str) -> Iterator[str]:
        """Gives the lines that came since the last call."""
        try:
            yield from self._new(job)
        except (RequestException, GoogleAuthError, ValueError):
            return  # logs are for people: a job is not given up for want of them

    def _new(self, job: str) -> Iterator[str]:
        since = self._newest - _LATE if self._newest else None
        wanted = f'resource.type="ml_job" AND resource.labels.job_id="{job}"'
        wanted += f' AND timestamp>="{since.isoformat()}"' if since else ""
        page = ""
        while True:
            found = self._page(wanted, page)
            for entry in found.get("entries", []):
                if entry["insertId"] not in self._told:
                    self._remember(entry)
                    yield _text(entry)
            if not (page := found.get("nextPageToken", "")):
                return

    def _page(self, wanted: str, page: str) -> dict[str, Any]:
        answer = self._connected().post(
            f"{self._endpoint}/v2/entries:list",
            json={
                "resourceNames": [f"projects/{self._project}"],
                "filter": wanted,
                "orderBy": "timestamp asc",
                "pageSize": 1000,
                **({"pageToken": page} if page else {}),
            },
            timeout=_CALL_SECONDS,
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _remember(self, entry: dict[str, Any]) -> None:
        stamp = datetime.fromisoformat(entry["timestamp"])
        self._newest = max(stamp, self._newest or stamp)
        self._told[entry["insertId"]] = stamp
        if len(self._told) > _REMEMBERED:
            oldest = self._newest - _LATE
            self._told = {name: at for name, at in self._told.items() if at >= oldest}

    def _connected(self) -> Any:
        if self._session is None:
            self._session = AuthorizedSession(google.auth.default(scopes=[_SCOPE])[0])
        return self._session


def seen_in(job: CustomJob) -> Seen:
    """Reads a CustomJob's state."""
    phase: Any = _PHASES.get(job.state, "waiting")
    return Seen(phase, job.error.message if job.error else "")


def _client(settings: TuneJobSettings) -> JobServiceClient:
    try:
        return JobServiceClient(
            client_options={"api_endpoint": f"{settings.location}-aiplatform.googleapis.com"}
        )
    except GoogleAuthError as error:
        raise JobError(
            f"This task acts as nobody on Google Cloud: {error}.",
            remedy="Run: gcloud auth application-default login, or give it a service account.",
        ) from error


def _same(job: CustomJob, body: dict[str, Any]) -> bool:
    """Whether a job asks for what we would ask for; Vertex fills in what was left open."""
    wanted = CustomJob(body).job_spec
    pools = zip(job.job_spec.worker_pool_specs, wanted.worker_pool_specs, strict=False)
    same = len(job.job_spec.worker_pool_specs) == len(wanted.worker_pool_specs)
    return same and all(
        a.machine_spec.machine_type == b.machine_spec.machine_type
        and a.machine_spec.accelerator_count == b.machine_spec.accelerator_count
        and a.replica_count == b.replica_count
        and a.container_spec == b.container_spec
        for a, b in pools
    )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except GoogleAPICallError as error:
        raise _refused(error, what) from error


def _is_final(error: GoogleAPICallError) -> bool:
    return error.code is not None and 400 <= int(error.code) < 500 and int(error.code) != 429


def _refused(error: GoogleAPICallError, what: str) -> JobError:
    return JobError(
        f"The CustomJob cannot {what}: {error.message}.",
        remedy="Give this task's account the role Vertex AI User, or correct the job settings.",
    )


def _text(entry: dict[str, Any]) -> str:
    payload = entry.get("jsonPayload") or {}
    return str(entry.get("textPayload") or payload.get("message") or "").rstrip("\n")
