"""What the release stage can be asked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReleaseSettings:
    """How far a release goes."""

    promote: bool = True
    """Whether ``champion`` moves to the version at once, or it is only registered."""
    intended_use: str = ""
    """What the model is for, for whom, and for what it is not: recorded with the version, and said
    in its model card."""
