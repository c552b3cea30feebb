"""What of a repository's data is taken, and what it is."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True)
class IngestSettings:
    """How a DVC output becomes a data set."""

    path: str = "data"
    """The DVC output that holds the data, relative to the repository's root."""
    folder: str = ""
    """The folder inside it with ``train.jsonl`` and its like; empty for the output itself."""
    splits: tuple[Literal["train", "eval", "test"], ...] = ("train", "eval", "test")
    """The splits that must be there, each as ``SPLIT.jsonl``; ``train`` is always among them."""
    kind: Literal["instruction", "chat"] = "chat"
    """What the rows are."""
    licence: str = ""
    """The data's licence: an SPDX identifier or a short name."""

    def __post_init__(self) -> None:
        """Refuses a path that leaves the repository and a data set without training rows.

        Raises:
            ValueError: naming the field and its value.
        """
        for name in ("path", "folder"):
            parts = PurePosixPath(getattr(self, name)).parts
            if ".." in parts or parts[:1] == ("/",):
                raise ValueError(f"{name} must stay inside, got {getattr(self, name)!r}")
        if not self.path:
            raise ValueError("path must name a DVC output, got ''")
        if "train" not in self.splits:
            raise ValueError(f"splits must include train, got {list(self.splits)}")
