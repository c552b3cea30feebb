"""Follows a run that a platform carries out: finds or starts its job, waits, tries again.

The platform itself stands behind `Platform`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from wherry.contracts.errors import (
    DataError,
    DigestError,
    DivergedError,
    ExtraMissingError,
    JobError,
    JobTimeoutError,
    ManifestError,
    MemoryShortError,
    MissingError,
    ParityError,
    SettingsError,
    TemplateError,
    UriError,
    WherryError,
)
from wherry.contracts.record import Record
from wherry.progress import Report
from wherry.tune.jobs import TuneJobSettings

RESYNC: Final = 30.0
"""Seconds after which the platform is asked anew, whatever the watch has said."""
_HOPELESS: Final = (
    DataError, DigestError, DivergedError, ExtraMissingError, ManifestError, MemoryShortError,
    MissingError, ParityError, SettingsError, TemplateError, UriError,
)  # fmt: skip
"""Errors that a second attempt would meet again."""
_PROGRESS: Final = re.compile(r"tune: +(?P<percent>\d+)%(?: (?P<note>.*))?")


@dataclass(frozen=True)
class Seen:
    """A job as it was seen last."""

    phase: Literal["waiting", "running", "succeeded", "failed", "gone"]
    message: str = ""
    """The platform's own words."""
    final: bool = False
    """Whether another attempt cannot help."""

    @property
    def ended(self) -> bool:
        """Whether it will never change again."""
        return self.phase in ("succeeded", "failed", "gone")


@dataclass(frozen=True)
class Failure(Record):
    """Why a run failed, as the job itself tells: lies where its results would."""

    code: str
    message: str
    remedy: str
    schema: Literal["wherry.failure/1"] = "wherry.failure/1"

    @classmethod
    def of(cls, error: WherryError) -> "Failure":
        """Puts an error in the form that is stored."""
        return cls(error.code, error.message, error.remedy)

    @property
    def error(self) -> WherryError:
        """The error itself, of its own class where this version knows it."""
        kind = _kinds(WherryError).get(self.code, JobError)
        return kind(self.message, remedy=self.remedy)


class Platform(Protocol):
    """Runs one job, under a name that says which run it is of."""

    def find(self) -> Seen | None:
        """Gives the job of this run as it is now, or None.

        Raises:
            ConflictError: if it runs with other resources than these.
        """

    def start(self) -> None:
        """Starts the job.

        Raises:
            JobError: if the platform refuses it.
        """

    def states(self, seconds: float) -> Iterator[Seen]:
        """Gives the job's state now and each change, for this many seconds at most."""

    def remove(self) -> None:
        """Ends the job, if there is one."""


class Exchange(Protocol):
    """Where a job leaves what came of it."""

    def ready(self) -> bool:
        """Whether whole results lie there."""

    def failure(self) -> Failure | None:
        """Why the job failed, if it could tell."""

    def clear(self) -> None:
        """Removes the results and the failure of an earlier attempt."""


def carry_out(
    platform: Platform,
    exchange: Exchange,
    settings: TuneJobSettings,
    say: Callable[[str], None],
    clock: Callable[[], float],
) -> None:
    """Has a run carried out, once, whoever asks how often.

    A job of this run that is there already is followed instead of starting a second one.

    Args:
        platform: runs the job.
        exchange: where it leaves its results.
        settings: retries and the timeout.
        say: told in a line what happens.
        clock: seconds, from any origin.

    Raises:
        JobError: if it failed as often as the settings allow.
        JobTimeoutError: if it took too long; the job is cancelled.
        WherryError: why the run failed, where the job could tell.
    """
    deadline = clock() + settings.timeout
    try:
        _begin(platform, exchange, say)
        for left in range(settings.retries, -1, -1):
            ended = _followed(platform, settings, deadline, clock)
            if ended.phase == "succeeded":
                return
            _give_up(ended, exchange, left)
            say(f"the job failed: {ended.message or 'no reason given'}; {left} retries left")
            platform.remove()
            _start(platform, exchange)
    except (KeyboardInterrupt, JobTimeoutError):
        platform.remove()
        raise


def percent_of(line: str) -> tuple[int, str] | None:
    """Reads how far the run is, and its note, from a line of its log."""
    found = _PROGRESS.fullmatch(line.strip())
    return (int(found["percent"]), found["note"] or "") if found else None


def listener(report: Report, say: Callable[[str], None]) -> Callable[[str], None]:
    """Gives what is told each line of the job's log: it is shown, and progress is passed on."""

    def hear(line: str) -> None:
        if (found := percent_of(line)) is not None:
            report.progress(found[0], 100, found[1])
        else:
            say(line)

    return hear


def _begin(platform: Platform, exchange: Exchange, say: Callable[[str], None]) -> None:
    found = platform.find()
    if found and found.phase in ("waiting", "running"):
        say("a job of this very run is there already: following it")
        return
    if found and found.phase == "succeeded" and exchange.ready():
        say("a job of this very run has ended well: taking its results")
        return
    if found:
        platform.remove()
    _start(platform, exchange)


def _start(platform: Platform, exchange: Exchange) -> None:
    exchange.clear()
    platform.start()


def _followed(
    platform: Platform,
    settings: TuneJobSettings,
    deadline: float,
    clock: Callable[[], float],
) -> Seen:
    seen = Seen("waiting")
    while (left := deadline - clock()) > 0:
        for seen in platform.states(min(left, RESYNC)):
            if seen.ended:
                return seen
    raise JobTimeoutError(
        f"The job was still {seen.phase} after {settings.timeout:.0f} s"
        + (f": {seen.message}." if seen.message else "."),
        remedy="It is cancelled. Raise timeout in the job settings, and run the same command "
        "again: it goes on from the last checkpoint.",
    )


def _give_up(ended: Seen, exchange: Exchange, left: int) -> None:
    """Raises if another attempt cannot help, or none is left."""
    if ended.phase == "gone":
        raise JobError(
            "The job was deleted or cancelled while it ran.",
            remedy="Run the same command again: it goes on from the last checkpoint.",
        )
    failure = exchange.failure()
    if failure and (not left or isinstance(failure.error, _HOPELESS)):
        raise failure.error
    if not left or ended.final:
        raise JobError(
            f"The job failed: {ended.message or 'no reason given'}.",
            remedy="Its log above says more. The same command starts it again, from the last "
            "checkpoint.",
        )


def _kinds(kind: type[WherryError]) -> dict[str, type[WherryError]]:
    found = {kind.code: kind}
    for child in kind.__subclasses__():
        found |= _kinds(child)
    return found
