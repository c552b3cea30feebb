"""What a judge can be told."""

from dataclasses import dataclass, field
from typing import Literal

from wherry.evaluate.opening import Asking


@dataclass(frozen=True)
class Rubric:
    """What makes one answer better than another; a file of a team's own."""

    name: str
    """A short name with a version: judgements by different rubrics cannot be compared."""
    question: str
    """What the judge is asked, such as ``Which answer is kinder?``."""
    criteria: tuple[str, ...]
    """What it looks at, most important first."""
    show_reference: bool = False
    """Whether it is shown the data's own answer."""

    def __post_init__(self) -> None:
        """Refuses a rubric that says nothing.

        Raises:
            ValueError: naming the field.
        """
        said = (self.name, self.question, *self.criteria)
        if not (self.criteria and all(map(str.strip, said))):
            raise ValueError("name, question and criteria must each say something")


@dataclass(frozen=True)
class JudgeSettings:
    """Who judges, and how much."""

    split: str = "test"
    """The data split whose prompts were answered."""
    rows: int = 0
    """Rows judged, the first of the split; 0 for all."""
    read: Literal["text", "labels"] = "text"
    """How a judgement is read: from the last line of what the judge writes, or from which of the
    words A, B and tie it finds most probable: for a small judge that cannot keep to a form."""
    asking: Asking = field(default_factory=Asking)
    """How the judge is asked."""
    resamples: int = 1000
    """Bootstrap resamples behind the intervals of agreement."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        for name, low in {"rows": 0, "seed": 0, "resamples": 100}.items():
            if (value := getattr(self, name)) < low:
                raise ValueError(f"{name} must be at least {low}, got {value}")
        if not self.split:
            raise ValueError("split must name a split of the data set, got ''")
        if self.read == "labels" and self.asking.endpoint.reasoning:
            raise ValueError(
                "read must be text with asking.endpoint.reasoning, got labels: a server whose "
                "model thinks tells no probabilities"
            )
