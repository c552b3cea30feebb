"""An `Answerer` that says what it is told to."""

from collections.abc import Sequence

from wherry.contracts import Digest, Message, digest_bytes
from wherry.evaluate.step import Answer
from wherry.progress import Report


class FakeAnswerer:
    """Gives one prepared text a prompt, and full marks to the label that it names."""

    engine = "fake"

    def __init__(self, texts: Sequence[str], template: str = "template") -> None:
        self._texts = texts
        self._template = template

    @property
    def template_digest(self) -> Digest:
        return digest_bytes(self._template.encode())

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        report.progress(len(prompts), len(prompts))
        return [
            Answer(text, tuple(0.0 if label == text else -5.0 for label in labels))
            for text, _ in zip(self._texts, prompts, strict=True)
        ]
