"""Reads a held-out split for an evaluation, and publishes what came of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wherry.contracts import Dataset, Digest, Kind, Manifest, Metric, Scores, Split, digest_bytes
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.files import write_atomic
from wherry.contracts.scores import Confusion
from wherry.evaluate.estimates import Draws
from wherry.evaluate.identity import engine_with_versions
from wherry.evaluate.journal import open_journal
from wherry.evaluate.measures.choice import choose
from wherry.evaluate.measures.classes import confusion
from wherry.evaluate.predictions import Prediction, lines_of
from wherry.evaluate.settings import EvaluateSettings
from wherry.evaluate.slices import Slicing
from wherry.evaluate.step import Exam, Model, examine, quality
from wherry.progress import Report
from wherry.workspace import state


@dataclass(frozen=True)
class Asked:
    """Who was asked."""

    subject: str
    digest: Digest
    template: Digest
    verified: bool = True
    server: str = ""
    """Where, and by what name; empty for a model that is loaded here."""
    files: str = ""
    """Of all that it was loaded from, see `files_of`; empty for a server's."""


@dataclass(frozen=True)
class Sitting:
    """One evaluation: the rows, the settings, and where the two files go."""

    exam: Exam
    kind: Kind
    split: Split
    settings: EvaluateSettings
    scores: Path
    predictions: Path

    @classmethod
    def opened(cls, dataset: Path, settings: EvaluateSettings, scores: Path, made: Path) -> Self:
        """Verifies a data set's folder and reads the split that is asked.

        Args:
            dataset: the folder.
            settings: of the evaluation.
            scores: where to write the `Scores`.
            made: where to write the predictions.

        Raises:
            MissingError: if there is no such split.
            SettingsError: if a measure needs what the data does not have.
        """
        Manifest.verified(dataset)
        data = Dataset.read(dataset / DATASET_NAME)
        rows = data.rows(dataset, settings.split)[: settings.rows or None]
        labels = () if data.kind == "text" else data.labels
        chosen = choose(settings.measures, labels, settings.json_schema, data.kind)
        slicing = Slicing(settings.slices, settings.length_edges, settings.slice_rows)
        exam = Exam(rows, labels, chosen, slicing)
        return cls(exam, data.kind, data.split(settings.split), settings, scores, made)

    @property
    def draws(self) -> Draws:
        """Of the bootstrap."""
        return Draws(self.settings.resamples, self.settings.seed)

    def hold(
        self,
        model: Model,
        asked: Asked,
        costs: Callable[[], tuple[Metric, ...]],
        report: Report,
    ) -> Scores:
        """Asks every row, keeping answers as they come, and publishes predictions and scores.

        Args:
            model: the model.
            asked: who it is.
            costs: gives what was measured of it besides, once all is answered.
            report: told the rows that are done.
        """
        with open_journal(state() / "answers", self._identity(model, asked)) as journal:
            made = examine(self.exam, model, journal, self.settings.save_every, report)
            found = self._scores(made, model.engine, asked, costs())
            write_atomic(self.predictions, lines_of(made))
            found.write(self.scores)
            journal.clear()
        return found

    def _identity(self, model: Model, asked: Asked) -> Digest:
        """Gives what makes this the same evaluation: all that its predictions follow from."""
        parts = (
            *(engine_with_versions(model.engine), self.settings.answers_follow_from),
            *(asked.digest, asked.template, asked.verified, asked.server, asked.files),
            *(self.kind, self.split.digest, len(self.exam.rows), tuple(self.exam.labels)),
        )
        return digest_bytes(json.dumps(parts).encode())

    def _scores(
        self, made: list[Prediction], engine: str, asked: Asked, costs: tuple[Metric, ...]
    ) -> Scores:
        exam = self.exam
        counted = quality(made, exam.chosen.measures, exam.labels, exam.slicing, self.draws)
        return Scores(
            subject=asked.subject,
            model_digest=asked.digest,
            template_digest=asked.template,
            data_digest=self.split.digest,
            split=self.split.name,
            metrics=counted + costs,
            engine=engine,
            predictions_digest=digest_bytes(lines_of(made)),
            model_verified=asked.verified,
            confusion=self._confusion(made),
        )

    def _confusion(self, made: list[Prediction]) -> Confusion | None:
        exam = self.exam
        return confusion(made, exam.labels) if exam.labels and exam.chosen.answers else None


def verdict(scores: Scores) -> str:
    """Says the headline numbers in a few words."""
    accuracy, label = scores.find("accuracy"), scores.find("label_accuracy")
    words = [f"accuracy {_percent(accuracy.value)} of {accuracy.n} rows"] if accuracy else []
    if label:
        words.append(f"by label {_percent(label.value)}")
    if (found := scores.find("perplexity")) and found.value:
        words.append(f"perplexity {found.value:.2f}")
    if speed := scores.find("decode_speed"):
        words.append(f"{speed.value:.0f} tokens/s" if speed.value else "speed unknown")
    return ", ".join(words) or f"{len(scores.metrics)} numbers"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f}%"
