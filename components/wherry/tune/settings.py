"""The recipe of a tuning run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TuneSettings:
    """How a LoRA adapter is trained; the defaults suit a small model on two CPU cores."""

    rows: int = 0
    """Training rows used, the first of the split; 0 for all."""
    epochs: int = 1
    """Passes over them."""
    batch_size: int = 16
    """Rows of one optimizer step."""
    learning_rate: float = 3e-3
    """The highest, reached after the warm-up; it falls to zero along a cosine."""
    warmup: float = 0.1
    """Share of all steps over which the learning rate rises."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient; a longer one is scaled down to it."""
    rank: int = 16
    """Rank of the LoRA matrices."""
    alpha: float = 32.0
    """LoRA's scale: the update is multiplied by alpha / rank."""
    dropout: float = 0.0
    """Share of LoRA's inputs that are dropped in training."""
    targets: tuple[str, ...] = ("all-linear",)
    """Names of the linear layers that get LoRA; ``all-linear`` is all of them but the head."""
    frozen_share: float = 0.67
    """Share of the layers, the lowest, that get no LoRA: no gradient is computed through them."""
    max_length: int = 512
    """Longest row kept, in tokens."""
    eval_points: int = 4
    """How often the loss on the eval split is measured, first and last step included."""
    seed: int = 0
    """Of LoRA's first values and the order of rows."""
    threads: int = 0
    """CPU threads; 0 for all. Fewer can be faster on a machine that is busy."""

    def __post_init__(self) -> None:
        _within("rows", self.rows, 0)
        _within("epochs", self.epochs, 1)
        _within("batch_size", self.batch_size, 1)
        _within("learning_rate", self.learning_rate, 1e-7, 1.0)
        _within("warmup", self.warmup, 0, 1)
        _within("clip_norm", self.clip_norm, 1e-6)
        _within("rank", self.rank, 1)
        _within("alpha", self.alpha, 1e-6)
        _within("dropout", self.dropout, 0, 0.9)
        _within("frozen_share", self.frozen_share, 0, 0.99)
        _within("max_length", self.max_length, 8)
        _within("eval_points", self.eval_points, 0)
        _within("seed", self.seed, 0)
        _within("threads", self.threads, 0)
        if not self.targets:
            raise ValueError("targets must name a layer, got none")


def _within(name: str, value: float, low: float, high: float = float("inf")) -> None:
    if not low <= value <= high:
        wanted = f"at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, got {value}")
