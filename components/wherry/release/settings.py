"""What the release stage can be asked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReleaseSettings:
    """How far a release goes."""

    promote: bool = True
    """Whether ``champion`` moves to the version at once, or it is only registered."""
