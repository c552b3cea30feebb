"""The recipe of a tuning run."""

from dataclasses import dataclass
from typing import Final, Literal

Objective = Literal["sft", "text", "dpo", "orpo", "kto", "distill", "imitate"]
"""What the loss is taken on:

- ``sft``: the completions of conversations (cross-entropy);
- ``text``: every token of plain text, continued pre-training;
- ``dpo``, ``orpo``, ``kto``: pairs of a better and a worse answer;
- ``distill``: completions, and a teacher's next-token distribution over them;
- ``imitate``: the answers that a teacher gives to the rows' prompts.
"""
Method = Literal["lora", "dora", "rslora", "pissa", "qlora", "ia3", "prompt", "prefix", "full"]
"""What is trained: low-rank updates and their kin, scales (``ia3``), virtual tokens (``prompt``,
``prefix``), or all weights (``full``)."""

LOW_RANK: Final[tuple[Method, ...]] = ("lora", "dora", "rslora", "pissa", "qlora")
TAUGHT: Final[tuple[Objective, ...]] = ("distill", "imitate")
"""Objectives that need a teacher."""
VIRTUAL: Final[tuple[Method, ...]] = ("prompt", "prefix")
"""Methods that cannot be merged into the base's weights."""
SPREAD: Final[tuple[Method, ...]] = ("lora", "dora", "rslora", "full")
"""Methods that can learn on a model whose weights are spread over the ranks."""
PAIRED: Final[tuple[Objective, ...]] = ("dpo", "orpo", "kto")
"""Objectives that learn from preferences."""


@dataclass(frozen=True)
class TuneSettings:
    """How a model is tuned; the defaults suit a small model on two CPU cores."""

    objective: Objective = "sft"
    """What the loss is taken on."""
    method: Method = "lora"
    """What is trained."""
    rows: int = 0
    """Training rows used, the first of the split; 0 for all."""
    epochs: int = 1
    """Passes over them."""
    batch_size: int = 16
    """Rows of one optimizer step, over all ranks together."""
    micro_batch: int = 0
    """Rows that go through the model at once on one rank; 0 for all of its share of the batch.
    Lower it when memory runs out: the result is the same but for rounding."""
    learning_rate: float = 3e-3
    """The highest, reached after the warm-up. The default suits low-rank updates of a small model
    that learns answers: begin at a hundredth of it where the method is ``full``, and at a fiftieth
    or less for ``dpo`` and ``kto``."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up; the first two end at zero."""
    warmup: float = 0.1
    """Share of all steps over which the learning rate rises."""
    weight_decay: float = 0.0
    """AdamW's, per step and unit of learning rate; of matrices alone, for norms, biases and scales
    (DoRA's, IA3's) are not to fall to zero."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient; a longer one is scaled down to it."""
    rank: int = 16
    """Rank of low-rank updates."""
    alpha: float = 32.0
    """Their scale: the update is multiplied by alpha / rank (by alpha / sqrt(rank) in rsLoRA)."""
    dropout: float = 0.0
    """Share of a low-rank update's inputs that are dropped in training."""
    targets: tuple[str, ...] = ("all-linear",)
    """Names of the linear layers that are trained; ``all-linear`` is all of them but the head."""
    frozen_share: float = 0.67
    """Share of the layers, the lowest, that stay as they are: no gradient is computed through
    them. Embeddings stay too unless it is 0. Virtual tokens reach every layer and ignore it."""
    virtual_tokens: int = 16
    """Length of what ``prompt`` and ``prefix`` train."""
    max_length: int = 512
    """Longest row kept, in tokens; plain text is cut into pieces of this length."""
    beta: float = 0.1
    """How far a preference may pull the model from its start: DPO's and KTO's beta, and the
    weight of ORPO's odds ratio."""
    temperature: float = 2.0
    """Softens teacher and student alike in distillation."""
    teacher_weight: float = 0.5
    """Share of the distillation loss that the teacher has; the rest is cross-entropy."""
    answer_tokens: int = 256
    """Longest answer that a teacher gives where the objective is ``imitate``."""
    eval_points: int = 4
    """How often the loss on the eval split is measured, first and last step included."""
    patience: int = 0
    """Measurements without a lower eval loss after which the run stops; 0 to go on to the end."""
    keep_best: bool = True
    """Whether the weights of the lowest eval loss are kept, not the last."""
    diverged_at: float = 3.0
    """The run stops when the training loss of ten steps is this many times that of the first."""
    checkpoint_every: int = 25
    """Steps between checkpoints, from which a killed run resumes; 0 for none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of an adapter's base, of a teacher, and of the computation; ``auto`` is bfloat16 where the
    device has units for it. What is trained is always kept in float32, and so is the whole model
    where the method is ``full``: it is saved."""
    recompute: bool = False
    """Whether activations are computed again in the backward pass instead of kept: about a third
    more time for much less memory."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs."""
    shard: Literal["none", "full"] = "none"
    """What of the weights is spread over several ranks (FSDP): with ``none`` each has them all,
    with ``full`` a part of each: for a model that does not fit on one GPU."""
    seed: int = 0
    """Of the first values, dropout and the order of rows."""
    threads: int = 0
    """CPU threads; 0 for all. Fewer can be faster on a machine that is busy."""
    merge: bool = False
    """Whether base and adapter are given as one model, too: the component's output ``merged``. A
    command line names its folder by ``--merged``."""
    trackers: tuple[Literal["mlflow", "tensorboard"], ...] = ()
    """Where the recipe and the curve go besides: an MLflow server, whose address stands in
    MLFLOW_TRACKING_URI, or TensorBoard's event files beside the curve."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            _within(name, getattr(self, name), low, high)
        if not self.targets:
            raise ValueError("targets must name a layer, got none")
        if self.objective == "text" and self.method in VIRTUAL:
            raise ValueError("method must train weights where objective is text: virtual tokens "
                             f"stand before a prompt, got {self.method}")  # fmt: skip
        if self.objective == "kto" and self.method == "full":
            raise ValueError("method must be an adapter where objective is kto, which asks the "
                             "untrained model at every step; got full")  # fmt: skip
        if self.recompute and self.method == "prefix":
            raise ValueError("recompute must be false where method is prefix, whose virtual tokens "
                             "stand in a cache that recomputing leaves out; got true")  # fmt: skip
        if self.shard == "full" and self.method not in SPREAD:
            raise ValueError(f"method must be one of {', '.join(SPREAD)} where shard is full, "
                             f"got {self.method}")  # fmt: skip
        if self.patience and self.eval_points < 2:
            raise ValueError(f"patience needs eval_points of 2 or more, got {self.eval_points}")


_INF: Final = float("inf")
_RANGES: Final[tuple[tuple[str, float, float], ...]] = (
    ("rows", 0, _INF),
    ("epochs", 1, _INF),
    ("batch_size", 1, _INF),
    ("micro_batch", 0, _INF),
    ("learning_rate", 1e-7, 1.0),
    ("warmup", 0, 1),
    ("weight_decay", 0, 1),
    ("clip_norm", 1e-6, _INF),
    ("rank", 1, _INF),
    ("alpha", 1e-6, _INF),
    ("dropout", 0, 0.9),
    ("frozen_share", 0, 0.99),
    ("virtual_tokens", 1, 512),
    ("max_length", 8, _INF),
    ("beta", 1e-6, 100),
    ("temperature", 0.1, 100),
    ("teacher_weight", 0, 1),
    ("answer_tokens", 1, _INF),
    ("eval_points", 0, _INF),
    ("patience", 0, _INF),
    ("diverged_at", 1.01, _INF),
    ("checkpoint_every", 0, _INF),
    ("seed", 0, _INF),
    ("threads", 0, _INF),
)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        wanted = f"at least {low:g}" if high == _INF else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, got {value}")
