"""Decides what is started, proved, promoted and stopped, on whatever platform."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, Protocol

from wherry.contracts import Deployment, Digest, Message, Release, Row
from wherry.contracts.errors import ConflictError, DataError, DeployError
from wherry.contracts.record import Record
from wherry.deploy.settings import DeploySettings
from wherry.progress import Report


@dataclass(frozen=True)
class Question:
    """A held-out conversation and the answer that its data gives."""

    prompt: tuple[Message, ...]
    answer: str


@dataclass(frozen=True)
class Plan(Record):
    """How a model is deployed: kept, so that another version can follow without its run."""

    settings: DeploySettings
    questions: tuple[Question, ...]
    """Held-out, for the smoke test; the first is a deployment's example. Errors count from 1."""
    schema: Literal["wherry.deploy-plan/1"] = "wherry.deploy-plan/1"


class Endpoint(Protocol):
    """A server that answers, live or still a candidate."""

    def ready(self) -> bool:
        """Whether it says that it is ready."""

    def digest(self) -> str:
        """What file it says it has loaded."""

    def chat(self, prompt: Sequence[Message]) -> str:
        """Answers one conversation over OpenAI's protocol.

        Raises:
            DeployError: if it does not answer, or with an error.
        """

    def predict(self, prompts: Sequence[Sequence[Message]]) -> list[str]:
        """Answers many over KServe's protocol.

        Raises:
            DeployError: as `chat`.
        """


class Target(Protocol):
    """A platform that runs servers for one deployment."""

    @property
    def kind(self) -> Literal["local", "kserve", "vertex"]:
        """Which platform it is."""

    @property
    def url(self) -> str:
        """Where clients reach the deployment, such as ``http://127.0.0.1:8080``."""

    def current(self) -> Deployment | None:
        """Gives what was deployed last, with its health now."""

    def serves(self, release: Release) -> bool:
        """Whether the live server runs this very file with these very settings."""

    def start(self, release: Release) -> str:
        """Starts a candidate beside the live server and gives its own address.

        Raises:
            WherryError: why it did not become ready; then nothing of it is left.
        """

    def promote(self, deployment: Deployment) -> Deployment:
        """Lets the candidate take over `url`, records it, and only then stops the old server."""

    def record(self, deployment: Deployment) -> Deployment:
        """Records that the live server now stands for this deployment."""

    def discard(self) -> None:
        """Stops the candidate, if there is one. The live server is not touched."""

    def log_tail(self) -> str:
        """Gives the candidate's last words."""


@dataclass(frozen=True)
class Smoke:
    """What came of asking a server."""

    passed: bool
    checks: tuple[str, ...]
    """In words that hold nothing of a row: errors are logged, and the ledger forgets nothing."""


def deploy(
    release: Release,
    generation: int,
    plan: Plan,
    target: Target,
    connect: Callable[[str], Endpoint],
    report: Report,
) -> Deployment:
    """Makes a release the live one, or leaves everything as it was.

    Args:
        release: what to run.
        generation: of the alias that it is deployed for.
        plan: what the smoke test asks and demands.
        target: the platform.
        connect: gives the endpoint at an address.
        report: told how far it is.

    Raises:
        ConflictError: if a newer generation is deployed.
        DeployError: if the candidate does not start or fails its smoke test.
    """
    _refuse_older(release, generation, target.current())
    questions, settings = plan.questions, plan.settings
    wanted = _wanted(release, generation, questions[0], target, settings)
    if target.serves(release):
        smoke = ask(connect(target.url), release.digest, questions, settings, report)
        if smoke.passed:
            return target.record(replace(wanted, checks=smoke.checks))
    report.progress(0, len(questions), "starting the server")
    try:
        smoke = ask(connect(target.start(release)), release.digest, questions, settings, report)
        if not smoke.passed:
            raise _smoke_failed(release, smoke, target.log_tail())
        return target.promote(replace(wanted, checks=smoke.checks))
    except BaseException:
        target.discard()
        raise


def _wanted(
    release: Release,
    generation: int,
    question: Question,
    target: Target,
    settings: DeploySettings,
) -> Deployment:
    return Deployment(
        name=release.name,
        version=release.version,
        digest=release.digest,
        target=target.kind,
        url=target.url,
        generation=generation,
        healthy=True,
        example=_example(settings.name or release.name, question, settings),
    )


def ask(
    endpoint: Endpoint,
    digest: Digest,
    questions: Sequence[Question],
    settings: DeploySettings,
    report: Report,
) -> Smoke:
    """Asks a server everything that the smoke test asks."""
    try:
        if not endpoint.ready():
            return Smoke(False, ("/v2/health/ready: not ready",))
        if (found := endpoint.digest()) != digest:
            return Smoke(False, (f"/openai/v1/models: serves {found}, expected {digest}",))
        chats = []
        for number, question in enumerate(questions, 1):
            chats.append(endpoint.chat(question.prompt))
            report.progress(number, len(questions), "smoke test")
        predictions = endpoint.predict([question.prompt for question in questions])
    except DeployError as error:
        return Smoke(False, (error.message,))
    return _judge(questions, chats, predictions, settings.smoke_min_correct)


def pick(rows: Sequence[Row], count: int) -> list[Question]:
    """Takes questions evenly from a split, so that they differ in their labels.

    Raises:
        DataError: if there are too few rows.
    """
    if len(rows) < count:
        raise DataError(
            f"The test split has {len(rows)} rows; the smoke test asks {count}.",
            remedy="Lower deploy.smoke_rows, or add rows.",
        )
    taken = [rows[index * len(rows) // count] for index in range(count)]
    return [Question(row.prompt, row.label or row.completion) for row in taken]


def _refuse_older(release: Release, generation: int, live: Deployment | None) -> None:
    if live and live.generation > generation:
        raise ConflictError(
            f"{live.name} version {live.version} was deployed for generation {live.generation}; "
            f"version {release.version} is of generation {generation}, which is older.",
            remedy="Deploy what the champion alias names now.",
        )


def _judge(
    questions: Sequence[Question], chats: Sequence[str], predictions: Sequence[str], least: int
) -> Smoke:
    checks = ["/v2/health/ready: ready"]
    total, counts = len(questions), {}
    for way, answers in (("chat", chats), ("predict", predictions)):
        wrong = _wrong(questions, answers)
        counts[way] = total - len(wrong)
        if wrong:
            checks.append(f"wrong over {way}: questions {', '.join(map(str, wrong))}")
    told = ", ".join(f"{count} of {total} right over {way}" for way, count in counts.items())
    checks.append(f"{told}; at least {least} wanted")
    return Smoke(min(counts.values()) >= least, tuple(checks))


def _wrong(questions: Sequence[Question], answers: Sequence[str]) -> list[int]:
    """Gives the numbers, from 1, of the questions whose answer is wrong or missing."""
    pairs = zip_longest(questions, answers[: len(questions)])
    return [
        number
        for number, (question, answer) in enumerate(pairs, 1)
        if answer is None or _plain(question.answer) != _plain(answer)
    ]


def _plain(text: str) -> str:
    return text.strip().rstrip(".").casefold()


def _smoke_failed(release: Release, smoke: Smoke, log: str) -> DeployError:
    lines = "".join(f"\n  {check}" for check in smoke.checks)
    said = f"\nThe server's log ends:\n{log}" if log else ""
    return DeployError(
        f"{release.name} version {release.version} failed its smoke test:{lines}{said}",
        remedy="What was live still is. Correct the model, or lower deploy.smoke_min_correct.",
    )


def _example(name: str, question: Question, settings: DeploySettings) -> str:
    messages = [{"role": turn.role, "content": turn.content} for turn in question.prompt]
    body = {
        "model": name,
        "messages": messages,
        "temperature": 0,
        "max_tokens": settings.smoke_tokens,
    }
    return json.dumps(body, ensure_ascii=False)
