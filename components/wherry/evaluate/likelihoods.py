"""How probable the references are to a model: after their prompts, or as plain text."""

from collections.abc import Sequence

from wherry.contracts import Row
from wherry.evaluate.predictions import Likelihood
from wherry.evaluate.raw.step import Pair, RawModel
from wherry.progress import Report


def likelihoods(model: RawModel, rows: Sequence[Row], report: Report) -> list[Likelihood]:
    """Scores each row's completion as the assistant's turn, the end of turn left out.

    Plain text is scored without a chat template, after the token that opens a text. What is
    longer than the model's context is scored in pieces, each as if it began there. A reference
    without a token, as of an empty turn, adds nothing.

    Args:
        model: asked in tokens.
        rows: conversations or plain text.
        report: told the pieces that are done.

    Raises:
        DataError: if a conversation does not fit the model's context.
    """
    pieces = [[pair for pair in _pieces(model, row) if pair[1]] for row in rows]
    scored = iter(model.score([pair for each in pieces for pair in each], report))
    return [
        Likelihood(
            nats=-sum(next(scored).logprob for _ in each),
            tokens=sum(len(continuation) for _, continuation in each),
        )
        for each in pieces
    ]


def _pieces(model: RawModel, row: Row) -> list[Pair]:
    if row.messages:
        return [_turn(model, model.render(row.prompt, open_turn=True), row.completion)]
    wanted = model.tokens(row.completion, special=False)
    room = model.context - 1
    return [((model.start,), wanted[k : k + room]) for k in range(0, len(wanted), room)]


def _turn(model: RawModel, opened: str, answer: str) -> Pair:
    """Tokenizes an answer where it stands, as training does: a tokenizer may look to the left.

    Where it joins the two, the answer's tokens are those that it has by itself.
    """
    start, whole = (model.tokens(text, special=False) for text in (opened, opened + answer))
    if whole[: len(start)] == start:
        return start, whole[len(start) :]
    return start, model.tokens(answer, special=False)
