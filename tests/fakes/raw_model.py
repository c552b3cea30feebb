"""A `RawModel` whose tokens are letters and whose opinions are written down."""

from collections.abc import Mapping, Sequence

from wherry.contracts import Digest, Message, digest_bytes
from wherry.evaluate.raw.step import Pair, Scored, Tokens, until
from wherry.progress import Report


class FakeRaw:
    """Finds a continuation as probable as `opinions` say, and goes on as `texts` say.

    Args:
        opinions: log-probabilities by continuation; others cost one nat a letter.
        texts: continuations by how a prompt ends; others get none.
        verbatim: continuations that greedy decoding would say.
    """

    engine = "fake"
    context = 2048
    start = 0

    def __init__(
        self,
        opinions: Mapping[str, float] | None = None,
        texts: Mapping[str, str] | None = None,
        verbatim: Sequence[str] = (),
    ) -> None:
        self._opinions = opinions or {}
        self._texts = texts or {}
        self._verbatim = verbatim
        self.asked: list[tuple[str, str]] = []
        """Every context with its continuation, and every prompt, in the order of asking."""

    @property
    def template_digest(self) -> Digest:
        return digest_bytes(b"template")

    def tokens(self, text: str, *, special: bool = True) -> Tokens:
        return tuple(map(ord, text))

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, filter(None, tokens)))

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        turns = "".join(f"<{message.role}>{message.content}" for message in messages)
        return turns + ("<assistant>" if open_turn else "")

    def score(self, pairs: Sequence[Pair], report: Report) -> Sequence[Scored]:
        return [self._score(self.text(context), self.text(rest)) for context, rest in pairs]

    def _score(self, context: str, rest: str) -> Scored:
        self.asked.append((context, rest))
        return Scored(self._opinions.get(rest, -float(len(rest))), rest in self._verbatim)

    def complete(
        self, prompts: Sequence[Tokens], *, max_tokens: int, stop: Sequence[str], report: Report
    ) -> Sequence[str]:
        return [self._complete(self.text(prompt))[:max_tokens] for prompt in prompts]

    def _complete(self, prompt: str) -> str:
        self.asked.append((prompt, ""))
        found = [text for end, text in self._texts.items() if prompt.endswith(end)]
        return until(found[0], ["\n"]) if found else ""
