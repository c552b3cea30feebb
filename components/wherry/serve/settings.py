"""Settings of the model server."""

import re
from dataclasses import dataclass
from typing import Final

from wherry.contracts.digest import Digest

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class ServeSettings:
    """Where a model listens and how much it may use."""

    name: str
    """What clients call the model: letters, digits, dot, dash and underscore, 63 at most."""
    host: str = "127.0.0.1"
    """The address listened on. There is no authentication: keep it on this machine
    unless something in front of the server guards it."""
    port: int = 8080
    """The TCP port listened on, 1 to 65535."""
    threads: int = 0
    """Threads that compute, or 0 for all cores that this process may use."""
    context: int = 1024
    """Tokens that one conversation may have, question and answer together."""
    parallel: int = 4
    """Conversations answered at the same time; more wait their turn."""
    expect_digest: Digest | None = None
    """What the file must hash to, or None to trust it."""
    expect_template: Digest | None = None
    """What the embedded chat template must hash to, or None for any."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name must match {_NAME.pattern}, got {self.name!r}")
        for field, low, high in (
            ("port", 1, 65535),
            ("threads", 0, 512),
            ("context", 16, 1 << 20),
            ("parallel", 1, 64),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise ValueError(f"{field} must be in [{low}, {high}], got {value}")

    @property
    def url(self) -> str:
        """Where it is reached; an IPv6 address stands in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
