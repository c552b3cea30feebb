"""What an evaluation can be asked."""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal

MeasureName = Literal[
    "accuracy",
    "exact_match",
    "label_accuracy",
    "calibration_error",
    "precision",
    "recall",
    "f1",
    "macro_precision",
    "micro_precision",
    "weighted_precision",
    "macro_recall",
    "micro_recall",
    "weighted_recall",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "squad_exact_match",
    "token_f1",
    "rouge_1",
    "rouge_2",
    "rouge_l",
    "bleu",
    "chrf",
    "valid_json",
    "schema_valid",
    "refusal_rate",
    "perplexity",
    "byte_perplexity",
]
"""The room's README says what each one is."""

_FEWEST_TO_THINK: Final = 256
"""Fewer new tokens end amid a model's thoughts: every answer would be empty, and wrong."""


@dataclass(frozen=True)
class Endpoint:
    """A running server that speaks OpenAI's protocol."""

    model: str = ""
    """What the server calls the model; empty if it has one alone."""
    digest: str = ""
    """The digest, ``sha256:…``, that the model must have; where the server does not say its own,
    it is recorded as unverified."""
    template_digest: str = ""
    """Of the chat template that the server renders with. No server of this protocol says it:
    empty records the digest of an empty text, which no gate takes for that of another model."""
    api_key_variable: str = "OPENAI_API_KEY"
    """The environment variable that has the key; not needed if the server asks for none."""
    parallel: int = 4
    """Requests under way at once."""
    timeout: float = 120.0
    """Longest wait for one answer, in seconds."""
    retries: int = 4
    """How often a request is made again that the server was too busy for."""
    top_logprobs: int = 20
    """Most probable first tokens asked for, in which labels are looked for; 0 to ask for none,
    where the server refuses to tell."""
    reasoning: bool = False
    """Whether the model thinks before it answers, as OpenAI's o series and GPT-5 do. It is asked
    by ``max_completion_tokens``, and for no temperature, seed or probabilities, all of which such
    servers refuse. Its thoughts count: set ``max_new_tokens`` to some thousands, 256 at least."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        _at_least(1, "endpoint.parallel", self.parallel)
        _at_least(0, "endpoint.retries", self.retries)
        if not 0 <= self.top_logprobs <= 20:
            raise ValueError(f"endpoint.top_logprobs must be in [0, 20], got {self.top_logprobs}")
        if not self.timeout > 0:
            raise ValueError(f"endpoint.timeout must be above 0, got {self.timeout}")
        for name in ("digest", "template_digest"):
            value = getattr(self, name)
            if value and not _is_digest(value):
                raise ValueError(f"endpoint.{name} must be sha256: and 64 hex digits, got {value}")

    def check_room(self, max_new_tokens: int) -> None:
        """Refuses a limit that leaves a model that thinks no room to answer.

        Raises:
            ValueError: naming it and what was expected.
        """
        if self.reasoning and max_new_tokens < _FEWEST_TO_THINK:
            raise ValueError(
                f"max_new_tokens must be at least {_FEWEST_TO_THINK} with endpoint.reasoning, for "
                f"a model's thoughts count, got {max_new_tokens}"
            )


@dataclass(frozen=True)
class EvaluateSettings:
    """How a model is asked, and how its answers are counted."""

    split: str = "test"
    """The data split that is asked."""
    rows: int = 0
    """Rows asked, the first of the split; 0 for all."""
    measures: tuple[MeasureName, ...] = ()
    """What is counted; empty for what suits the data: labels, free text, or plain text."""
    slices: tuple[Literal["label", "group", "length"], ...] = ("label",)
    """Which parts of the data have scores of their own: each label's rows, each group's, those
    of each length of the prompt. A group's name then stands in the scores."""
    length_edges: tuple[int, ...] = (64, 256, 1024)
    """Where one length ends and the next begins, in characters of the prompt; of plain text, which
    has none, in its own."""
    slice_rows: int = 10
    """Fewest rows that a group or a length must have for scores of its own."""
    json_schema: dict[str, Any] = field(default_factory=dict)
    """The JSON Schema that ``schema_valid`` asks for."""
    max_new_tokens: int = 8
    """Longest free answer, in tokens."""
    batch_size: int = 32
    """Rows that transformers answers at once: its decoding is bound by memory, not by work."""
    slots: int = 8
    """Rows that llama.cpp answers at once."""
    context: int = 512
    """Longest prompt with its answer that llama.cpp makes room for, in tokens."""
    threads: int = 0
    """CPU threads; 0 for all that this process may use."""
    save_every: int = 128
    """Rows answered before they are kept on disk: a killed evaluation goes on from there."""
    resamples: int = 1000
    """Bootstrap resamples behind the intervals of all that is no plain share."""
    seed: int = 0
    """Of the bootstrap; the answers are greedy and need none."""
    speed_runs: int = 5
    """How often a GGUF file's speed is measured; the median counts."""
    endpoint: Endpoint = field(default_factory=Endpoint)
    """The running server, where `evaluate_endpoint` asks one."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        for name in ("rows", "threads", "seed"):
            _at_least(0, name, getattr(self, name))
        for name in (
            *("max_new_tokens", "batch_size", "slots", "speed_runs"),
            *("save_every", "slice_rows"),
        ):
            _at_least(1, name, getattr(self, name))
        # Fewer resamples cannot show a 2.5% tail.
        _at_least(100, "resamples", self.resamples)
        _at_least(self.max_new_tokens + 1, "context", self.context)
        self.endpoint.check_room(self.max_new_tokens)
        if not self.split:
            raise ValueError("split must name a split of the data set, got ''")
        self._check_measures()

    def _check_measures(self) -> None:
        edges = (0, *self.length_edges)
        if any(high <= low for low, high in pairwise(edges)):
            raise ValueError(f"length_edges must rise from above 0, got {self.length_edges}")
        if ("schema_valid" in self.measures) != bool(self.json_schema):
            raise ValueError("schema_valid and json_schema must be given together or not at all")

    @property
    def answers_follow_from(self) -> str:
        """What of the settings an answer and what is kept of it hang on, as JSON."""
        counted = ("split", "rows", "resamples", "seed", "speed_runs", "slice_rows", "threads")
        kept = {k: v for k, v in vars(self).items() if k not in (*counted, "endpoint")}
        asked = {name: getattr(self.endpoint, name) for name in ("top_logprobs", "reasoning")}
        return json.dumps(kept | asked, sort_keys=True)


def _is_digest(text: str) -> bool:
    algorithm, _, digits = text.partition(":")
    return algorithm == "sha256" and len(digits) == 64 and not set(digits) - set("0123456789abcdef")


def _at_least(low: int, name: str, value: int) -> None:
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
