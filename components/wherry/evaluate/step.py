"""Turns a model's answers to a data split into scores with 95% intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry.contracts import Digest, Message
from wherry.progress import Report


@dataclass(frozen=True)
class Answer:
    """What a model said to one prompt."""

    text: str
    """The greedy answer up to the end of the turn, without special tokens, not stripped."""
    label_scores: tuple[float, ...]
    """One a label, in the labels' order: log P(label | prompt), see `Answerer.answer`."""


class Answerer(Protocol):
    """A loaded model that answers prompts; one adapter an engine.

    An adapter is made with what it needs, such as
    ``TransformersAnswerer(base, adapter, max_new_tokens=8, batch_size=8, threads=0)``
    (``adapter=None`` for the base itself, ``threads=0`` for all), and loads the model there.
    """

    @property
    def engine(self) -> str:
        """What runs the model: ``transformers`` or ``llama.cpp``."""

    @property
    def template_digest(self) -> Digest:
        """`digest_bytes` of the UTF-8 text of the chat template that it renders with."""

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        """Answers every prompt, greedily, and scores every label as its answer.

        A prompt is rendered with the model's own chat template and opened for the
        assistant's turn (``add_generation_prompt``). A label's score is the sum over its
        tokens (tokenized as the start of that turn, no special tokens added, no end of turn)
        of log-softmax over the whole vocabulary, in nats. A label of one token thus costs
        nothing: it is read off the prefill that the free answer starts from.

        Args:
            prompts: conversations that end before the assistant's turn.
            labels: the label set, or empty if only the free answers are wanted.
            report: told the rows that are done, as ``report.progress(done, len(prompts))``.

        Returns:
            One answer a prompt, in the prompts' order whatever order they ran in.

        Raises:
            DataError: if a prompt and its answer do not fit the model's context, or one
                label's tokens begin another's, so that their scores cannot be compared.
        """
