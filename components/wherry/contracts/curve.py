"""How a tuning run went: its loss over steps, and how fast it was."""

from dataclasses import dataclass, field
from typing import Literal

from wherry.contracts.digest import Digest
from wherry.contracts.record import Record


@dataclass(frozen=True)
class CurvePoint:
    """The state of a tuning run after one optimizer step."""

    step: int
    """Optimizer steps done, counted from 1; 0 is the model before any."""
    tokens: int
    """Tokens seen so far, all epochs together, without padding."""
    seconds: float
    """Wall time since tuning began."""
    train_loss: float | None
    """Mean cross-entropy over completion tokens since the point before, in nats; None at step 0."""
    eval_loss: float | None = None
    """The same over the eval split, where it was measured at this step."""


@dataclass(frozen=True)
class LossCurve(Record):
    """A whole tuning run, for a plot and for the lineage."""

    points: tuple[CurvePoint, ...]
    """In the order of their steps."""
    rows: int
    """Training rows used."""
    epochs: float
    """Passes over them; may be a fraction."""
    tokens_per_second: float
    """Over the whole run, evaluation left out."""
    seconds: float
    """Wall time of tuning."""
    seed: int
    base_digest: Digest
    data_digest: Digest
    """Of the training split's file."""
    steps: int = 0
    """Optimizer steps done."""
    kept_step: int = 0
    """The step whose weights were kept."""
    resumed_at: int = 0
    """The step of the checkpoint that the run went on from; 0 if it was never killed."""
    teacher_digest: Digest | None = None
    """Of the model whose answers or distributions it learnt."""
    start_digest: Digest | None = None
    """Of the adapter that it went on training."""
    settings: dict[str, str | int | float | bool] = field(default_factory=dict)
    """The recipe as it ran: a flat mapping for people, such as ``{"rank": 8}``."""
    schema: Literal["wherry.curve/1"] = "wherry.curve/1"

    @property
    def eval_loss(self) -> float | None:
        """Gives the eval loss of the weights that were kept, if it was measured."""
        kept = (point.eval_loss for point in self.points if point.step == self.kept_step)
        return next((loss for loss in kept if loss is not None), None)

    @property
    def headline(self) -> dict[str, float]:
        """Gives the numbers that say at a glance how the run went."""
        loss = {} if self.eval_loss is None else {"eval_loss": self.eval_loss}
        speed = {"tokens_per_second": self.tokens_per_second}
        return {**loss, **speed, "steps": self.steps, "kept_step": self.kept_step}
