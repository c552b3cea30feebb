"""Turns rows into tokens: what is read, and what the loss is taken on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from wherry.contracts import Message, Row
from wherry.contracts.errors import DataError, TemplateError
from wherry.tune.settings import PAIRED, TuneSettings

_FEWEST: Final = 2
"""Tokens of the shortest piece of text that something can be predicted in."""


class ChatTokenizer(Protocol):
    """A model's chat template and tokenizer."""

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        """Renders a conversation; `open_turn` opens the assistant's turn at its end."""

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a rendered text, none added."""

    def ends_turn(self, token: int) -> bool:
        """Whether the model stops when it gives this token."""

    @property
    def begin(self) -> int | None:
        """The token that every text begins with, if the model knows one."""

    @property
    def end(self) -> int:
        """The token that ends a turn or a text."""


@dataclass(frozen=True)
class Example:
    """One row as tokens."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    """What the loss is taken on: the answer and the token that ends the turn."""
    rejected: tuple[int, ...] = ()
    """The worse answer of a preference, with the token that ends the turn."""

    @property
    def tokens(self) -> int:
        """How many tokens go through the model for it."""
        twice = len(self.prompt) + len(self.rejected) if self.rejected else 0
        return len(self.prompt) + len(self.completion) + twice

    @property
    def longest(self) -> int:
        """The length of its longest sequence."""
        return len(self.prompt) + max(len(self.completion), len(self.rejected))


def encode(
    rows: Iterable[Row], tokenizer: ChatTokenizer, settings: TuneSettings, split: str = "train"
) -> tuple[tuple[Example, ...], int]:
    """Turns rows into examples of a recipe's objective.

    Args:
        rows: of the kind that the objective learns from.
        tokenizer: the model's own.
        settings: the objective and the longest row.
        split: what the rows are called in an error.

    Returns:
        The examples, and how many rows were too long and left out.

    Raises:
        TemplateError: if the template does not tell where the answer begins or ends.
        DataError: if no row is left, or the rows are not of the objective's kind.
    """
    if settings.objective == "text":
        examples = list(_pieces(rows, tokenizer, settings.max_length))
    else:
        paired = settings.objective in PAIRED
        examples = [encode_row(row, tokenizer, paired=paired) for row in rows]
    kept = tuple(example for example in examples if example.longest <= settings.max_length)
    if not kept:
        raise DataError(
            f"None of {len(examples)} rows of the split {split} has at most "
            f"{settings.max_length} tokens.",
            remedy="Raise max_length in the tune settings, or add rows.",
        )
    return kept, len(examples) - len(kept)


def encode_row(row: Row, tokenizer: ChatTokenizer, *, paired: bool = False) -> Example:
    """Turns one row into tokens, and finds its completion through the template itself.

    The prompt is rendered as it is when the model is served, the turn opened; what the whole
    conversation has beyond it is the completion, up to the token that ends the turn.

    Args:
        row: a conversation that ends with the assistant's turn.
        tokenizer: the model's own.
        paired: whether the worse answer is wanted too.

    Raises:
        TemplateError: if the prompt is no beginning of the whole, or nothing ends the turn.
        DataError: if the row has no conversation, or no worse answer where one is wanted.
    """
    _refuse_other_kind(row, paired=paired)
    text = tokenizer.render(row.prompt, open_turn=True)
    prompt = tuple(tokenizer.encode(text))
    completion = _completion(row, row.messages, text, prompt, tokenizer)
    worse = (*row.prompt, Message("assistant", row.rejected))
    rejected = _completion(row, worse, text, prompt, tokenizer) if paired else ()
    return Example(prompt, completion, rejected)


def shared_prefix(examples: Sequence[Example]) -> int:
    """Gives how many first tokens all prompts share, short of any prompt's last token.

    A system message and the template's opening are the same in every row: a learner computes
    them once a batch.
    """
    first = examples[0].prompt
    longest = min(len(example.prompt) for example in examples) - 1
    for position in range(longest):
        if any(example.prompt[position] != first[position] for example in examples):
            return position
    return longest


def _refuse_other_kind(row: Row, *, paired: bool) -> None:
    if not row.messages:
        raise DataError(
            f"Row {row.id!r} is plain text, expected a conversation.",
            remedy="Set objective: text in the tune settings for continued pre-training.",
        )
    if paired and not row.rejected:
        raise DataError(
            f"Row {row.id!r} has no rejected answer, expected a preference.",
            remedy="Ingest the data as kind: preference, or set objective: sft.",
        )


def _completion(
    row: Row,
    messages: Sequence[Message],
    text: str,
    prompt: tuple[int, ...],
    tokenizer: ChatTokenizer,
) -> tuple[int, ...]:
    whole = tokenizer.render(messages, open_turn=False)
    if not whole.startswith(text):
        raise TemplateError(
            f"Row {row.id!r}: the rendered prompt is no beginning of the rendered conversation, "
            "so where the answer begins is unknown.",
            remedy="Use a chat template that only appends turns.",
        )
    completion = _until_end(_behind(whole, text, prompt, tokenizer), tokenizer)
    if not completion:
        raise TemplateError(
            f"Row {row.id!r}: the chat template ends the assistant's turn with no token that the "
            "model stops at: the tuned model would never stop.",
            remedy="Set the tokenizer's eos_token to the token that ends a turn.",
        )
    return completion


def _behind(
    whole: str, text: str, prompt: tuple[int, ...], tokenizer: ChatTokenizer
) -> Sequence[int]:
    """Gives the tokens behind a prompt, as the model goes on from it.

    An answer by itself may read otherwise: SentencePiece puts a space before each text. Where a
    token reaches from the prompt into the answer, the served model has to begin anew all the same.
    """
    tokens = tuple(tokenizer.encode(whole))
    if tokens[: len(prompt)] == prompt:
        return tokens[len(prompt) :]
    return tokenizer.encode(whole[len(text) :])


def _until_end(tokens: Sequence[int], tokenizer: ChatTokenizer) -> tuple[int, ...]:
    for position, token in enumerate(tokens, start=1):
        if tokenizer.ends_turn(token):
            return tuple(tokens[:position])
    return ()


def _pieces(rows: Iterable[Row], tokenizer: ChatTokenizer, length: int) -> Iterator[Example]:
    """Joins texts, each with an end behind it, and cuts them into pieces of one length.

    A model that knows a token for the beginning of a text reads no piece without it.
    """
    begin = () if tokenizer.begin is None else (tokenizer.begin,)
    tokens = (token for row in rows for token in (*tokenizer.encode(_text(row)), tokenizer.end))
    while len(piece := (*begin, *islice(tokens, length - len(begin)))) >= _FEWEST:
        yield Example(piece[:1], piece[1:])


def _text(row: Row) -> str:
    if not row.text:
        raise DataError(
            f"Row {row.id!r} is a conversation, expected plain text.",
            remedy="Ingest the data as kind: text, or set objective: sft.",
        )
    return row.text
