"""What a model can be asked below its chat template, whatever engine runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry.contracts import Digest, Message, ModelRef
from wherry.contracts.errors import DataError, TemplateError
from wherry.progress import Report

Tokens = tuple[int, ...]
Pair = tuple[Tokens, Tokens]
"""A context, of one token at least, and the continuation that is scored after it."""


@dataclass(frozen=True)
class Scored:
    """How a model takes to a continuation."""

    logprob: float
    """log P(continuation | context), the sum over its tokens, in nats."""
    greedy: bool
    """Whether greedy decoding says exactly it, token by token."""


class RawModel(Protocol):
    """A loaded model that is asked in tokens; one adapter an engine.

    Example::

        context = model.tokens("The heart pumps")
        model.score([(context, model.tokens(" blood", special=False))], Silent())
    """

    @property
    def engine(self) -> str:
        """What runs the model: ``transformers`` or ``llama.cpp``."""

    @property
    def template_digest(self) -> Digest:
        """Of the UTF-8 text of the model's chat template."""

    @property
    def context(self) -> int:
        """Longest context with its continuation, in tokens."""

    @property
    def start(self) -> int:
        """The token that stands where nothing does: begin of text, or else end of text."""

    def tokens(self, text: str, *, special: bool = True) -> Tokens:
        """Tokenizes a text; names of special tokens in it become those tokens.

        Args:
            text: any text.
            special: whether to add what the tokenizer puts around a text, such as its
                begin of text.
        """

    def text(self, tokens: Sequence[int]) -> str:
        """Gives the text of tokens; special ones have none."""

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        """Renders a conversation with the model's own chat template.

        Args:
            messages: the turns.
            open_turn: whether to open the assistant's turn after them; if not, a last turn of
                the assistant is left open, to be gone on with.
        """

    def score(self, pairs: Sequence[Pair], report: Report) -> Sequence[Scored]:
        """Scores continuations, in the order of the pairs.

        A pair's scores are those over the whole vocabulary, at temperature 1.

        Raises:
            DataError: if a pair does not fit the model's context.
        """

    def complete(
        self, prompts: Sequence[Tokens], *, max_tokens: int, stop: Sequence[str], report: Report
    ) -> Sequence[str]:
        """Goes on from each prompt, greedily, up to the end of text or one of `stop`.

        Args:
            prompts: of one token at least.
            max_tokens: the longest continuation.
            stop: texts that end a continuation; they and what follows are cut off.
            report: told the prompts that are done.

        Raises:
            DataError: if a prompt and its continuation do not fit the model's context.
        """


def check_template(model: RawModel, described: ModelRef) -> None:
    """Refuses a model whose chat template is not the one that it was trained with.

    Raises:
        TemplateError: naming both digests.
    """
    if model.template_digest != described.template_digest:
        raise TemplateError(
            f"{described.name} ({described.format}) has a chat template of digest "
            f"{model.template_digest}, expected {described.template_digest}.",
            remedy="Quantize again from the base that the model was tuned on.",
        )


def check_room(lengths: Sequence[int], context: int) -> None:
    """Refuses what a model has no room for, before hours are spent on the rest.

    Args:
        lengths: of each prompt with its continuation, in tokens.
        context: the model's, in tokens.

    Raises:
        DataError: naming the longest.
    """
    longest = max(lengths, default=0)
    if longest > context:
        number = lengths.index(longest) + 1
        raise DataError(
            f"Request {number} of {len(lengths)} has {longest} tokens with its continuation, and "
            f"the context has room for {context}.",
            remedy="Raise context in the settings, ask with fewer examples, or shorten the text.",
        )


def until(text: str, stop: Sequence[str]) -> str:
    """Cuts a text where the first of `stop` begins.

    Example::

        until("Paris. Question: who?", ["Question"])  # "Paris. "
    """
    ends = [text.find(each) for each in stop if each and each in text]
    return text[: min(ends)] if ends else text
