"""What each way of quantizing needs: the tuned model, its rows as tokens, and what is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wherry.contracts import Message, Row
from wherry.progress import Report
from wherry.quantize.inputs import Pair, Rows
from wherry.quantize.ladder import Question, Questions, question, single_tokens
from wherry.quantize.settings import QuantizeSettings
from wherry.quantize.step import Renderer, Sample, distinct_samples, token_agreement

if TYPE_CHECKING:
    from wherry.quantize.adapters.gguf_file import Importance
    from wherry.quantize.adapters.transformers import TunedModel

_LONGEST_TEXT: Final = 512
"""Tokens of a plain text that are read."""
BESIDE: Final = "transformers, adapter beside its base"


@dataclass(frozen=True)
class Work:
    """What every part of the way needs."""

    pair: Pair
    rows: Rows
    scratch: Path
    settings: QuantizeSettings
    report: Report
    tuned: "TunedModel"

    def tell(self, done: int, note: str) -> None:
        """Says which of the steps begins: merging, converting, one a type, comparing tokens."""
        self.report.progress(done, len(self.settings.tried) + 3, note)

    def read(self, row: Row) -> tuple[int, ...]:
        """Gives a row's tokens as training read them; of plain text the first."""
        if row.messages:
            return self.tuned.whole(row.messages)
        return self.tuned.plain(row.text)[:_LONGEST_TEXT]

    def samples(self) -> list[Sample]:
        """Gives the contexts that every form is compared on."""
        return distinct_samples(map(self.read, self.rows.compared), self.settings.positions)

    def questions(self, tasks: Sequence[Question] = ()) -> Questions:
        """Gives what every form is asked, with what the model says now."""
        samples = self.samples()
        labels = self.label_tokens() if tasks else ()
        plain = not any(row.messages for row in self.rows.compared)
        return Questions(samples, list(self.tuned.logits(samples)), tasks, labels, plain)

    def tasks(self) -> list[Question]:
        """Gives the rows whose answers are scored."""
        labels = list(self.rows.labels)
        found = []
        for row in self.rows.scored:
            if not row.messages:
                continue  # plain text answers nothing
            prompt, answer = self.tuned.answer(row.messages)
            if answer:
                place = labels.index(row.label) if row.label in labels else -1
                found.append(question(prompt, answer, place))
        return found

    def label_tokens(self) -> tuple[int, ...]:
        """Gives each label's token as an answer to the first row, if all have just one."""
        prompt = self.rows.scored[0].prompt
        said = [(*prompt, Message("assistant", label)) for label in self.rows.labels]
        # The last token ends the turn.
        return single_tokens([self.tuned.answer(messages)[1][:-1] for messages in said])

    def importance(self) -> "Importance | None":
        """Gives what each column of a matrix is multiplied with, by transformers' names."""
        if not self.rows.weighed:
            return None
        self.tell(1, f"weighing {len(self.rows.weighed)} rows")
        return self.tuned.importance(map(self.read, self.rows.weighed))

    def prompts(self) -> list[tuple[int, ...]]:
        """Gives the prompts that speed is measured with."""
        rows = islice(cycle(self.rows.scored or self.rows.compared), self.settings.timed_runs)
        return [
            self.tuned.render(row.prompt).ids if row.messages else self.read(row) for row in rows
        ]

    def agreement(self, renderer: Renderer) -> float:
        """Gives the share of rows that a shipped form renders and tokenizes alike."""
        # Plain text as a turn: what both tokenizers make of it is compared all the same.
        prompts = [row.prompt or (Message("user", row.text),) for row in self.rows.compared]
        ours = [self.tuned.render(prompt) for prompt in prompts]
        return token_agreement(ours, [renderer.render(prompt) for prompt in prompts])
