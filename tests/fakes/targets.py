"""A platform and its servers in memory, for what a deploy decides."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from wherry.contracts import Deployment, Message, Release
from wherry.contracts.errors import DeployError

PUBLIC = "http://public"
CANDIDATE = "http://candidate"


@dataclass
class FakeEndpoint:
    """Implements `Endpoint`: answers by looking the last turn up."""

    loaded: str
    answers: dict[str, str]
    is_ready: bool = True
    broken: str = ""
    """A path that fails."""

    def ready(self) -> bool:
        """Says what it was told to say."""
        return self.is_ready

    def digest(self) -> str:
        """Says what it was told to have loaded."""
        return self.loaded

    def chat(self, prompt: Sequence[Message]) -> str:
        """Looks the answer up."""
        if self.broken == "chat":
            raise DeployError("/openai/v1/chat/completions did not answer.", remedy="Look.")
        return self.answers.get(prompt[-1].content, "what?")

    def predict(self, prompts: Sequence[Sequence[Message]]) -> list[str]:
        """Looks all answers up."""
        if self.broken == "predict":
            return ["what?" for _ in prompts]
        return [self.answers.get(prompt[-1].content, "what?") for prompt in prompts]


@dataclass
class FakeTarget:
    """Implements `Target`, and writes down in `events` what was done to it."""

    live: Deployment | None = None
    fits: bool = False
    """Whether the live server runs what is asked for."""
    start_error: Exception | None = None
    promote_error: BaseException | None = None
    events: list[str] = field(default_factory=list)
    kind: Literal["local", "kserve", "vertex"] = "local"
    url: str = PUBLIC

    def current(self) -> Deployment | None:
        """Gives what is live."""
        return self.live

    def serves(self, release: Release) -> bool:
        """Says what it was told to say."""
        return self.fits

    def start(self, release: Release) -> str:
        """Notes the start."""
        self.events.append("start")
        if self.start_error:
            raise self.start_error
        return CANDIDATE

    def promote(self, deployment: Deployment) -> Deployment:
        """Makes it the live one."""
        self.events.append("promote")
        if self.promote_error:
            raise self.promote_error
        self.live = replace(deployment, pid=2)
        return self.live

    def record(self, deployment: Deployment) -> Deployment:
        """Notes the new record."""
        self.events.append("record")
        self.live = replace(deployment, pid=self.live.pid if self.live else 0)
        return self.live

    def discard(self) -> None:
        """Notes the end of the candidate."""
        self.events.append("discard")

    def log_tail(self) -> str:
        """Gives a line of log."""
        return "the last line of the log"
