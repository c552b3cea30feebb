"""How a search for a tuning recipe went: every trial, and the best."""

from dataclasses import dataclass
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record

Value = str | int | float | bool | tuple[str, ...]
"""What a setting of a recipe may be."""
TrialState = Literal["complete", "pruned", "diverged", "failed", "unfinished"]
"""``pruned``: worse than the median of the others at the same measurement; ``failed``: the recipe
contradicts itself or needs more memory than there is; ``unfinished``: the budget was used up,
and a search with a larger one goes on with it."""


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried."""

    number: int
    """Counted from 0."""
    state: TrialState
    settings: dict[str, Value]
    """The settings that were searched; the others are the search's recipe."""
    eval_loss: float | None
    """Of the weights that `tune` would keep; of a trial that did not end, the lowest it saw."""
    seconds: float
    """Wall time, those before a kill included."""
    reason: str = ""
    """Why it did not end, where that is an error."""


@dataclass(frozen=True)
class SearchReport(Record):
    """A whole search; its trials are all those of the study, whatever process made them."""

    trials: tuple[Trial, ...]
    """In the order of their numbers."""
    best: int
    """The number of the complete trial of the lowest eval loss."""
    eval_loss: float
    """Its eval loss."""
    recipe: dict[str, Value]
    """The whole recipe of the best trial, as written for `tune`."""
    space: dict[str, str]
    """What was searched: setting → its range or choices, for people."""
    ended: Literal["trials", "budget"]
    """What ended the search."""
    trials_allowed: int
    seconds_allowed: float
    seconds_used: float
    """By all trials together."""
    seed: int
    base_digest: Digest
    data_digest: Digest
    """Of the training split's file."""
    eval_digest: Digest
    """Of the eval split's file, which decided."""
    schema: Literal["wherry.search/1"] = "wherry.search/1"
