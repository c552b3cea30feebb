"""Settings of a deployment."""

import re
from dataclasses import dataclass
from typing import Final

TARGETS: Final = ("local",)
"""Where a release can run."""
PLANNED: Final = ("kserve", "vertex")
"""Where a compiled pipeline asks for it to run: these adapters are not built yet."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What can stand in the path of an address: ``/v1/models/NAME:predict``."""


@dataclass(frozen=True)
class DeploySettings:
    """Where a release runs, what it may use, and what it must show first."""

    target: str = "local"
    """The platform: ``local`` is a process on this machine."""
    name: str = ""
    """What clients call the model, or empty for the release's name."""
    host: str = "127.0.0.1"
    """The address listened on. There is no authentication: keep it on this machine
    unless something in front of the server guards it."""
    port: int = 8080
    """The TCP port listened on, 1 to 65535."""
    threads: int = 0
    """Threads that compute, or 0 for all cores."""
    context: int = 1024
    """Tokens that one conversation may have, question and answer together."""
    parallel: int = 4
    """Conversations answered at the same time."""
    smoke_rows: int = 10
    """Held-out questions that the smoke test asks, 1 to 64."""
    smoke_min_correct: int = 3
    """Of these, how many must be answered as labelled, over each protocol. The gate has
    judged the model; this tells a server that answers from one that babbles."""
    smoke_tokens: int = 16
    """Longest answer that the smoke test reads, in tokens."""
    start_timeout: float = 60.0
    """How long a server may take until it is ready, in seconds."""
    request_timeout: float = 30.0
    """How long one request of the smoke test may take, in seconds."""
    drain_timeout: float = 60.0
    """How long the old server may take to finish what it was asked, in seconds."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.target in PLANNED:
            raise ValueError(
                f"this version of Wherry does not deploy to {self.target!r} yet, "
                f"only to {', '.join(TARGETS)}"
            )
        if self.target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {self.target!r}")
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError(f"name must match {_NAME.pattern}, got {self.name!r}")
        if not self.host.strip():
            raise ValueError(f"host must be an address such as 127.0.0.1, got {self.host!r}")
        for field, low, high in (
            ("port", 1, 65535),
            ("threads", 0, 512),
            ("context", 16, 1 << 20),
            ("parallel", 1, 64),
            ("smoke_rows", 1, 64),
            ("smoke_min_correct", 1, self.smoke_rows),
            ("smoke_tokens", 1, 4096),
            ("start_timeout", 1, 3600),
            ("request_timeout", 1, 3600),
            ("drain_timeout", 1, 3600),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise ValueError(f"{field} must be in [{low}, {high}], got {value}")
