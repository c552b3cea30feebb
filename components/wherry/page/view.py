"""The small pieces that all sections are made of."""

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["good", "warn", "bad", "none"]
"""How a thing stands; always shown by a sign and a word too, never by colour alone."""

SPLITS: Final = ("train", "eval", "test")


@dataclass(frozen=True)
class Fact:
    """A name and a value, such as ``Rows`` and ``2,100``."""

    name: str
    value: str
    note: str = ""
    """A second, smaller line."""
    wide: bool = False
    """Whether the value is long and wants two columns."""
    digest: str = ""
    """A digest or a commit: shown shortened, to be unfolded and copied whole."""


@dataclass(frozen=True)
class Badge:
    """A state with its word."""

    state: State
    word: str


@dataclass(frozen=True)
class Signpost:
    """A section's verdict in a few words, as a link to it."""

    id: str
    title: str
    state: State
    text: str


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a series and its name."""

    series: str
    name: str
