"""An `Answerer` that compares answers by a rule, as a judge or a classifier would."""

import math
from collections.abc import Callable, Sequence

from wherry.contracts import Digest, Message, digest_bytes
from wherry.evaluate.predictions import Answer
from wherry.progress import Report


class FakeJudge:
    """Says of each prompt what a function of its text says.

    Args:
        says: the text of its answer.
        prefers: one probability a label, where labels are asked for.
    """

    engine = "fake"

    def __init__(
        self,
        says: Callable[[str], str] = lambda _: "",
        prefers: Callable[[str], Sequence[float]] = lambda _: (),
    ) -> None:
        self._says = says
        self._prefers = prefers
        self.asked: list[str] = []
        self.labels: list[Sequence[str]] = []

    @property
    def template_digest(self) -> Digest:
        return digest_bytes(b"template")

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        self.asked += [prompt[-1].content for prompt in prompts]
        self.labels.append(labels)
        return [self._answer(prompt[-1].content) for prompt in prompts]

    def _answer(self, text: str) -> Answer:
        scores = (math.log(p) if p > 0 else -math.inf for p in self._prefers(text))
        return Answer(self._says(text), tuple(scores))
